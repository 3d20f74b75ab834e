//! A master with children that run the shell script in the first argument. Without an argument, the
//! children are workers of this program, which wait. The master prints the pid of each start.

use std::env;
use std::process::ExitCode;

use prefork::{Prefork, Worker};

fn main() -> ExitCode {
    let mut prefork = Prefork::new()
        .handle_signals()
        .on_child_spawn(|child| println!("spawned {}", child.pid()));
    if let Some(script) = env::args().nth(1) {
        prefork = prefork.child_producer(move |child| {
            child.program("/bin/sh").arg("-c").arg(&script);
        });
    }
    prefork::report(prefork.run(|worker: Worker| {
        worker.notify_ready();
        worker.shutdown().blocking_wait();
    }))
}
