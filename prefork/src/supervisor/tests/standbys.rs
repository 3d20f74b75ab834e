//! The rules of standbys that no single cell of `TABLE.md` shows.

use super::super::{
    Action, ChildId, Event, Gate, Policy, ProgramId, Readiness, SlotId, StopCause, StopMode,
};
use super::stage::{INTERVAL, Stage, policy};

const STANDBY: usize = SlotId::FIRST_STANDBY;

fn with_standbys(slots: usize, standbys: usize) -> Policy {
    Policy {
        standbys,
        ..policy(slots)
    }
}

/// Each slot serves, and each standby is ready.
fn ready(policy: Policy) -> Stage {
    let mut stage = Stage::serving(policy);
    stage.settle(Readiness::Notified);
    for child in stage.supervisor.children() {
        stage.tell(Event::Ready { child });
    }
    assert_eq!(stage.ask(), []);
    stage
}

fn standby(stage: &Stage, number: usize) -> ChildId {
    let child = stage.supervisor.child_in(SlotId::standby(number));
    child.expect("there is one")
}

fn started(actions: &[Action]) -> Vec<(usize, Gate)> {
    let start = |action: &Action| match action {
        Action::Start { slot, gate, .. } => Some((slot.0, *gate)),
        _ => None,
    };
    actions.iter().filter_map(start).collect()
}

#[test]
fn standbys_are_started_when_every_slot_serves_and_not_before() {
    let mut stage = Stage::running(with_standbys(2, 2));
    let [first, second] = stage.supervisor.children()[..] else {
        panic!("two slots");
    };
    stage.tell(Event::Ready { child: first });
    assert_eq!(stage.ask(), []);
    stage.tell(Event::Ready { child: second });
    let expected = [(STANDBY, Gate::Closed), (STANDBY + 1, Gate::Closed)];
    assert_eq!(started(&stage.ask()), expected);
}

#[test]
fn a_ready_standby_replaces_a_child_at_once_and_the_next_one_is_started() {
    let mut policy = with_standbys(1, 1);
    policy.recover_interval = INTERVAL;
    let mut stage = ready(policy);
    let (previous, child, slot) = (stage.child(), standby(&stage, 0), SlotId(0));
    stage.exit(previous);
    let promote = Action::Promote {
        slot,
        child,
        previous,
    };
    assert_eq!(stage.ask(), [promote]);
    assert_eq!(stage.child(), child);
    assert!(stage.supervisor.is_healthy());
    assert_eq!(stage.supervisor.exits_counted(), 1);
    assert_eq!(stage.rest(), Some(INTERVAL));
    stage.pass(INTERVAL);
    assert_eq!(started(&stage.ask()), [(STANDBY, Gate::Closed)]);
    assert_eq!(stage.supervisor.exits_counted(), 1);
}

#[test]
fn the_next_standby_leaves_the_processor_to_the_promoted_child() {
    let mut policy = with_standbys(1, 1);
    policy.standby_pause = INTERVAL;
    let mut stage = ready(policy);
    stage.exit(stage.child());
    assert_eq!(stage.ask().len(), 1, "the promotion");
    assert_eq!(stage.rest(), Some(INTERVAL));
}

#[test]
fn a_standby_that_becomes_ready_fills_a_slot_that_waits() {
    let mut policy = with_standbys(1, 1);
    policy.recover_interval = INTERVAL;
    let mut stage = Stage::serving(policy);
    stage.settle(Readiness::Notified);
    let child = standby(&stage, 0);
    stage.exit(stage.child());
    assert_eq!(stage.ask(), []);
    stage.tell(Event::Ready { child });
    let promoted = stage.ask();
    assert!(matches!(promoted[..], [Action::Promote { child: c, .. }] if c == child));
}

