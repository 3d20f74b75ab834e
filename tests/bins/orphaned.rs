//! Workers that cannot detect the death of their master by the channel alone. With `INIT_WAITS`,
//! `init` in a worker waits for a minute. With `MASTER_FORKS`, the master forks a process that
//! holds copies of its descriptors. Each worker serves one client at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;
use std::{env, thread};

use nix::unistd::{ForkResult, fork};
use prefork::net::Listener;
use prefork::{MasterReady, Role};

#[prefork::main(listen = "127.0.0.1:0", workers = 2, init = init, on_master_ready = ready)]
fn main(listener: Listener) -> std::io::Result<()> {
    while let Some(accepted) = listener.blocking_accept() {
        let (stream, _peer) = accepted?;
        let mut stream = BufReader::new(stream);
        // The head of a request ends with an empty line. A disconnected client is not an error.
        let mut lines = stream.by_ref().lines().map_while(Result::ok);
        let _ = lines.find(String::is_empty);
        let _ = stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi\n");
    }
    Ok(())
}

fn init(role: Role) {
    if matches!(role, Role::Worker { .. }) && env::var_os("INIT_WAITS").is_some() {
        println!("init waits");
        thread::sleep(Duration::from_mins(1));
    }
}

#[expect(unsafe_code, reason = "what the test is about")]
fn ready(_: &MasterReady) {
    if env::var_os("MASTER_FORKS").is_none() {
        return;
    }
    // SAFETY: the master has one thread, so its child may call any function.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            thread::sleep(Duration::from_mins(1));
            std::process::exit(0)
        }
        Ok(ForkResult::Parent { child }) => println!("forked {child}"),
        Err(errno) => println!("cannot fork: {errno}"),
    }
}
