//! Processor time of the supervisor for one event, in a small and in a large fleet.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use prefork_bench::policy::Fleet;

use crate::figure::{Goal, Row, Unit, seconds};
use crate::samples::Compared;

const ROUNDS: usize = 60;
const EXITS: u32 = 20_000;

pub(crate) fn rows() -> Vec<Row> {
    let mut fleets = [100, 100, 10_000].map(Fleet::new);
    let [small, again, large] = &mut fleets;
    let [compared] = Compared::in_turn(ROUNDS, || cost(small), || cost(again), || cost(large));
    let what = "one event of the supervisor with 100 (baseline) and 10,000 slots (goal ≤ 1 µs)";
    vec![Row::ratio(
        what,
        &compared,
        Unit::Microseconds,
        Goal::AtMost(2.0),
    )]
}

fn cost(fleet: &mut Fleet) -> [f64; 1] {
    let before = cpu_time();
    fleet.exit_children(EXITS);
    let spent = cpu_time().saturating_sub(before);
    [seconds(spent) / f64::from(EXITS * Fleet::EVENTS_PER_EXIT)]
}

fn cpu_time() -> Duration {
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
    clock_gettime(clock).expect("Linux has this clock").into()
}
