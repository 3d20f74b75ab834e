//! A server for tests of rollouts: a copy of this program in another directory is another release.
//!
//! The file `behavior` next to the program says what its workers do, and an answer names the
//! directory.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, process, thread};

use prefork::net::Listener;
use prefork::{ChildReady, ChildRecovered, Role, Worker};
use prefork_tests::server::serve_blocking;

#[prefork::main(
    listen = "127.0.0.1:0",
    reuseport = behavior() == "sets other options",
    backlog = if behavior() == "sets another backlog" { 64 } else { 4096 },
    init = |role: Role| {
        if role != Role::Master && behavior() == "exits before main" {
            process::exit(3);
        }
    },
    on_child_ready = |child: &ChildReady| println!("ready: pid {}", child.pid()),
    on_child_recover = |child: &ChildRecovered| println!("recovered slot {}", child.slot()),
)]
fn main(listener: Listener, worker: Worker) -> io::Result<()> {
    println!("started: pid {}", process::id());
    let behavior = behavior();
    match behavior.as_str() {
        "fails in slot 2" if worker.slot() != 2 => {}
        "fails" | "fails in slot 2" => return Err(io::Error::other("no database")),
        "floods stderr and fails" => {
            flood_stderr();
            process::exit(4);
        }
        "floods stderr" => flood_stderr(),
        "starts slowly" => thread::sleep(Duration::from_secs(40)),
        "starts in a second" => thread::sleep(Duration::from_secs(1)),
        "never accepts" => {
            worker.shutdown().blocking_wait();
            return Ok(());
        }
        "panics after its first accept" => end_after(50, || panic!("no luck")),
        "is killed" => end_after(50, kill_own_process),
        "takes back its readiness" => end_after(50, prefork::not_ready),
        "lives for 900 ms" => end_after(900, || process::exit(9)),
        _ => {}
    }
    let release = directory();
    let release = release.file_name().unwrap_or_default().display();
    serve_blocking(&listener, || format!("{release}\n"))?;
    if behavior == "drains slowly" {
        thread::sleep(Duration::from_secs(40));
    }
    Ok(())
}

/// The directory of this program.
fn directory() -> PathBuf {
    let mut path = std::env::current_exe().expect("/proc is mounted");
    path.pop();
    path
}

fn behavior() -> String {
    fs::read_to_string(directory().join("behavior")).unwrap_or_default()
}

/// Writes 10 MB to stderr.
fn flood_stderr() {
    // `writeln!` to stderr would write each part on its own.
    let line = |number: u32| format!("{number:09} {:.<989}\n", "");
    for hundred in 0..100 {
        let lines: Vec<_> = (0..100).map(|one| line(100 * hundred + one)).collect();
        let _ = io::stderr().write_all(lines.concat().as_bytes());
    }
}

/// Ends the process, or does something else, at some time after its first accept.
fn end_after(milliseconds: u64, end: fn()) {
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(milliseconds));
        if std::panic::catch_unwind(end).is_err() {
            process::exit(101);
        }
    });
}

fn kill_own_process() {
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).expect("own process");
}
