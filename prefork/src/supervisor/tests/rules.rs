//! The rules of the policy, one test per rule.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use super::super::backoff::Jitter;
use super::super::{
    Action, Backoff, ChildId, Event, FleetOutcome, Gate, KillReason, Parallel, ProgramId,
    Readiness, Refusal, RefusalStage, SlotId, StartFailure, StopCause, StopMode, Verdict, Window,
};
use super::stage::{
    CANARY, DELAY, EXIT, GRACE, HEALTHY, INTERVAL, MOMENT, PATIENCE, READY, SOAK, Stage, TIMEOUT,
    policy,
};

const NOTIFIED: Readiness = Readiness::Notified;
const ASSUMED: Readiness = Readiness::Assumed;

fn start(slot: usize, child: u64) -> Action {
    Action::Start {
        slot: SlotId(slot),
        child: ChildId(child),
        program: ProgramId::OWN,
        previous: None,
        gate: Gate::Open,
    }
}

fn replace(slot: usize, replaced: u64, child: u64) -> Action {
    Action::Start {
        slot: SlotId(slot),
        child: ChildId(child),
        program: ProgramId::OWN,
        previous: Some(ChildId(replaced)),
        gate: Gate::Open,
    }
}

fn kill(child: ChildId, reason: KillReason) -> Action {
    Action::Kill { child, reason }
}

fn ended(stage: &Stage) -> FleetOutcome {
    let outcome = stage.supervisor.outcome();
    outcome.expect("the supervisor has ended").clone()
}

/// Lets the child in slot 0 exit before it is healthy and awaits its replacement.
///
/// Returns the delay.
fn fail_and_wait(stage: &mut Stage) -> Duration {
    let child = stage.child();
    stage.exit(child);
    let begun = stage.now;
    if stage.settle(NOTIFIED).is_empty() {
        let wait = stage.rest().expect("the slot waits");
        stage.pass(wait);
        assert!(matches!(stage.settle(NOTIFIED)[..], [Action::Start { .. }]));
    }
    stage.now - begun
}

// The first start.

#[test]
fn every_slot_is_started_at_once_and_the_master_announced_after_the_last() {
    let mut stage = Stage::new(policy(3));
    let actions = stage.settle(NOTIFIED);
    let expected = [
        start(0, 1),
        start(1, 2),
        start(2, 3),
        Action::AnnounceMasterReady,
    ];
    assert_eq!(actions, expected);
    assert_eq!(stage.rest(), Some(READY));
}

#[test]
fn the_master_is_not_announced_while_a_first_start_is_unanswered() {
    let mut stage = Stage::new(policy(2));
    assert_eq!(stage.ask(), [start(0, 1), start(1, 2)]);
    let (child, readiness) = (ChildId(1), NOTIFIED);
    stage.tell(Event::Started { child, readiness });
    assert_eq!(stage.ask(), []);
}

/// A child that dies meanwhile only delays this: its replacement counts.
#[test]
fn the_fleet_is_healthy_while_each_slot_has_a_healthy_child() {
    let mut stage = Stage::running(policy(2));
    let child = ChildId(2);
    stage.tell(Event::Ready { child });
    let dead = stage.child();
    stage.exit(dead);
    assert!(!stage.supervisor.is_healthy());
    let wait = stage.rest().expect("the slot waits");
    stage.pass(wait);
    stage.settle(NOTIFIED);
    assert!(!stage.supervisor.is_healthy());
    let child = stage.child();
    stage.tell(Event::Ready { child });
    assert!(stage.supervisor.is_healthy());
    stage.exit(child);
    assert!(!stage.supervisor.is_healthy());
    stage.settle(NOTIFIED);
    let child = stage.child();
    stage.tell(Event::Ready { child });
    assert!(stage.supervisor.is_healthy(), "the replacement is healthy");
    stage.stop(StopMode::Graceful);
    assert!(!stage.supervisor.is_healthy());
}

#[test]
fn nothing_is_recovered_before_the_master_is_ready() {
    let mut stage = Stage::new(policy(2));
    assert_eq!(stage.supervisor.next_action(stage.now), Some(start(0, 1)));
    let (child, readiness) = (ChildId(1), NOTIFIED);
    stage.tell(Event::Started { child, readiness });
    stage.exit(child);
    assert_eq!(stage.supervisor.next_action(stage.now), Some(start(1, 2)));
    let child = ChildId(2);
    stage.tell(Event::Started { child, readiness });
    assert_eq!(stage.ask(), [Action::AnnounceMasterReady]);
    stage.exit(child);
    assert_eq!(stage.ask(), []);
    stage.tell(Event::MasterReady);
    assert_eq!(stage.ask(), [replace(0, 1, 3), replace(1, 2, 4)]);
}

#[test]
fn a_first_start_that_fails_ends_the_master_even_if_a_retry_could_succeed() {
    let mut stage = Stage::new(policy(2));
    assert_eq!(stage.supervisor.next_action(stage.now), Some(start(0, 1)));
    let (child, failure) = (ChildId(1), StartFailure::Transient);
    stage.tell(Event::StartFailed { child, failure });
    assert_eq!(stage.ask(), [Action::CloseListeners]);
    let slot = SlotId(0);
    let cause = StopCause::StartFailed {
        slot,
        child,
        failure,
    };
    assert_eq!(ended(&stage).stop.cause, cause);
    assert_eq!(ended(&stage).unkillable, []);
}

#[test]
fn a_failing_hook_stops_every_child() {
    let mut stage = Stage::new(policy(2));
    stage.supervisor.next_action(stage.now);
    let (child, readiness) = (ChildId(1), NOTIFIED);
    stage.tell(Event::Started { child, readiness });
    stage.tell(Event::HookFailed);
    let kill_at = stage.now + GRACE;
    assert_eq!(stage.ask(), [Action::Terminate { child, kill_at }]);
    stage.exit(child);
    stage.ask();
    assert_eq!(ended(&stage).stop.cause, StopCause::HookFailed);
}

// Readiness and health.

#[test]
fn a_child_that_is_not_ready_in_time_is_killed_and_its_exit_counts() {
    let mut stage = Stage::running(policy(1));
    let child = stage.child();
    stage.pass(READY - MOMENT);
    assert_eq!(stage.ask(), []);
    stage.pass(MOMENT);
    assert_eq!(stage.ask(), [kill(child, KillReason::NotReady)]);
    assert_eq!(stage.supervisor.exits_counted(), 0);
    stage.exit(child);
    assert_eq!(stage.ask(), [replace(0, 1, 2)]);
    assert_eq!(stage.supervisor.exits_counted(), 1);
}

#[test]
fn a_child_that_cannot_report_readiness_is_healthy_after_some_time() {
    let mut stage = Stage::new(policy(1));
    stage.settle(ASSUMED);
    assert_eq!(stage.rest(), Some(HEALTHY));
    stage.pass(HEALTHY);
    let child = stage.child();
    assert_eq!(stage.ask(), [Action::ReportHealthy { child }]);
    assert_eq!(stage.rest(), None);
    stage.exit(child);
    assert_eq!(stage.ask(), [replace(0, 1, 2)]);
}

