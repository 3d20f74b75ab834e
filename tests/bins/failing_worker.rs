//! A server that starts its first worker through the command in `STORM_WRAPPER`. Spaces separate
//! the arguments of the command.

use std::env;
use std::io;
use std::process::ExitCode;

use prefork::{Prefork, Worker};
use prefork_tests::server::{name_of, serve_blocking};

fn main() -> ExitCode {
    let mut wrapper = env::var("STORM_WRAPPER").ok();
    let prefork = Prefork::new()
        .handle_signals()
        .workers(1)
        .child_producer(move |command| {
            if let Some(wrapper) = wrapper.take() {
                let mut arguments = wrapper.split(' ');
                command.wrapper(arguments.next().unwrap_or_default(), arguments);
            }
        });
    prefork::report(prefork.run(|worker: Worker| {
        let listener = worker.listener("listener").map_err(io::Error::other)?;
        serve_blocking(&listener, || name_of(&worker))
    }))
}
