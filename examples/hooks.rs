//! All hooks, and what happens when.
//!
//! ```text
//! cargo run --release --example hooks
//! kill -9 <a worker>     # spawn, recover
//! kill -9 <the master>   # every worker notices, finishes and ends
//! ```

use std::io::{self, Write};

use prefork::net::Listener;
use prefork::{ChildCommand, ChildRecovered, ChildSpawned, LogLine, MasterReady};

#[prefork::main(
    listen = "127.0.0.1:8080",
    workers = 2,
    child_producer = name_it,
    on_child_spawn = |child: &ChildSpawned| println!("spawn: {} in slot {}", child.pid(), child.slot()),
    on_master_ready = ready,
    on_child_recover = recovered,
    on_master_death = || println!("master death: {} is alone", std::process::id()),
    logger = |line: &LogLine| eprintln!("{:?}: {line}", line.level())
)]
async fn main(listener: Listener) -> io::Result<()> {
    let name = std::env::var("NAME").unwrap_or_default();
    let hello = format!("hello from {name}\n");
    let app = axum::Router::new().route("/", axum::routing::get(async || hello));
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

/// Before every start: the child may get other arguments, variables, another program.
fn name_it(child: &mut ChildCommand) {
    const NAMES: [&str; 4] = ["red", "green", "blue", "yellow"];
    child.env("NAME", NAMES[child.slot() % NAMES.len()]);
}

/// Once. An error of a hook stops all workers and ends the master.
fn ready(master: &MasterReady) -> io::Result<()> {
    writeln!(
        io::stdout(),
        "ready: {:?} on {:?}",
        master.pids(),
        master.addrs()
    )
}

fn recovered(child: &ChildRecovered) {
    println!(
        "recover: {} took the place of {}",
        child.new_pid(),
        child.old_pid()
    );
}