#[test]
fn with_healthy_after_of_zero_a_child_is_healthy_even_if_its_exit_is_the_next_event() {
    let mut policy = policy(1);
    policy.healthy_after = Duration::ZERO;
    policy.recover_threshold = 1;
    policy.recover_window = Window::Sliding(MOMENT);
    let mut stage = Stage::new(policy);
    for child in 1..10 {
        let asked = stage.supervisor.next_action(stage.now);
        let expected = match child {
            1 => start(0, 1),
            _ => replace(0, child - 1, child),
        };
        assert_eq!(asked, Some(expected));
        let (child, readiness) = (ChildId(child), ASSUMED);
        stage.tell(Event::Started { child, readiness });
        stage.exit(child);
        if child == ChildId(1) {
            assert_eq!(stage.ask(), [Action::AnnounceMasterReady]);
            stage.tell(Event::MasterReady);
        }
        stage.pass(MOMENT);
    }
    assert_eq!(stage.supervisor.exits_counted(), 1);
}

#[test]
fn a_child_that_need_not_report_readiness_may_do_so() {
    let mut stage = Stage::new(policy(1));
    stage.settle(ASSUMED);
    let child = stage.child();
    stage.tell(Event::Ready { child });
    assert_eq!(stage.rest(), None);
}

#[test]
fn a_corrected_readiness_is_timed_from_the_start() {
    let mut stage = Stage::new(policy(1));
    stage.settle(ASSUMED);
    let child = stage.child();
    stage.pass(HEALTHY - MOMENT);
    let readiness = NOTIFIED;
    stage.tell(Event::Readiness { child, readiness });
    assert_eq!(stage.rest(), Some(READY - HEALTHY + MOMENT));
    let readiness = ASSUMED;
    stage.pass(2 * MOMENT);
    stage.tell(Event::Readiness { child, readiness });
    assert_eq!(stage.ask(), [Action::ReportHealthy { child }]);
    assert_eq!(stage.rest(), None, "it has lived long enough already");
}

/// A fleet that serves, whose stops have a delay.
fn delaying(slots: usize) -> Stage {
    let mut policy = policy(slots);
    policy.drain_delay = DELAY;
    Stage::serving(policy)
}

#[test]
fn children_serve_on_for_drain_delay_and_then_have_the_whole_grace_period() {
    let mut stage = delaying(2);
    stage.stop(StopMode::Graceful);
    assert!(stage.supervisor.is_stopping() && !stage.supervisor.is_healthy());
    assert_eq!(stage.ask(), []);
    assert_eq!(stage.rest(), Some(DELAY));
    stage.pass(DELAY - MOMENT);
    // Another request does not prolong it.
    stage.stop(StopMode::Graceful);
    assert_eq!(stage.ask(), []);
    stage.pass(MOMENT);
    let kill_at = stage.now + GRACE;
    let asked = [1, 2].map(|child| Action::Terminate {
        child: ChildId(child),
        kill_at,
    });
    assert_eq!(stage.ask(), asked);
}

#[test]
fn an_immediate_stop_has_no_delay_and_ends_one() {
    for is_delayed in [false, true] {
        let mut stage = delaying(1);
        let child = stage.child();
        if is_delayed {
            stage.stop(StopMode::Graceful);
            assert_eq!(stage.ask(), []);
        }
        stage.stop(StopMode::Immediate);
        assert_eq!(stage.ask(), [kill(child, KillReason::OutOfTime)]);
    }
}

#[test]
fn nothing_is_started_in_the_delay_of_a_stop() {
    let mut stage = delaying(3);
    stage.tell(Event::RolloutRequested);
    stage.settle(NOTIFIED);
    let successors = stage.supervisor.fleet().successors();
    let [(successor, ..)] = successors[..] else {
        panic!("{successors:?}");
    };
    stage.exit(ChildId(2));
    stage.stop(StopMode::Graceful);
    stage.exit(ChildId(3));
    let actions = stage.ask();
    let [
        Action::Terminate { child, .. },
        Action::ReportVerdict(Verdict::Stopped),
    ] = actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(child, successor);
    stage.exit(successor);
    assert_eq!(stage.ask(), []);
    // The last child does not accept any more: nothing is left to wait for.
    stage.tell(Event::Closed { child: ChildId(1) });
    let actions = stage.ask();
    assert!(
        matches!(
            actions[..],
            [Action::Terminate { .. }, Action::CloseListeners]
        ),
        "{actions:?}"
    );
}

#[test]
fn a_stop_before_the_master_is_ready_has_no_delay() {
    let mut policy = policy(1);
    policy.drain_delay = DELAY;
    let mut stage = Stage::new(policy);
    stage.supervisor.next_action(stage.now);
    let child = stage.child();
    stage.tell(Event::Started {
        child,
        readiness: NOTIFIED,
    });
    stage.stop(StopMode::Graceful);
    let actions = stage.ask();
    assert!(
        matches!(actions[..], [Action::Terminate { .. }]),
        "{actions:?}"
    );
}

#[test]
fn a_child_that_takes_back_its_readiness_keeps_its_slot() {
    let mut stage = Stage::serving(policy(2));
    let child = stage.child();
    assert!(stage.supervisor.is_healthy());
    stage.tell(Event::Unready { child });
    assert!(!stage.supervisor.is_healthy());
    assert_eq!(stage.ask(), []);
    assert_eq!(
        stage.rest(),
        None,
        "nothing limits how long it is not ready"
    );
    stage.tell(Event::Ready { child });
    assert!(stage.supervisor.is_healthy());
    stage.tell(Event::Unready { child });
    stage.exit(child);
    assert_eq!(stage.ask(), [replace(0, 1, 3)], "at once: it was healthy");
}

#[test]
fn a_child_that_takes_back_its_readiness_before_it_was_healthy_must_report_it() {
    let mut stage = Stage::new(policy(1));
    stage.settle(ASSUMED);
    let child = stage.child();
    stage.pass(HEALTHY - MOMENT);
    stage.tell(Event::Unready { child });
    assert_eq!(stage.rest(), Some(READY - HEALTHY + MOMENT));
    stage.pass(READY);
    assert_eq!(stage.ask(), [kill(child, KillReason::NotReady)]);
}

#[test]
fn a_rollout_does_not_depend_on_the_readiness_of_children_that_fill_slots() {
    let mut stage = Stage::serving(policy(2));
    let old = stage.child();
    stage.tell(Event::Unready { child: old });
    let child = stage.roll_out_slot();
    stage.tell(Event::Unready { child });
    stage.roll_out_slot();
    let verdict = stage
        .settle(NOTIFIED)
        .into_iter()
        .find_map(|action| match action {
            Action::ReportVerdict(verdict) => Some(verdict),
            _ => None,
        });
    assert!(
        matches!(verdict, Some(Verdict::Accepted { .. })),
        "{verdict:?}"
    );
    assert!(!stage.supervisor.is_healthy());
}

#[test]
fn a_child_that_violates_the_protocol_is_killed_and_its_exit_counts() {
    let mut stage = Stage::serving(policy(1));
    let child = stage.child();
    stage.tell(Event::Violation { child });
    assert_eq!(stage.ask(), [kill(child, KillReason::Violation)]);
    stage.tell(Event::Violation { child });
    assert_eq!(stage.ask(), []);
    stage.exit(child);
    assert_eq!(stage.ask(), [replace(0, 1, 2)]);
    assert_eq!(stage.supervisor.exits_counted(), 1);
}

