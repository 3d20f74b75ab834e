//! A server whose workers initialize for some time, with one standby.
//!
//! Each worker prints a line when it has reported that it is ready.

use std::io::{self, BufRead, BufReader, Write};
use std::time::Duration;
use std::{process, thread};

use prefork::net::Listener;
use prefork::{ChildRecovered, Ready, Role, Worker};
use prefork_tests::READY;

/// Far longer than a promotion takes.
const INIT: Duration = Duration::from_millis(1500);

#[prefork::main(
    listen = "127.0.0.1:0",
    workers = 1,
    standby = 1,
    init = |role: Role| {
        if role != Role::Master {
            thread::sleep(INIT);
        }
    },
    on_child_recover = |child: &ChildRecovered| {
        println!("recovered: pid {} replaces pid {}", child.new_pid(), child.old_pid());
    },
)]
fn main(listener: Listener, worker: Worker, ready: Ready) -> io::Result<()> {
    let pid = process::id();
    ready.notify_ready();
    println!("{READY} {} {pid}", worker.slot());
    while let Some(connection) = listener.blocking_accept() {
        let (stream, _) = connection?;
        let mut stream = BufReader::new(stream.into_inner());
        let mut line = String::new();
        while stream.read_line(&mut line)? > 2 {
            line.clear();
        }
        let body = format!("hello from worker {} (pid {pid})\n", worker.slot());
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        // A client that has closed its connection does not end the worker.
        let _ = write!(stream.into_inner(), "{head}{body}");
    }
    Ok(())
}
