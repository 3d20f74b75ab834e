//! Hooks of the master and of the workers, and when they are called.
//!
//! ```text
//! cargo run --release -p prefork-examples --example hooks
//! kill -9 <a worker>     # prints `spawn` and `recover`
//! kill -9 <the master>   # each worker prints `master death`, drains and exits
//! ```

use std::fmt;
use std::io::{self, Write};

use prefork::net::Listener;
use prefork::{ChildCommand, ChildRecovered, ChildSpawned, LogLine, MasterReady};

#[prefork::main(
    listen = "127.0.0.1:8080",
    workers = 2,
    child_producer = name_it,
    on_child_spawn = spawned,
    on_master_ready = ready,
    on_child_recover = recovered,
    on_master_death = || print(format_args!("master death: pid {} drains", std::process::id())),
    logger = log
)]
async fn main(listener: Listener) -> io::Result<()> {
    let name = std::env::var("NAME").unwrap_or_default();
    let hello = format!("hello from {name}\n");
    let app = axum::Router::new().route("/", axum::routing::get(async || hello));
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

/// Called before every start of a worker.
///
/// It may change arguments, variables and the program.
fn name_it(child: &mut ChildCommand) {
    const NAMES: [&str; 4] = ["red", "green", "blue", "yellow"];
    child.env("NAME", NAMES[child.slot() % NAMES.len()]);
}

/// Called after every start of a worker.
fn spawned(child: &ChildSpawned) {
    print(format_args!(
        "spawn: {} in slot {}",
        child.pid(),
        child.slot()
    ));
}

/// Called once, when the first worker of every slot was started.
///
/// A hook may also return a `Result`: an error stops all workers and ends the master.
fn ready(master: &MasterReady) {
    let listeners: Vec<String> = master.listeners().iter().map(ToString::to_string).collect();
    print(format_args!(
        "ready: {:?} on {}",
        master.pids(),
        listeners.join(",")
    ));
}

/// Called after a worker that exited unexpectedly was replaced.
fn recovered(child: &ChildRecovered) {
    print(format_args!(
        "recover: {} replaces {}",
        child.new_pid(),
        child.old_pid()
    ));
}

fn log(line: &LogLine) {
    // One write for the whole line: other processes write to stderr, too.
    let line = format!("{:?}: {line}\n", line.level());
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Prints a line and ignores errors.
///
/// `println!` panics if stdout is closed, as after `hooks | head -1`, and a panic of a hook ends
/// the server.
fn print(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}