#[test]
fn a_child_that_cannot_be_killed_is_replaced() {
    let mut stage = Stage::serving(policy(1));
    let lost = stage.child();
    stage.tell(Event::Violation { child: lost });
    stage.ask();
    stage.pass(PATIENCE);
    let given_up = Action::GiveUp { child: lost };
    assert_eq!(stage.settle(NOTIFIED), [given_up, replace(0, 1, 2)]);
    assert!(!stage.supervisor.snapshot().is_draining(lost));
    assert_eq!(stage.supervisor.exits_counted(), 1);
    stage.stop(StopMode::Graceful);
    let child = ChildId(2);
    stage.exit(child);
    assert_eq!(stage.ask(), [Action::CloseListeners]);
    assert_eq!(ended(&stage).unkillable, [lost]);
}

#[test]
fn a_child_that_exits_after_it_was_given_up_counts_once() {
    let mut stage = Stage::serving(policy(1));
    let lost = stage.child();
    stage.tell(Event::Violation { child: lost });
    stage.ask();
    stage.pass(PATIENCE);
    stage.settle(NOTIFIED);
    stage.exit(lost);
    assert_eq!(stage.supervisor.exits_counted(), 1);
    stage.stop(StopMode::Graceful);
    stage.exit(ChildId(2));
    stage.ask();
    assert!(ended(&stage).unkillable.is_empty());
}

// Recovery.

#[test]
fn a_healthy_child_is_replaced_at_once() {
    let mut stage = Stage::serving(policy(1));
    for recovered in 2..20 {
        let child = stage.child();
        stage.tell(Event::Ready { child });
        stage.exit(child);
        assert_eq!(
            stage.settle(NOTIFIED),
            [replace(0, recovered - 1, recovered)]
        );
    }
}

#[test]
fn a_healthy_child_that_was_killed_is_replaced_at_once() {
    let mut stage = Stage::running(policy(1));
    for _ in 0..5 {
        fail_and_wait(&mut stage);
    }
    let child = stage.child();
    stage.tell(Event::Ready { child });
    stage.tell(Event::Violation { child });
    stage.ask();
    stage.exit(child);
    assert!(matches!(stage.ask()[..], [Action::Start { .. }]));
}

#[test]
fn every_recovery_waits_the_interval() {
    let mut policy = policy(1);
    policy.recover_interval = INTERVAL;
    let mut stage = Stage::serving(policy);
    let child = stage.child();
    stage.exit(child);
    assert_eq!(stage.ask(), []);
    assert_eq!(stage.rest(), Some(INTERVAL));
    stage.pass(INTERVAL);
    assert_eq!(stage.settle(NOTIFIED), [replace(0, 1, 2)]);
    assert_eq!(fail_and_wait(&mut stage), INTERVAL);
    assert!(fail_and_wait(&mut stage) > INTERVAL);
}

#[test]
fn children_that_exit_together_wait_in_parallel() {
    let mut policy = policy(3);
    policy.recover_interval = INTERVAL;
    let mut stage = Stage::serving(policy);
    for child in stage.supervisor.children() {
        stage.exit(child);
    }
    assert_eq!(stage.ask(), []);
    stage.pass(INTERVAL);
    assert_eq!(
        stage.ask(),
        [replace(0, 1, 4), replace(1, 2, 5), replace(2, 3, 6)]
    );
}

#[test]
fn backoff_doubles_until_a_child_is_healthy() {
    let mut stage = Stage::running(policy(1));
    assert_eq!(fail_and_wait(&mut stage), Duration::ZERO);
    for nominal in [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000] {
        let wait = fail_and_wait(&mut stage).as_millis();
        let range = nominal * 8 / 10..=nominal * 12 / 10;
        assert!(range.contains(&wait), "{wait} is not about {nominal}");
    }
    let child = stage.child();
    stage.tell(Event::Ready { child });
    assert_eq!(
        fail_and_wait(&mut stage),
        Duration::ZERO,
        "the last child was healthy"
    );
    assert_eq!(
        fail_and_wait(&mut stage),
        Duration::ZERO,
        "the first failure in a row"
    );
    assert!(fail_and_wait(&mut stage) > Duration::ZERO);
}

#[test]
fn the_backoff_of_a_slot_does_not_delay_another_slot() {
    let mut stage = Stage::running(policy(2));
    for _ in 0..5 {
        fail_and_wait(&mut stage);
    }
    let other = stage
        .supervisor
        .child_in(SlotId(1))
        .expect("a child starts in slot 1");
    stage.exit(other);
    let actions = stage.ask();
    assert!(matches!(actions[..], [Action::Start { slot, .. }] if slot == SlotId(1)));
}

#[test]
fn the_jitter_comes_from_the_seed() {
    let waits = |seed| {
        let mut policy = policy(1);
        policy.jitter_seed = seed;
        let mut stage = Stage::running(policy);
        let mut waits = vec![];
        for _ in 0..8 {
            waits.push(fail_and_wait(&mut stage));
        }
        waits
    };
    assert_eq!(waits(1), waits(1));
    assert_ne!(waits(1), waits(2));
}

/// The expected numbers are those of another implementation of `SplitMix64`.
#[test]
fn the_jitter_is_spread_by_split_mix_64() {
    // The delay has as many nanoseconds as the number has percent.
    let hundred = Duration::from_nanos(100);
    let (first, max) = (hundred, hundred);
    let mut jitter = Jitter::new(0);
    let percents = [(); 8].map(|()| Backoff { first, max }.delay(2, &mut jitter).as_nanos());
    assert_eq!(percents, [103, 109, 81, 119, 88, 99, 93, 111]);
}

#[test]
fn a_transient_start_failure_counts_as_an_exit_and_backs_off() {
    let mut stage = Stage::serving(policy(1));
    let child = stage.child();
    stage.exit(child);
    let failure = StartFailure::Transient;
    for counted in 1..3 {
        let asked = stage.supervisor.next_action(stage.now);
        let child = stage.child();
        assert!(matches!(asked, Some(Action::Start { .. })));
        assert_eq!(stage.supervisor.exits_counted(), counted);
        stage.tell(Event::StartFailed { child, failure });
    }
    assert_eq!(stage.ask(), []);
    assert!(stage.rest() > Some(Duration::from_millis(79)));
}

#[test]
fn a_permanent_start_failure_is_retried_once_a_child_was_healthy() {
    let mut stage = Stage::serving(policy(2));
    let exited = stage.child();
    stage.exit(exited);
    assert_eq!(stage.ask(), [replace(0, 1, 3)]);
    let (child, failure) = (ChildId(3), StartFailure::Permanent);
    stage.tell(Event::StartFailed { child, failure });
    assert_eq!(stage.ask(), [replace(0, 3, 4)]);
    assert_eq!(stage.supervisor.exits_counted(), 2);
}

#[test]
fn a_permanent_start_failure_ends_a_master_whose_children_were_never_healthy() {
    assert_start_failure_ends(Stage::running(policy(2)), StartFailure::Permanent);
}

#[test]
fn a_start_that_the_master_rejects_ends_it_at_any_time() {
    assert_start_failure_ends(Stage::running(policy(2)), StartFailure::Refused);
    assert_start_failure_ends(Stage::serving(policy(2)), StartFailure::Refused);
}

