//! A master of children that run a few lines of shell, the first argument; without one, of this
//! program, whose workers wait. It prints the pid of each start.

use std::env;
use std::process::ExitCode;

use prefork::{Prefork, Worker};

fn main() -> ExitCode {
    let mut prefork = Prefork::new();
    prefork
        .handle_signals()
        .on_child_spawn(|child| println!("spawned {}", child.pid()));
    if let Some(script) = env::args().nth(1) {
        prefork.child_producer(move |child| {
            child.program("/bin/sh").arg("-c").arg(&script);
        });
    }
    prefork::report(prefork.run(|worker: Worker| {
        worker.ready();
        worker.shutdown().wait();
    }))
}
