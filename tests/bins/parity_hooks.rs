//! Hooks by attribute that print their arguments. Some are set as paths, some as closures. The
//! arguments of the program select the hook that fails, how and when: `on_child_spawn panic later`.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};

use prefork::{ChildSpawned, ListenerInfo, MasterReady, Worker};

const WORKERS: usize = 2;

#[prefork::main(
    workers = WORKERS,
    on_child_spawn = spawned,
    on_master_ready = ready,
    on_child_recover = |child| {
        println!("recover {} {} {}", child.slot(), child.old_pid(), child.new_pid());
        fail_if_requested("on_child_recover", "later")
    },
    on_master_death = master_died
)]
fn main(worker: Worker) {
    let addrs = addresses(worker.listeners());
    worker.notify_ready();
    println!("worker {} on {addrs}", worker.slot());
    worker.shutdown().blocking_wait();
}

fn spawned(child: &ChildSpawned) -> Result<(), &'static str> {
    static STARTS: AtomicUsize = AtomicUsize::new(0);
    println!("spawn {} {}", child.slot(), child.pid());
    let is_first = STARTS.fetch_add(1, Ordering::Relaxed) < WORKERS;
    fail_if_requested("on_child_spawn", if is_first { "first" } else { "later" })
}

fn ready(master: &MasterReady) -> Result<(), &'static str> {
    let pids: Vec<String> = master.pids().iter().map(ToString::to_string).collect();
    println!(
        "ready {} on {}",
        pids.join(" "),
        addresses(master.listeners())
    );
    fail_if_requested("on_master_ready", "first")
}

fn master_died() -> Result<(), &'static str> {
    let slot = prefork::worker().map_or(usize::MAX, |worker| worker.slot());
    println!("master death {slot}");
    fail_if_requested("on_master_death", "first")
}

/// Fails if the arguments name this hook and this time.
fn fail_if_requested(hook: &str, time: &str) -> Result<(), &'static str> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.as_slice() {
        [which, failure, when] if which == hook && when == time => match failure.as_str() {
            "panic" => panic!("out of order"),
            _ => Err("out of order"),
        },
        _ => Ok(()),
    }
}

fn addresses(listeners: &[ListenerInfo]) -> String {
    let texts: Vec<String> = listeners.iter().map(ToString::to_string).collect();
    texts.join(",")
}