fn assert_start_failure_ends(mut stage: Stage, failure: StartFailure) {
    let exited = stage.child();
    stage.exit(exited);
    stage.ask();
    let (slot, child) = (SlotId(0), ChildId(3));
    stage.tell(Event::StartFailed { child, failure });
    let kill_at = stage.now + GRACE;
    let other = ChildId(2);
    let terminate = Action::Terminate {
        child: other,
        kill_at,
    };
    assert_eq!(stage.ask(), [terminate]);
    stage.exit(other);
    stage.ask();
    let cause = StopCause::StartFailed {
        slot,
        child,
        failure,
    };
    assert_eq!(ended(&stage).stop.cause, cause);
}

// The budget.

#[test]
fn exit_number_threshold_plus_one_ends_the_master() {
    for window in [Window::Forever, Window::Sliding(Duration::from_mins(1))] {
        let mut policy = policy(2);
        policy.recover_threshold = 3;
        policy.recover_window = window;
        let mut stage = Stage::serving(policy);
        for _ in 0..3 {
            let child = stage.child();
            stage.exit(child);
            stage.settle(NOTIFIED);
            assert!(!stage.supervisor.is_stopping());
            stage.pass(MOMENT * 1000);
            stage.settle(NOTIFIED);
        }
        let child = stage.child();
        stage.exit(child);
        stage.pass(MOMENT * 1000);
        let other = stage.supervisor.children();
        let kill_at = stage.now + GRACE;
        let terminate = Action::Terminate {
            child: other[0],
            kill_at,
        };
        assert_eq!(stage.ask(), [terminate]);
        stage.exit(other[0]);
        stage.ask();
        let cause = StopCause::OverRecovery {
            exits: 4,
            threshold: 3,
            window,
            was_healthy: true,
            slot: SlotId(0),
            child,
        };
        assert_eq!(ended(&stage).stop.cause, cause);
    }
}

#[test]
fn with_a_threshold_of_zero_the_first_exit_ends_the_master() {
    let mut policy = policy(1);
    policy.recover_threshold = 0;
    let mut stage = Stage::serving(policy);
    let child = stage.child();
    stage.exit(child);
    assert_eq!(stage.ask(), [Action::CloseListeners]);
    assert!(matches!(
        ended(&stage).stop.cause,
        StopCause::OverRecovery { exits: 1, .. }
    ));
}

#[test]
fn an_exit_is_forgotten_once_it_is_as_old_as_the_window() {
    let window = Duration::from_mins(1);
    for (pause, is_over) in [(window, false), (window - MOMENT, true)] {
        let mut policy = policy(1);
        policy.recover_threshold = 1;
        policy.recover_window = Window::Sliding(window);
        let mut stage = Stage::serving(policy);
        for _ in 0..2 {
            let child = stage.child();
            stage.exit(child);
            stage.settle(NOTIFIED);
            let child = stage.supervisor.child_in(SlotId(0));
            if let Some(child) = child {
                stage.tell(Event::Ready { child });
            }
            stage.pass(pause);
        }
        assert_eq!(stage.supervisor.is_stopping(), is_over);
    }
}

#[test]
fn children_that_exit_together_are_counted_one_after_the_other() {
    let mut policy = policy(2);
    policy.recover_threshold = 1;
    let mut stage = Stage::serving(policy);
    for child in stage.supervisor.children() {
        stage.exit(child);
    }
    assert_eq!(stage.supervisor.exits_counted(), 0);
    // The first exit is handled before the second one, so that the hooks of its replacement can
    // run.
    assert_eq!(
        stage.supervisor.next_action(stage.now),
        Some(replace(0, 1, 3))
    );
    assert!(!stage.supervisor.is_stopping());
    let (child, readiness) = (ChildId(3), NOTIFIED);
    stage.tell(Event::Started { child, readiness });
    stage.ask();
    assert!(stage.supervisor.is_stopping());
    stage.exit(child);
    stage.ask();
    let cause = ended(&stage).stop.cause;
    let last = ChildId(2);
    assert!(matches!(cause, StopCause::OverRecovery { exits: 2, child, .. } if child == last));
}

#[test]
fn an_exit_counts_when_its_replacement_is_due_and_not_before() {
    let mut policy = policy(1);
    policy.recover_threshold = 0;
    policy.recover_interval = INTERVAL;
    let mut stage = Stage::serving(policy);
    let child = stage.child();
    stage.exit(child);
    stage.pass(INTERVAL - MOMENT);
    assert_eq!(stage.ask(), []);
    assert!(!stage.supervisor.is_stopping());
    stage.pass(MOMENT);
    assert_eq!(stage.ask(), [Action::CloseListeners]);
    assert!(matches!(
        ended(&stage).stop.cause,
        StopCause::OverRecovery { exits: 1, .. }
    ));
}

#[test]
fn an_exit_before_the_master_is_ready_counts_after_it() {
    let mut policy = policy(2);
    policy.recover_threshold = 0;
    let mut stage = Stage::new(policy);
    let readiness = NOTIFIED;
    for child in [ChildId(1), ChildId(2)] {
        stage.supervisor.next_action(stage.now);
        stage.tell(Event::Started { child, readiness });
        stage.exit(child);
    }
    assert_eq!(stage.ask(), [Action::AnnounceMasterReady]);
    stage.tell(Event::MasterReady);
    assert_eq!(stage.ask(), [Action::CloseListeners]);
    assert!(matches!(
        ended(&stage).stop.cause,
        StopCause::OverRecovery { exits: 1, .. }
    ));
}

#[test]
fn the_window_forgets_nothing_before_a_child_was_healthy() {
    let window = Duration::from_secs(1);
    for is_healthy_once in [false, true] {
        let mut policy = policy(1);
        policy.recover_threshold = 2;
        policy.recover_window = Window::Sliding(window);
        let mut stage = Stage::running(policy);
        if is_healthy_once {
            let child = stage.child();
            stage.tell(Event::Ready { child });
        }
        for _ in 0..2 {
            stage.pass(READY);
            fail_and_wait(&mut stage);
        }
        stage.pass(READY);
        let child = stage.child();
        stage.exit(child);
        stage.pass(READY);
        stage.settle(NOTIFIED);
        assert_eq!(stage.supervisor.is_stopping(), !is_healthy_once);
    }
}

// The end of `main`.

#[test]
fn a_process_that_exits_after_its_main_is_recovered_then() {
    let mut stage = Stage::serving(policy(1));
    let child = stage.child();
    stage.tell(Event::MainEnded { child });
    assert_eq!(stage.ask(), []);
    stage.pass(EXIT - MOMENT);
    assert_eq!(stage.ask(), []);
    stage.exit(child);
    assert_eq!(stage.settle(NOTIFIED), [replace(0, 1, 2)]);
    assert_eq!(stage.supervisor.exits_counted(), 1);
}

#[test]
fn a_process_that_outlives_its_main_is_replaced_and_killed_after_the_grace_period() {
    let mut stage = Stage::serving(policy(1));
    let child = stage.child();
    let kill_at = stage.now + GRACE;
    stage.tell(Event::MainEnded { child });
    stage.pass(EXIT);
    let report = Action::ReportRunning { child, kill_at };
    assert_eq!(stage.settle(NOTIFIED), [report, replace(0, 1, 2)]);
    assert!(stage.supervisor.snapshot().is_draining(child));
    stage.tell(Event::Ready { child: ChildId(2) });
    assert_eq!(stage.rest(), Some(GRACE - EXIT));
    stage.pass(GRACE - EXIT);
    assert_eq!(stage.ask(), [kill(child, KillReason::OutOfTime)]);
    stage.exit(child);
    assert_eq!(stage.ask(), []);
    assert_eq!(stage.supervisor.exits_counted(), 1, "it counts once");
}

