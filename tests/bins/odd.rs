//! Workers with unusual behavior, selected by the first argument.

use std::process::{Command, ExitCode};
use std::{env, thread};

use prefork::{Prefork, Worker};

#[prefork::main(workers = 1)]
fn main(worker: Worker) -> ExitCode {
    let behavior = env::args().nth(1).unwrap_or_default();
    match behavior.as_str() {
        "ignores_stop" => ignore_stop(&worker),
        "dies" => return ExitCode::from(3),
        "panics" => panic!("out of cheese\nand \x1b[2J"),
        "grandchild" => grandchild(&worker),
        "second_run" => print_error(Prefork::new().run(|_| ()).err()),
        "start" => print_error(Prefork::new().start().err()),
        _ => {}
    }
    worker.notify_ready();
    worker.shutdown().blocking_wait();
    ExitCode::SUCCESS
}

/// Never returns: SIGTERM arrives, but the body does not react to it.
fn ignore_stop(worker: &Worker) -> ! {
    worker.notify_ready();
    println!("ignoring stop");
    loop {
        thread::park();
    }
}

/// Starts programs that print their environment, descriptors and signal state.
fn grandchild(worker: &Worker) {
    let variables = Command::new("env").status();
    let fds = Command::new("ls").args(["-l", "/proc/self/fd"]).status();
    let signals = Command::new("cat").arg("/proc/self/status").status();
    let slot = worker.slot();
    println!("printed by worker {slot}: {variables:?} {fds:?} {signals:?}");
}

fn print_error(error: Option<prefork::Error>) {
    match error {
        Some(error) => println!("refused with status {}: {error}", error.exit_code()),
        None => println!("not refused"),
    }
}
