//! A worker that starts a helper with a copy of the listener and does not stop the helper.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

#[prefork::main(workers = 1)]
fn main(listener: TcpListener) -> io::Result<()> {
    let copy = OwnedFd::from(listener.try_clone()?);
    let helper = Command::new("sleep")
        .arg("1000")
        .stdin(copy)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    println!("helper {}", helper.id());
    for stream in listener.incoming() {
        drop(stream?);
    }
    Ok(())
}