#[test]
fn at_most_one_child_of_a_slot_outlives_its_main() {
    let mut stage = Stage::serving(policy(1));
    let first = stage.child();
    stage.tell(Event::MainEnded { child: first });
    stage.pass(EXIT);
    stage.settle(NOTIFIED);
    let second = stage.child();
    let kill_at = stage.now + GRACE;
    stage.tell(Event::MainEnded { child: second });
    stage.pass(EXIT);
    let report = Action::ReportRunning {
        child: second,
        kill_at,
    };
    let actions = stage.settle(NOTIFIED);
    assert!(actions.contains(&report), "{actions:?}");
    let killed = kill(first, KillReason::OutOfTime);
    assert!(actions.contains(&killed), "{actions:?}");
}

#[test]
fn a_process_whose_main_ended_has_its_grace_period_in_a_stop_too() {
    let mut stage = Stage::serving(policy(2));
    let [early, late] = [ChildId(1), ChildId(2)];
    stage.tell(Event::MainEnded { child: early });
    stage.stop(StopMode::Graceful);
    let kill_at = stage.now + GRACE;
    let asked = Action::Terminate {
        child: late,
        kill_at,
    };
    assert_eq!(stage.ask(), [asked], "the first drains already");
    stage.tell(Event::MainEnded { child: late });
    assert_eq!(stage.rest(), Some(GRACE));
    stage.pass(GRACE);
    let killed = [early, late].map(|child| kill(child, KillReason::OutOfTime));
    assert_eq!(stage.ask(), killed);
}

#[test]
fn exits_that_the_master_asked_for_do_not_count() {
    let mut policy = policy(2);
    policy.recover_threshold = 0;
    let mut stage = Stage::serving(policy);
    stage.stop(StopMode::Graceful);
    stage.ask();
    for child in stage.supervisor.children() {
        stage.exit(child);
    }
    stage.ask();
    assert_eq!(ended(&stage).stop.cause, StopCause::Requested);
}

// The stop.

#[test]
fn a_stop_asks_every_child_once_and_kills_those_that_do_not_exit() {
    let mut stage = Stage::serving(policy(2));
    stage.stop(StopMode::Graceful);
    let kill_at = stage.now + GRACE;
    let [first, second] = [ChildId(1), ChildId(2)];
    let asked = [first, second].map(|child| Action::Terminate { child, kill_at });
    assert_eq!(stage.ask(), asked);
    assert_eq!(stage.ask(), []);
    stage.exit(first);
    stage.pass(GRACE);
    assert_eq!(stage.ask(), [kill(second, KillReason::OutOfTime)]);
    stage.exit(second);
    assert_eq!(stage.ask(), [Action::CloseListeners]);
    assert_eq!(ended(&stage).stop.cause, StopCause::Requested);
    assert_eq!(ended(&stage).unkillable, []);
}

#[test]
fn a_stop_ends_as_soon_as_all_children_have_exited() {
    let mut stage = Stage::serving(policy(1));
    stage.stop(StopMode::Graceful);
    stage.ask();
    let child = ChildId(1);
    stage.exit(child);
    stage.ask();
    assert_eq!(stage.rest(), None);
    assert_eq!(ended(&stage).stop.cause, StopCause::Requested);
}

#[test]
fn second_stop_request_keeps_the_first_deadline() {
    let mut stage = Stage::serving(policy(1));
    stage.stop(StopMode::Graceful);
    stage.ask();
    stage.pass(GRACE - MOMENT);
    stage.stop(StopMode::Graceful);
    assert_eq!(stage.ask(), []);
    assert_eq!(stage.rest(), Some(MOMENT));
}

#[test]
fn an_immediate_request_during_a_stop_kills_now() {
    let mut stage = Stage::serving(policy(1));
    stage.stop(StopMode::Graceful);
    stage.ask();
    stage.stop(StopMode::Immediate);
    let child = ChildId(1);
    assert_eq!(stage.ask(), [kill(child, KillReason::OutOfTime)]);
    stage.stop(StopMode::Immediate);
    assert_eq!(stage.ask(), []);
}

#[test]
fn an_immediate_stop_and_a_grace_period_of_zero_kill_without_a_request() {
    let killed = [kill(ChildId(1), KillReason::OutOfTime)];
    let mut stage = Stage::serving(policy(1));
    stage.stop(StopMode::Immediate);
    assert_eq!(stage.ask(), killed);
    let mut policy = policy(1);
    policy.shutdown_grace_period = Duration::ZERO;
    let mut stage = Stage::serving(policy);
    stage.stop(StopMode::Graceful);
    assert_eq!(stage.ask(), killed);
}

#[test]
fn a_child_that_does_not_exit_after_sigkill_is_named_and_not_waited_for() {
    let mut stage = Stage::serving(policy(1));
    let child = stage.child();
    stage.stop(StopMode::Immediate);
    stage.ask();
    stage.pass(PATIENCE - MOMENT);
    assert_eq!(stage.ask(), []);
    assert!(stage.supervisor.outcome().is_none());
    stage.pass(MOMENT);
    assert_eq!(
        stage.ask(),
        [Action::GiveUp { child }, Action::CloseListeners]
    );
    assert_eq!(ended(&stage).unkillable, [child]);
}

#[test]
fn nothing_is_started_after_a_stop_began() {
    let mut policy = policy(2);
    policy.recover_interval = INTERVAL;
    let mut stage = Stage::serving(policy);
    let child = stage.child();
    stage.exit(child);
    stage.stop(StopMode::Graceful);
    stage.pass(INTERVAL);
    let actions = stage.ask();
    assert!(matches!(actions[..], [Action::Terminate { .. }]));
    stage.exit(ChildId(2));
    assert_eq!(stage.ask(), [Action::CloseListeners]);
}

#[test]
fn a_child_whose_start_is_answered_during_a_stop_is_asked_to_stop() {
    let mut stage = Stage::new(policy(1));
    assert_eq!(stage.ask(), [start(0, 1)]);
    stage.stop(StopMode::Graceful);
    let kill_at = stage.now + GRACE;
    stage.pass(MOMENT);
    assert_eq!(stage.ask(), []);
    let (child, readiness) = (ChildId(1), NOTIFIED);
    stage.tell(Event::Started { child, readiness });
    assert_eq!(stage.ask(), [Action::Terminate { child, kill_at }]);
}

#[test]
fn a_start_that_is_never_answered_does_not_hang_the_stop() {
    let mut stage = Stage::new(policy(1));
    assert_eq!(stage.ask(), [start(0, 1)]);
    stage.stop(StopMode::Graceful);
    assert_eq!(stage.ask(), []);
    assert_eq!(stage.rest(), Some(GRACE + PATIENCE));
    stage.stop(StopMode::Immediate);
    assert_eq!(stage.rest(), Some(PATIENCE));
    stage.pass(PATIENCE);
    assert_eq!(stage.ask(), [Action::CloseListeners]);
    assert_eq!(ended(&stage).unkillable, [ChildId(1)]);
}