#[test]
fn a_promoted_child_that_exits_counts_like_any_healthy_one() {
    let mut policy = with_standbys(1, 1);
    policy.recover_threshold = 1;
    let mut stage = ready(policy);
    stage.exit(stage.child());
    stage.settle(Readiness::Notified);
    // It has exited before the frame reached it.
    let promoted = stage.child();
    stage.exit(promoted);
    stage.ask();
    let stop = stage.supervisor.snapshot().stop().expect("one too many");
    let is_counted = matches!(
        stop.cause,
        StopCause::OverRecovery { exits: 2, child, slot: SlotId(0), .. } if child == promoted
    );
    assert!(is_counted, "{:?}", stop.cause);
}

#[test]
fn a_standby_that_exits_counts_as_a_start_that_failed() {
    let mut stage = ready(with_standbys(1, 1));
    for exits in 1..=3 {
        let child = standby(&stage, 0);
        stage.exit(child);
        let wait = stage.rest();
        assert_eq!(
            wait.is_none_or(|wait| wait.is_zero()),
            exits == 1,
            "back-off"
        );
        stage.pass(wait.unwrap_or_default());
        stage.settle(Readiness::Notified);
        assert_eq!(stage.supervisor.exits_counted(), exits);
        let child = standby(&stage, 0);
        stage.tell(Event::Ready { child });
    }
}

#[test]
fn an_accepted_rollout_replaces_the_standbys_and_a_refused_one_does_not() {
    let mut stage = ready(with_standbys(2, 1));
    let old = standby(&stage, 0);
    // The rollout is refused in slot 1.
    stage.roll_out_slot();
    stage.settle(Readiness::Notified);
    let (bad, ..) = stage.supervisor.fleet().successors()[0];
    stage.exit(bad);
    // The child of the new program exits: the standby has the accepted one.
    let previous = stage.child();
    stage.exit(previous);
    let action = stage.supervisor.next_action(stage.now);
    assert!(
        matches!(action, Some(Action::Promote { child, slot: SlotId(0), .. }) if child == old),
        "{action:?}"
    );
    assert_eq!(stage.supervisor.exits_counted(), 0);
    stage.settle(Readiness::Notified);
    let child = standby(&stage, 0);
    stage.tell(Event::Ready { child });
    for (child, ..) in stage.supervisor.fleet().draining() {
        stage.exit(child);
    }
    // The next rollout is accepted.
    stage.roll_out_slot();
    stage.roll_out_slot();
    let actions = stage.settle(Readiness::Notified);
    let starts = actions.iter().filter_map(|action| match action {
        Action::Start { slot, program, .. } => Some((slot.0, *program)),
        _ => None,
    });
    assert!(starts.eq([(STANDBY, ProgramId(2))]), "{actions:?}");
    let is_asked =
        |action: &Action| matches!(action, Action::Terminate { child: c, .. } if *c == child);
    assert!(actions.iter().any(is_asked), "{actions:?}");
}

#[test]
fn a_stop_ends_standbys_and_starts_none() {
    let mut stage = ready(with_standbys(1, 1));
    let children = stage.supervisor.children();
    stage.stop(StopMode::Graceful);
    let actions = stage.ask();
    assert_eq!(actions.len(), children.len(), "{actions:?}");
    for child in children {
        stage.exit(child);
    }
    assert_eq!(stage.ask(), [Action::CloseListeners]);
    assert!(stage.supervisor.outcome().is_some());
}

#[test]
fn other_numbers_of_slots_change_no_standby() {
    let mut stage = ready(with_standbys(2, 1));
    let child = standby(&stage, 0);
    for slots in [1, 3] {
        let slots = std::num::NonZeroUsize::new(slots).expect("not zero");
        stage.tell(Event::Resize { slots });
        let actions = stage.settle(Readiness::Notified);
        let starts = started(&actions);
        assert!(
            starts.iter().all(|&(slot, _)| slot < STANDBY),
            "{actions:?}"
        );
        assert_eq!(standby(&stage, 0), child);
    }
}
