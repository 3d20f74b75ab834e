//! Long random runs of fleets of 1 to 10,000 slots in virtual time.
//!
//! `cargo test` runs a short form with fixed seeds. The long form runs new seeds on two threads:
//!
//! ```sh
//! PREFORK_SWARM_EVENTS=100000000 cargo test --release -p prefork --lib \
//!     supervisor::tests::swarm -- --nocapture
//! ```
//!
//! A failure prints a schedule that pastes into `swarm/found.rs`. `PREFORK_SWARM_SEED=<seed>` begins
//! with that seed instead.

mod broken;
mod found;
mod observer;
mod plan;
mod replay;
mod rollouts;
mod shrink;
mod world;

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use broken::Broken;
use plan::{Nanos, Plan, Rng};
use shrink::{Schedule, guard};
use world::{NAMES, Tally, World};

/// Events of the short form.
const EVENTS: u64 = 150_000;

/// If no seed ends within this time, a call of the supervisor does not return. The longest seeds take
/// seconds. Other programs may leave little processor time.
const HANG: Duration = Duration::from_mins(10);

/// The result of one seed.
struct Run {
    seed: u64,
    events: u64,
    time: Nanos,
    slots: usize,
    tally: Tally,
    broken: Option<Broken>,
}

#[test]
fn fleets_of_any_size_keep_every_promise_whatever_happens() {
    let number = |name| {
        env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect(name))
    };
    let events = number("PREFORK_SWARM_EVENTS");
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let new = since.expect("a time after 1970").as_secs() * 1_000_000;
    let first = number("PREFORK_SWARM_SEED").unwrap_or(if events.is_some() { new } else { 1 });
    let threads = if events.is_some() { 2 } else { 1 };
    let goal = events.unwrap_or(EVENTS);
    let began = Instant::now();
    println!("first seed: {first}");
    let next = Arc::new(AtomicU64::new(first));
    let (sender, results) = channel();
    for _ in 0..threads {
        // Not scoped: a thread that hangs must not keep the test from failing.
        let (next, sender) = (Arc::clone(&next), sender.clone());
        let swarm = thread::Builder::new().name("swarm".to_owned());
        swarm
            .spawn(move || run_seeds(&next, &sender))
            .expect("a thread");
    }
    let (mut done, mut seeds, mut years, mut tally) = (0, 0, 0.0, Tally::default());
    let mut largest = 0;
    let mut printed = began;
    while done < goal {
        let run = results.recv_timeout(HANG).unwrap_or_else(|_| {
            let last = next.load(Ordering::Relaxed) - 1;
            panic!("`next_action` does not return: seed {last} or the one before")
        });
        if let Some(broken) = run.broken {
            fail(run.seed, &broken);
        }
        done += run.events;
        seeds += 1;
        years += Duration::from_nanos(run.time).as_secs_f64() / (365.25 * 24.0 * 3_600.0);
        largest = largest.max(run.slots);
        tally.merge(&run.tally);
        if printed.elapsed() > Duration::from_secs(10) || done >= goal {
            printed = Instant::now();
            let seconds = began.elapsed().as_secs_f64();
            println!(
                "{seeds} seeds, {done} events, {years:.0} virtual years, up to {largest} slots, \
                 {seconds:.0} s"
            );
        }
    }
    next.store(u64::MAX / 2, Ordering::Relaxed);
    println!("{:?}", tally.counts());
    for name in NAMES {
        let is_seen = tally.counts().iter().any(|(seen, _)| *seen == name);
        assert!(is_seen, "no seed reached '{name}'");
    }
}

/// Runs one seed after the other until the test has ended.
fn run_seeds(next: &AtomicU64, results: &Sender<Run>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= u64::MAX / 2 || results.send(run(seed)).is_err() {
            return;
        }
    }
}

fn run(seed: u64) -> Run {
    let mut world = world(seed);
    let broken = guard(|| world.run()).err();
    Run {
        seed,
        events: world.events,
        slots: world.replay.observer().most_slots(),
        time: world.clock(),
        tally: world.tally,
        broken,
    }
}

/// One of 16 seeds is a longer run, and one of 128 a long one, which can have a large fleet.
fn world(seed: u64) -> World {
    let mut rng = Rng::new(seed);
    let longest = if seed.is_multiple_of(128) {
        400_000
    } else if seed.is_multiple_of(16) {
        40_000
    } else {
        4_000
    };
    World::new(Plan::draw(&mut rng, longest), rng)
}

/// Repeats the seed, and prints a test.
fn fail(seed: u64, broken: &Broken) -> ! {
    let mut world = world(seed);
    world.replay.record();
    let _ = guard(|| world.run());
    let policy = world.plan.policy.clone();
    let schedule = Schedule::of(policy, world.replay.steps());
    let (promise, detail) = (broken.promise, &broken.detail);
    println!("seed {seed} breaks the promise '{promise}': {detail}");
    let schedule = schedule.expect("the same calls break the same promise");
    let calls = schedule.steps.len();
    let schedule = schedule.shrink();
    println!(
        "{calls} calls, {} of them are enough:\n",
        schedule.steps.len()
    );
    println!("{}", schedule.to_test());
    panic!("seed {seed} breaks the promise '{promise}'");
}