#[test]
fn a_stop_before_the_first_action_ends_at_once() {
    let mut stage = Stage::new(policy(3));
    stage.stop(StopMode::Graceful);
    assert_eq!(stage.ask(), [Action::CloseListeners]);
    assert_eq!(ended(&stage).stop.cause, StopCause::Requested);
}

#[test]
fn listeners_are_closed_once_when_all_remaining_children_have_closed_theirs() {
    let mut stage = Stage::serving(policy(3));
    let [early, late, exited] = [ChildId(1), ChildId(2), ChildId(3)];
    stage.tell(Event::Closed { child: early });
    stage.stop(StopMode::Graceful);
    assert_eq!(stage.ask().len(), 3);
    stage.exit(exited);
    assert_eq!(stage.ask(), []);
    stage.tell(Event::Closed { child: late });
    stage.tell(Event::Closed { child: late });
    assert_eq!(stage.ask(), [Action::CloseListeners]);
    stage.exit(late);
    stage.exit(early);
    assert_eq!(stage.ask(), []);
    assert_eq!(ended(&stage).stop.cause, StopCause::Requested);
}

#[test]
fn a_snapshot_shows_the_announcement_and_then_the_stop() {
    let mut stage = Stage::new(policy(1));
    assert!(!stage.supervisor.snapshot().is_announced());
    stage.settle(NOTIFIED);
    let running = stage.supervisor.snapshot();
    assert!(running.is_announced() && running.stop().is_none());
    for (urgency, is_immediate) in [(StopMode::Graceful, false), (StopMode::Immediate, true)] {
        stage.stop(urgency);
        let stopping = stage.supervisor.snapshot();
        assert!(!stopping.is_announced());
        let stop = stopping.stop().expect("a stop has begun");
        assert_eq!(stop.is_immediate(), is_immediate);
    }
}

#[test]
fn the_first_cause_stays() {
    let mut policy = policy(2);
    policy.recover_threshold = 0;
    let mut stage = Stage::serving(policy);
    let child = stage.child();
    stage.exit(child);
    stage.ask();
    stage.stop(StopMode::Graceful);
    stage.tell(Event::HookFailed);
    stage.exit(ChildId(2));
    stage.ask();
    let before = ended(&stage);
    assert!(matches!(before.stop.cause, StopCause::OverRecovery { .. }));
    stage.stop(StopMode::Immediate);
    stage.tell(Event::HookFailed);
    assert_eq!(stage.ask(), []);
    assert_eq!(ended(&stage), before);
}

// Another number of slots.

fn resize(stage: &mut Stage, slots: usize) {
    let slots = NonZeroUsize::new(slots).expect("a fleet has slots");
    stage.tell(Event::Resize { slots });
}

#[test]
fn new_slots_start_like_the_first_ones() {
    let mut stage = Stage::serving(policy(1));
    resize(&mut stage, 3);
    assert_eq!(stage.settle(NOTIFIED), [start(1, 2), start(2, 3)]);
    let mut stage = Stage::new(policy(1));
    resize(&mut stage, 2);
    let expected = [start(0, 1), start(1, 2), Action::AnnounceMasterReady];
    assert_eq!(stage.settle(NOTIFIED), expected);
}

#[test]
fn the_children_of_removed_slots_drain_and_their_exits_do_not_count() {
    let mut stage = Stage::serving(policy(3));
    resize(&mut stage, 1);
    let kill_at = stage.now + GRACE;
    let [second, third] = [ChildId(2), ChildId(3)];
    let asked = [second, third].map(|child| Action::Terminate { child, kill_at });
    assert_eq!(stage.ask(), asked);
    stage.exit(second);
    assert_eq!(stage.ask(), []);
    stage.pass(GRACE);
    assert_eq!(stage.ask(), [kill(third, KillReason::OutOfTime)]);
    stage.exit(third);
    assert_eq!(stage.ask(), []);
    assert_eq!(stage.supervisor.exits_counted(), 0);
    assert_eq!(stage.supervisor.snapshot().slots().len(), 1);
}

#[test]
fn a_slot_that_is_removed_twice_has_at_most_one_draining_child() {
    let mut stage = Stage::serving(policy(2));
    resize(&mut stage, 1);
    stage.ask();
    resize(&mut stage, 2);
    assert_eq!(stage.settle(NOTIFIED), [start(1, 3)]);
    resize(&mut stage, 1);
    let (child, kill_at) = (ChildId(3), stage.now + GRACE);
    let expected = [
        kill(ChildId(2), KillReason::OutOfTime),
        Action::Terminate { child, kill_at },
    ];
    assert_eq!(stage.ask(), expected);
}

#[test]
fn a_draining_child_keeps_its_time_if_no_other_child_of_its_slot_begins_to_drain() {
    let mut stage = Stage::serving(policy(2));
    let child = stage.child();
    stage.tell(Event::MainEnded { child });
    stage.pass(EXIT);
    stage.settle(NOTIFIED);
    resize(&mut stage, 1);
    let (child, kill_at) = (ChildId(2), stage.now + GRACE);
    assert_eq!(stage.ask(), [Action::Terminate { child, kill_at }]);
    // The slot is removed again before it has another child.
    resize(&mut stage, 2);
    resize(&mut stage, 1);
    assert_eq!(stage.ask(), []);
}

#[test]
fn a_slot_that_is_added_again_recovers_no_child_of_the_removed_one() {
    let mut stage = Stage::serving(policy(2));
    stage.exit(ChildId(2));
    resize(&mut stage, 1);
    resize(&mut stage, 2);
    assert_eq!(stage.settle(NOTIFIED), [start(1, 3)]);
    assert_eq!(stage.supervisor.exits_counted(), 0);
}

#[test]
fn a_removed_slot_is_not_recovered_and_the_announcement_does_not_wait_for_it() {
    let mut stage = Stage::new(policy(2));
    let (child, readiness) = (ChildId(1), NOTIFIED);
    assert_eq!(stage.ask(), [start(0, 1), start(1, 2)]);
    stage.tell(Event::Started { child, readiness });
    resize(&mut stage, 1);
    assert_eq!(stage.settle(NOTIFIED), [Action::AnnounceMasterReady]);
    let mut policy = policy(2);
    policy.recover_interval = INTERVAL;
    let mut stage = Stage::serving(policy);
    stage.exit(ChildId(2));
    resize(&mut stage, 1);
    stage.pass(INTERVAL);
    assert_eq!(stage.ask(), []);
    assert_eq!(stage.supervisor.exits_counted(), 0);
}

#[test]
fn the_same_number_and_any_number_during_a_stop_change_nothing() {
    let mut stage = Stage::serving(policy(2));
    resize(&mut stage, 2);
    assert_eq!(stage.ask(), []);
    stage.stop(StopMode::Graceful);
    assert_eq!(stage.ask().len(), 2);
    for slots in [1, 5] {
        resize(&mut stage, slots);
        assert_eq!(stage.ask(), []);
    }
}

// Ids.

#[test]
fn child_ids_are_unique_whatever_slot_is_restarted_how_often() {
    let mut stage = Stage::serving(policy(2));
    for (slot, dead, next) in [(1, 2, 3), (1, 3, 4), (0, 1, 5), (1, 4, 6), (0, 5, 7)] {
        stage.tell(Event::Ready {
            child: ChildId(dead),
        });
        stage.exit(ChildId(dead));
        assert_eq!(stage.settle(NOTIFIED), [replace(slot, dead, next)]);
    }
}

// Events that come too late.

