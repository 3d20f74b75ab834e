//! Rollouts under load: no request fails, unless the successor that answers it exits.
//!
//! `cargo test` runs the short form. The long form has five rollouts and all bad programs, at 2,000
//! connections per second:
//!
//! ```sh
//! PREFORK_TESTS_ROLLOUT=1 cargo test --release -p prefork-tests --test rollout load -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prefork_testkit::RunningServer;
use prefork_testkit::load::Load;

use super::bad_programs::{BAD_PROGRAMS, BadProgram, server};
use super::releases::{Releases, settled};

/// How much the test does.
struct Extent {
    rate: u32,
    rollouts: usize,
    bad_programs: Vec<&'static BadProgram>,
}

impl Extent {
    fn requested() -> Self {
        if std::env::var_os("PREFORK_TESTS_ROLLOUT").is_some() {
            return Self {
                rate: 2000,
                rollouts: 5,
                bad_programs: BAD_PROGRAMS.iter().collect(),
            };
        }
        let names = ["a library is missing", "exits before main", "fails"];
        let bad_programs = BAD_PROGRAMS.iter();
        Self {
            rate: 200,
            rollouts: 2,
            bad_programs: bad_programs
                .filter(|bad| names.contains(&bad.name))
                .collect(),
        }
    }
}

#[test]
fn no_request_fails_in_rollouts_of_good_and_bad_programs() {
    let extent = Extent::requested();
    let releases = Releases::new();
    let server = server(&releases).start();
    settled(&server);
    let load = Load::new(server.addr())
        .connections(64)
        .connection_per_request()
        .rate(extent.rate)
        .start();
    let has_ended = AtomicBool::new(false);
    let (fewest, checks) = (AtomicUsize::new(usize::MAX), AtomicUsize::new(0));
    // When a successor exits while it serves.
    let mut crashes = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !has_ended.load(Ordering::Acquire) {
                fewest.fetch_min(occupied_slots(&server), Ordering::AcqRel);
                checks.fetch_add(1, Ordering::AcqRel);
                thread::sleep(Duration::from_millis(20));
            }
        });
        // A failed check must not leave the thread running.
        let _end = OnDrop(|| has_ended.store(true, Ordering::Release));
        load.wait_for_answers(100);
        for _ in 0..extent.rollouts {
            assert_accepted(&server, &releases);
            load.wait_for_answers(100);
        }
        for bad in &extent.bad_programs {
            let before = Instant::now();
            bad.assert_refused(&server, &releases);
            if bad.exits_while_it_serves() {
                crashes.push(before..=Instant::now());
            }
            load.wait_for_answers(100);
        }
        assert_accepted(&server, &releases);
        load.wait_for_answers(100);
    });
    let report = load.stop();
    println!("{report}\n{checks:?} counts of the slots with a worker");
    // Only the request that the successor answers when it exits; it answers one at a time.
    report.assert_only(|failed| {
        crashes
            .iter()
            .any(|time| failed.is_explained_by_exit(0, time))
    });
    let allowed = u64::try_from(crashes.len()).expect("a few");
    assert!(report.failed() <= allowed, "{report}");
    assert_eq!(fewest.into_inner(), 4, "slots with a worker");
}

fn assert_accepted(server: &RunningServer, releases: &Releases) {
    let before = settled(server);
    let verdict = releases.roll_out(server, "one");
    assert!(verdict.contains("replaced 4 workers"), "{verdict}");
    let after = settled(server);
    assert!(before.iter().all(|old| !after.contains(old)), "{after:?}");
}

/// The number of slots with a process.
fn occupied_slots(server: &RunningServer) -> usize {
    let children = server.children().into_iter();
    children
        .map(|child| child.slot)
        .collect::<BTreeSet<_>>()
        .len()
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
