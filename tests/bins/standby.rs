//! A server whose workers initialize for some time, with one standby.
//!
//! Each worker prints a line when it has reported that it is ready.

use std::io;
use std::time::Duration;
use std::{process, thread};

use prefork::net::Listener;
use prefork::{ChildRecovered, Ready, Role, Worker};
use prefork_tests::READY;
use prefork_tests::server::{name_of, serve_blocking};

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
    ready.notify_ready();
    println!("{READY} {} {}", worker.slot(), process::id());
    serve_blocking(&listener, || name_of(&worker))
}
