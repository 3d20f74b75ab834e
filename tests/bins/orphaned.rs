//! Workers whose master dies while they cannot hear of it by the channel alone: `init` in a worker
//! waits for a minute with `INIT_WAITS`; with `MASTER_FORKS` the master has a forked process that
//! holds copies of its descriptors.

use std::io::{Read, Write};
use std::time::Duration;
use std::{env, thread};

use nix::unistd::{ForkResult, fork};
use prefork::net::Listener;
use prefork::{MasterReady, Role};

#[prefork::main(listen = "127.0.0.1:0", workers = 2, init = init, on_master_ready = ready)]
fn main(listener: Listener) -> std::io::Result<()> {
    while let Some(accepted) = listener.blocking_accept() {
        let (mut stream, _peer) = accepted?;
        // One read holds the requests of these tests; a client that is gone changes nothing.
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi\n");
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
    // SAFETY: the master has one thread, so that its child may do all that it might.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            thread::sleep(Duration::from_mins(1));
            std::process::exit(0)
        }
        Ok(ForkResult::Parent { child }) => println!("forked {child}"),
        Err(errno) => println!("cannot fork: {errno}"),
    }
}