#[test]
fn a_late_event_about_an_exited_child_does_not_affect_its_replacement() {
    let mut stage = Stage::serving(policy(1));
    let dead = stage.child();
    stage.exit(dead);
    stage.settle(NOTIFIED);
    for child in [dead, ChildId(99), ChildId(0)] {
        stage.tell(Event::Ready { child });
        stage.tell(Event::Violation { child });
        stage.tell(Event::Closed { child });
        stage.exit(child);
    }
    assert_eq!(stage.ask(), []);
    assert_eq!(stage.rest(), Some(READY));
    assert_eq!(stage.supervisor.exits_counted(), 1);
    assert_eq!(stage.supervisor.slot_of(dead), None);
    assert_eq!(stage.supervisor.slot_of(ChildId(2)), Some(SlotId(0)));
}

#[test]
fn durations_that_no_clock_can_hold_mean_very_late() {
    let mut policy = policy(1);
    policy.ready_timeout = Duration::MAX;
    policy.shutdown_grace_period = Duration::MAX;
    policy.kill_timeout = Duration::MAX;
    policy.recover_interval = Duration::MAX;
    let mut stage = Stage::running(policy);
    assert!(stage.rest() > Some(Duration::from_hours(20 * 365 * 24)));
    let child = stage.child();
    stage.exit(child);
    assert_eq!(stage.ask(), []);
    stage.stop(StopMode::Graceful);
    assert_eq!(stage.ask(), [Action::CloseListeners]);
}

// Rollouts.

const NEW: ProgramId = ProgramId(1);

fn open(stage: &mut Stage) {
    stage.tell(Event::RolloutRequested);
    assert_eq!(
        stage.supervisor.next_action(stage.now),
        Some(Action::OpenProgram)
    );
    stage.tell(Event::ProgramOpened { program: NEW });
}

fn successor(slot: usize, child: u64, program: ProgramId) -> Action {
    Action::Start {
        slot: SlotId(slot),
        child: ChildId(child),
        program,
        previous: None,
        gate: Gate::Closed,
    }
}

/// The successor is started, is ready, and serves.
fn serve(stage: &mut Stage, child: ChildId) {
    let readiness = NOTIFIED;
    stage.tell(Event::Started { child, readiness });
    stage.tell(Event::Ready { child });
    assert_eq!(
        stage.supervisor.next_action(stage.now),
        Some(Action::Serve { child })
    );
}

fn replaced(slot: usize, child: u64, previous: u64) -> Action {
    Action::ReportReplaced {
        slot: SlotId(slot),
        child: ChildId(child),
        previous: Some(ChildId(previous)),
    }
}

fn refused(stage: RefusalStage, slot: usize, child: u64) -> Refusal {
    Refusal {
        stage,
        child: Some((SlotId(slot), ChildId(child))),
    }
}

#[test]
fn a_rollout_replaces_one_child_and_then_several_at_once() {
    let mut policy = policy(3);
    policy.rollout.parallel = Parallel::Percent(NonZeroU8::new(50).expect("not zero"));
    let mut stage = Stage::serving(policy);
    let began = stage.now;
    open(&mut stage);
    assert_eq!(stage.ask(), [successor(0, 4, NEW)]);
    serve(&mut stage, ChildId(4));
    assert_eq!(stage.rest(), Some(CANARY));
    stage.pass(CANARY);
    let kill_at = stage.now + GRACE;
    let terminate = |child| Action::Terminate {
        child: ChildId(child),
        kill_at,
    };
    let actions = stage.ask();
    let second_and_third = [successor(1, 5, NEW), successor(2, 6, NEW)];
    assert_eq!(actions[..2], [replaced(0, 4, 1), terminate(1)]);
    assert_eq!(actions[2..], second_and_third);
    for child in [ChildId(5), ChildId(6)] {
        serve(&mut stage, child);
    }
    assert_eq!(stage.rest(), Some(SOAK));
    stage.pass(SOAK);
    let actions = stage.ask();
    let verdict = Verdict::Accepted {
        program: NEW,
        replaced: 3,
        began,
    };
    assert_eq!(actions.last(), Some(&Action::ReportVerdict(verdict)));
    // From now on, recovery starts the new program.
    stage.exit(ChildId(6));
    let [Action::Start { program, gate, .. }] = stage.ask()[..] else {
        panic!("the child is replaced");
    };
    assert_eq!((program, gate), (NEW, Gate::Open));
}

#[test]
fn a_successor_that_fails_before_it_has_soaked_changes_nothing() {
    type Fail = fn(&mut Stage);
    let fails: [(RefusalStage, Fail); 7] = [
        (RefusalStage::Start, |stage| {
            let (child, failure) = (ChildId(3), StartFailure::Permanent);
            stage.tell(Event::StartFailed { child, failure });
        }),
        (RefusalStage::Ready, |stage| {
            let (child, readiness) = (ChildId(3), NOTIFIED);
            stage.tell(Event::Started { child, readiness });
            stage.exit(child);
        }),
        (RefusalStage::Ready, |stage| {
            let (child, readiness) = (ChildId(3), NOTIFIED);
            stage.tell(Event::Started { child, readiness });
            stage.pass(READY);
        }),
        (RefusalStage::Soak, |stage| {
            serve(stage, ChildId(3));
            stage.pass(CANARY - MOMENT);
            stage.exit(ChildId(3));
        }),
        (RefusalStage::Soak, |stage| {
            serve(stage, ChildId(3));
            stage.tell(Event::MainEnded { child: ChildId(3) });
        }),
        (RefusalStage::Ready, |stage| {
            let (child, readiness) = (ChildId(3), NOTIFIED);
            stage.tell(Event::Started { child, readiness });
            stage.tell(Event::Ready { child });
            stage.tell(Event::Unready { child });
        }),
        (RefusalStage::Soak, |stage| {
            serve(stage, ChildId(3));
            stage.tell(Event::Unready { child: ChildId(3) });
        }),
    ];
    for (expected, fail) in fails {
        // No unexpected exit is allowed.
        let mut policy = policy(2);
        policy.recover_threshold = 0;
        let mut stage = Stage::serving(policy);
        open(&mut stage);
        assert_eq!(stage.ask(), [successor(0, 3, NEW)]);
        fail(&mut stage);
        let actions = stage.ask();
        let Some(Action::ReportVerdict(Verdict::Refused {
            refusal,
            rolled_back,
            left,
            ..
        })) = actions.last().copied()
        else {
            panic!("{expected:?}: {actions:?}");
        };
        assert_eq!(refusal, refused(expected, 0, 3));
        assert_eq!((rolled_back, left), (0, 0));
        let slots = [0, 1].map(|slot| stage.supervisor.child_in(SlotId(slot)));
        assert_eq!(slots, [Some(ChildId(1)), Some(ChildId(2))]);
        assert!(stage.supervisor.is_healthy());
    }
}

