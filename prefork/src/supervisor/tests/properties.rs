//! Random fleets: every promise in `book` holds, whatever children and operators do.

use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::{Backoff, Policy, Readiness, StartFailure, StopMode, Window};
use super::fleet::{Blow, FleetSimulation, Script, Start, Temper};

proptest! {
    #[test]
    fn every_promise_holds_for_children_of_any_temper(script in script(any_temper(), 1..4)) {
        FleetSimulation::run(script);
    }

    #[test]
    fn every_promise_holds_for_children_that_crash(script in script(crashing(), 0..3)) {
        FleetSimulation::run(script);
    }

    #[test]
    fn every_promise_holds_if_starts_are_answered_late_or_never(
        script in script(prop_oneof![3 => any_temper(), 1 => unanswered()], 0..3)
    ) {
        FleetSimulation::run(script);
    }

    #[test]
    fn every_promise_holds_if_the_number_of_slots_changes(
        mut script in script(prop_oneof![5 => any_temper(), 1 => unanswered()], 0..2),
        resizes in vec((millis(20_000), 1..7_usize), 1..6),
        moment in any::<bool>(),
    ) {
        // Several changes at one instant, or some time apart.
        let at = |at| if moment { at % 1_000 } else { at };
        let resizes = resizes.into_iter().map(|(time, slots)| (at(time), Blow::Resize(slots)));
        script.blows.extend(resizes);
        script.policy.recover_threshold = 1_000;
        FleetSimulation::run(script);
    }

    #[test]
    fn children_that_stay_alive_are_never_restarted(mut script in script(calm(), 0..1)) {
        let slots = script.policy.slots.get();
        script.policy.recover_threshold = 0;
        script.policy.ready_timeout = Duration::from_secs(10);
        let book = FleetSimulation::run(script);
        prop_assert_eq!(book.starts(), slots);
    }
}

fn script(
    temper: impl Strategy<Value = Temper>,
    blows: std::ops::Range<usize>,
) -> impl Strategy<Value = Script> {
    let hook = prop_oneof![Just(0), 0..3_000_u64];
    let parts = (
        policy(),
        vec(temper, 1..12),
        vec(blow(), blows),
        hook,
        1_000..60_000_u64,
    );
    parts.prop_map(|(policy, tempers, blows, hook, horizon)| Script {
        policy,
        tempers,
        blows,
        hook,
        horizon,
    })
}

/// Round numbers, so that deadlines and events often coincide.
fn millis(max: u64) -> impl Strategy<Value = u64> {
    (0..=max / 250).prop_map(|quarters| quarters * 250)
}

fn duration(max: u64) -> impl Strategy<Value = Duration> {
    millis(max).prop_map(Duration::from_millis)
}

fn policy() -> impl Strategy<Value = Policy> {
    let window = prop_oneof![
        Just(Window::Forever),
        (1..80_u64).prop_map(|quarters| Window::Sliding(Duration::from_millis(quarters * 250)))
    ];
    let budget = (prop_oneof![0..4_u32, 0..60_u32], window, duration(2_000));
    let times = (
        duration(2_000),
        duration(10_000),
        duration(8_000),
        (duration(500), duration(2_000)),
    );
    (1..6_usize, budget, times, any::<u64>()).prop_map(|(slots, budget, times, jitter_seed)| {
        let (recover_threshold, recover_window, recover_interval) = budget;
        let (healthy_after, ready_timeout, shutdown_grace_period, timeouts) = times;
        let (exit_patience, kill_patience) = timeouts;
        Policy {
            slots: NonZeroUsize::new(slots).expect("at least one"),
            recover_threshold,
            recover_window,
            recover_interval,
            healthy_after,
            ready_timeout,
            shutdown_grace_period,
            exit_timeout: exit_patience,
            kill_timeout: kill_patience,
            backoff: Backoff::default(),
            jitter_seed,
        }
    })
}

fn readiness() -> impl Strategy<Value = Readiness> {
    prop_oneof![Just(Readiness::Notified), Just(Readiness::Assumed)]
}

fn any_temper() -> impl Strategy<Value = Temper> {
    let start = prop_oneof![
        12 => readiness().prop_map(Start::Succeeds),
        2 => Just(Start::Fails(StartFailure::Transient)),
        1 => Just(Start::Fails(StartFailure::Permanent)),
        1 => Just(Start::Fails(StartFailure::Refused)),
    ];
    let life = (
        option::of((millis(5_000), readiness())),
        option::of(millis(12_000)),
        option::weighted(0.1, millis(20_000)),
        option::of(millis(30_000)),
        option::weighted(0.3, millis(20_000)),
    );
    let death = (
        option::of(millis(5_000)),
        option::weighted(0.8, millis(10_000)),
        option::weighted(0.8, millis(2_500)),
    );
    (start, life, death).prop_map(|(start, life, death)| {
        let (corrects, ready, lies, dies, main_ends) = life;
        let (closes, drains, ends) = death;
        Temper {
            start,
            corrects_readiness: corrects,
            ready,
            lies,
            dies,
            main_ends,
            closes,
            drains,
            ends,
        }
    })
}

fn crashing() -> impl Strategy<Value = Temper> {
    (any_temper(), millis(1_000)).prop_map(|(temper, dies)| Temper {
        start: Start::Succeeds(Readiness::Notified),
        dies: Some(dies),
        ..temper
    })
}

fn calm() -> impl Strategy<Value = Temper> {
    (any_temper(), readiness(), millis(5_000)).prop_map(|(temper, readiness, ready)| Temper {
        start: Start::Succeeds(readiness),
        corrects_readiness: None,
        ready: Some(ready),
        lies: None,
        dies: None,
        main_ends: None,
        ..temper
    })
}

fn unanswered() -> impl Strategy<Value = Temper> {
    let start = prop_oneof![
        Just(Start::NeverAnswered),
        millis(10_000).prop_map(Start::Late)
    ];
    (any_temper(), start).prop_map(|(temper, start)| Temper { start, ..temper })
}

fn blow() -> impl Strategy<Value = (u64, Blow)> {
    let blow = prop_oneof![
        3 => Just(Blow::Stop(StopMode::Graceful)),
        2 => Just(Blow::Stop(StopMode::Immediate)),
        1 => Just(Blow::HookFails),
        1 => Just(Blow::ListenerLost),
        1 => Just(Blow::MasterReadyAgain),
        4 => (1..7_usize).prop_map(Blow::Resize),
        6 => (any::<u8>(), 0..30_u64).prop_map(|(kind, child)| Blow::Stale(kind, child)),
    ];
    (millis(40_000), blow)
}
