//! Workers that do something odd, by the first argument.

use std::process::{Command, ExitCode};
use std::{env, fs, thread};

use prefork::{Prefork, Worker};

#[prefork::main(workers = 1)]
fn main(worker: Worker) -> ExitCode {
    let behaviour = env::args().nth(1).unwrap_or_default();
    match behaviour.as_str() {
        "deaf" => deaf(&worker),
        "dies" => return ExitCode::from(3),
        "panics" => panic!("out of cheese\nand \x1b[2J"),
        "grandchild" => grandchild(&worker),
        "second_run" => complain(Prefork::new().run(|_| ()).err()),
        "start" => complain(Prefork::new().start().err()),
        _ => {}
    }
    worker.ready();
    worker.shutdown().wait();
    ExitCode::SUCCESS
}

/// Takes SIGTERM, and does nothing about it.
fn deaf(worker: &Worker) -> ! {
    worker.ready();
    println!("deaf");
    loop {
        thread::park();
    }
}

/// Starts a program that tells what it was given.
fn grandchild(worker: &Worker) {
    for (number, path) in own_fds() {
        println!("worker has {number} {path}");
    }
    let program = "env | sed 's/^/grandchild knows /'
        for fd in /proc/$$/fd/*; do echo \"grandchild has ${fd##*/} $(readlink $fd)\"; done
        grep -E '^Sig(Blk|Ign):' /proc/$$/status | sed 's/^/grandchild signals /'";
    let status = Command::new("sh").arg("-c").arg(program).status();
    println!("told by worker {}: {status:?}", worker.slot());
}

fn own_fds() -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| {
            let path = fs::read_link(entry.path()).unwrap_or_default();
            (
                entry.file_name().display().to_string(),
                path.display().to_string(),
            )
        })
        .collect()
}

fn complain(error: Option<prefork::Error>) {
    match error {
        Some(error) => println!("refused with status {}: {error}", error.exit_code()),
        None => println!("not refused"),
    }
}