#[test]
fn a_refused_rollout_gives_the_slots_their_program_back() {
    let mut stage = Stage::serving(policy(2));
    open(&mut stage);
    stage.ask();
    serve(&mut stage, ChildId(3));
    stage.pass(CANARY);
    assert_eq!(stage.ask().last(), Some(&successor(1, 4, NEW)));
    stage.tell(Event::StartFailed {
        child: ChildId(4),
        failure: StartFailure::Transient,
    });
    // The old program has proved itself: it does not soak.
    assert_eq!(stage.ask(), [successor(0, 5, ProgramId::OWN)]);
    serve(&mut stage, ChildId(5));
    let actions = stage.ask();
    assert_eq!(actions[0], replaced(0, 5, 3));
    let Some(Action::ReportVerdict(Verdict::Refused {
        refusal,
        rolled_back,
        left,
        ..
    })) = actions.last().copied()
    else {
        panic!("{actions:?}");
    };
    assert_eq!(refusal, refused(RefusalStage::Start, 1, 4));
    assert_eq!((rolled_back, left), (1, 0));
}

#[test]
fn a_slot_that_cannot_be_rolled_back_keeps_its_child_until_it_exits() {
    let mut policy = policy(2);
    policy.recover_threshold = 0;
    let mut stage = Stage::serving(policy);
    open(&mut stage);
    stage.ask();
    serve(&mut stage, ChildId(3));
    stage.pass(CANARY);
    stage.ask();
    for child in [ChildId(4), ChildId(5)] {
        let failure = StartFailure::Transient;
        stage.tell(Event::StartFailed { child, failure });
        stage.ask();
    }
    assert_eq!(stage.supervisor.child_in(SlotId(0)), Some(ChildId(3)));
    // Its exit does not count, although none is allowed.
    stage.exit(ChildId(3));
    assert_eq!(stage.ask(), [replace(0, 3, 6)]);
}

#[test]
fn an_exit_of_the_new_program_before_the_verdict_refuses_the_rollout() {
    let mut policy = policy(2);
    policy.recover_threshold = 0;
    let mut stage = Stage::serving(policy);
    open(&mut stage);
    stage.ask();
    serve(&mut stage, ChildId(3));
    stage.pass(CANARY);
    stage.ask();
    stage.exit(ChildId(3));
    let actions = stage.ask();
    assert!(actions.contains(&replace(0, 3, 5)), "{actions:?}");
    let Some(Action::ReportVerdict(Verdict::Refused { refusal, .. })) = actions
        .iter()
        .copied()
        .find(|action| matches!(action, Action::ReportVerdict(_)))
    else {
        panic!("{actions:?}");
    };
    assert_eq!(refusal, refused(RefusalStage::Serve, 0, 3));
}

#[test]
fn a_crash_during_a_rollout_recovers_the_accepted_program_and_counts() {
    let mut stage = Stage::serving(policy(2));
    open(&mut stage);
    stage.ask();
    stage.exit(ChildId(2));
    assert_eq!(stage.ask(), [replace(1, 2, 4)]);
    assert_eq!(stage.supervisor.exits_counted(), 1);
}

#[test]
fn rollouts_that_are_requested_during_another_one_are_one() {
    let mut stage = Stage::serving(policy(1));
    open(&mut stage);
    stage.ask();
    for _ in 0..50 {
        stage.tell(Event::RolloutRequested);
    }
    assert_eq!(stage.ask(), []);
    stage.exit(ChildId(2));
    let actions = stage.ask();
    assert!(
        matches!(actions[..], [Action::ReportVerdict(_), Action::OpenProgram]),
        "{actions:?}"
    );
    stage.tell(Event::ProgramFailed);
    let actions = stage.ask();
    assert!(
        matches!(actions[..], [Action::ReportVerdict(_)]),
        "{actions:?}"
    );
}

#[test]
fn a_rollout_waits_until_the_master_is_ready() {
    let mut stage = Stage::new(policy(1));
    stage.tell(Event::RolloutRequested);
    let actions = stage.settle(NOTIFIED);
    let announced = actions
        .iter()
        .position(|&action| action == Action::AnnounceMasterReady);
    let opened = actions
        .iter()
        .position(|&action| action == Action::OpenProgram);
    assert!(announced.is_some() && announced < opened, "{actions:?}");
}

#[test]
fn a_rollout_that_takes_too_long_is_refused() {
    let mut policy = policy(1);
    policy.ready_timeout = Duration::MAX;
    let mut stage = Stage::serving(policy);
    open(&mut stage);
    stage.settle(NOTIFIED);
    stage.pass(TIMEOUT - MOMENT);
    assert_eq!(stage.ask(), []);
    stage.pass(MOMENT);
    let actions = stage.ask();
    let Some(Action::ReportVerdict(Verdict::Refused { refusal, .. })) = actions.last().copied()
    else {
        panic!("{actions:?}");
    };
    assert_eq!(refusal, refused(RefusalStage::Time, 0, 2));
}

#[test]
fn a_stop_ends_a_rollout() {
    let mut stage = Stage::serving(policy(2));
    open(&mut stage);
    stage.settle(NOTIFIED);
    stage.tell(Event::RolloutRequested);
    stage.stop(StopMode::Graceful);
    let actions = stage.ask();
    assert!(actions.contains(&Action::ReportVerdict(Verdict::Stopped)));
    let asked = actions
        .iter()
        .filter(|action| matches!(action, Action::Terminate { .. }));
    assert_eq!(asked.count(), 3, "the successor leaves too");
    stage.tell(Event::RolloutRequested);
    assert_eq!(stage.ask(), []);
}

// Children of a program that is not accepted.

/// In a fleet of two slots, the child 3 of program 1 has replaced the child of slot 0, and the
/// successor 4 of slot 1 was started.
fn half_rolled_out() -> Stage {
    let mut stage = Stage::serving(policy(2));
    stage.tell(Event::RolloutRequested);
    stage.settle(NOTIFIED);
    stage.tell(Event::Ready { child: ChildId(3) });
    stage.settle(NOTIFIED);
    stage.pass(CANARY);
    stage.settle(NOTIFIED);
    stage.exit(ChildId(1));
    assert_eq!(stage.child(), ChildId(3));
    assert_eq!(stage.supervisor.slot_of(ChildId(4)), Some(SlotId(1)));
    stage
}

#[test]
fn a_program_is_refused_when_it_fails_and_not_only_when_its_process_has_exited() {
    let failures: [fn(ChildId) -> Event; 2] = [
        |child| Event::MainEnded { child },
        |child| Event::Violation { child },
    ];
    for failure in failures {
        let mut stage = half_rolled_out();
        stage.tell(failure(ChildId(3)));
        let actions = stage.settle(NOTIFIED);
        let kill_at = stage.now + GRACE;
        let child = ChildId(4);
        assert!(actions.contains(&Action::Terminate { child, kill_at }));
        let replaces = |action: &Action| {
            matches!(
                action,
                Action::Start {
                    slot: SlotId(0),
                    program: ProgramId::OWN,
                    ..
                }
            )
        };
        assert!(actions.iter().any(replaces));
    }
}

#[test]
fn a_child_of_a_refused_program_does_not_refuse_the_next_one() {
    let mut stage = half_rolled_out();
    stage.exit(ChildId(4));
    stage.settle(NOTIFIED);
    stage.exit(ChildId(5));
    stage.tell(Event::RolloutRequested);
    stage.settle(NOTIFIED);
    assert_eq!(stage.supervisor.slot_of(ChildId(6)), Some(SlotId(0)));
    assert_eq!(
        stage.child(),
        ChildId(3),
        "the roll-back of slot 0 has failed"
    );
    stage.exit(ChildId(3));
    assert_eq!(stage.settle(NOTIFIED), [replace(0, 3, 7)]);
    assert_eq!(stage.supervisor.exits_counted(), 0);
}
