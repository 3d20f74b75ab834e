//! A program that passes options from its command line (`name=value`) to the builder.

use std::convert::Infallible;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, thread};

use prefork::{Outcome, Prefork, Worker};

fn main() -> ExitCode {
    if env::args().any(|arg| arg == "retry") && !prefork::is_child() {
        fail_to_start();
    }
    if prefork::is_child() {
        initialize();
    }
    let prefork = builder();
    if env::args().any(|arg| arg == "embedded") && !prefork::is_child() {
        let ended = prefork.start().and_then(prefork::Handle::wait);
        return prefork::report(ended.map(|()| Outcome::<()>::Master));
    }
    prefork::report(prefork.run(|worker| body(&worker)))
}

fn builder() -> Prefork {
    let mut prefork = Prefork::new().workers(1);
    if env::args().all(|arg| arg != "leave_signals") {
        prefork = prefork.handle_signals();
    }
    for arg in env::args().skip(1) {
        let (name, value) = arg.split_once('=').unwrap_or((&arg, ""));
        prefork = match name {
            "listen" => prefork.listen(value),
            "workers" => prefork.workers(value),
            "worker_count" => prefork.workers(value.parse::<usize>().unwrap_or(0)),
            "recover_threshold" => prefork.recover_threshold(value.parse::<u32>().unwrap_or(0)),
            "shutdown_grace_period" => prefork.shutdown_grace_period(value),
            "grace_in_hours" => {
                let hours = value.parse().unwrap_or(0);
                prefork.shutdown_grace_period(Duration::from_hours(hours))
            }
            "program" => {
                let program = value.to_owned();
                prefork.child_producer(move |command| {
                    command.program(&program).arg("1000");
                    Ok::<_, Infallible>(())
                })
            }
            "child_env" => {
                let (name, value) = value.split_once('=').unwrap_or((value, ""));
                let (name, value) = (name.to_owned(), value.to_owned());
                prefork.child_producer(move |command| {
                    command.env(&name, &value);
                })
            }
            "retry" => prefork.on_child_spawn(|child| println!("spawned {}", child.slot())),
            _ => prefork,
        };
    }
    prefork
}

/// The argument `init_ms=500` lets each worker initialize before it runs the builder.
fn initialize() {
    let milliseconds = env::args().find_map(|arg| arg.strip_prefix("init_ms=")?.parse().ok());
    if let Some(milliseconds) = milliseconds {
        thread::sleep(Duration::from_millis(milliseconds));
        println!("initialized");
    }
}

/// Starts a master on a port that is in use. The port is free when this function returns.
fn fail_to_start() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("an address").to_string();
    let error = builder()
        .listen(taken)
        .start()
        .expect_err("the port is in use");
    println!("not started: {error}");
}

fn body(worker: &Worker) {
    worker.notify_ready();
    worker.shutdown().blocking_wait();
}
