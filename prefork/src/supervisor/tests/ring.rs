//! The rules about sockets that belong to slots.

use std::num::NonZeroUsize;

use super::super::{Action, ChildId, Event, Gate, Parallel, Policy, Readiness, SlotId, StopMode};
use super::stage::{Stage, policy};

/// The child that fills this slot first.
fn first(slot: usize) -> ChildId {
    ChildId(slot as u64 + 1)
}

fn adopt(slot: usize, child: ChildId) -> Action {
    let slot = SlotId(slot);
    Action::Adopt { slot, child }
}

fn release(slot: usize, child: ChildId) -> Action {
    let slot = SlotId(slot);
    Action::Release { slot, child }
}

fn ring_of(slots: usize, width: usize) -> Policy {
    Policy {
        ring_width: width,
        ..policy(slots)
    }
}

/// All first children are started, and none is ready.
fn starting(policy: Policy) -> Stage {
    let mut stage = Stage::running(policy);
    for child in stage.supervisor.children() {
        stage.tell(Event::AdoptionOffered { child });
    }
    stage
}

/// All first children serve, and have the sockets that they should.
fn serving(policy: Policy) -> Stage {
    let mut stage = starting(policy);
    for child in stage.supervisor.children() {
        stage.tell(Event::Ready { child });
    }
    stage.settle(Readiness::Notified);
    stage
}

#[test]
fn each_child_gets_the_sockets_of_the_slots_before_its_own_when_it_is_ready() {
    let mut stage = starting(ring_of(4, 3));
    stage.tell(Event::Ready { child: first(2) });
    let expected = [adopt(0, first(2)), adopt(1, first(2))];
    assert_eq!(stage.ask(), expected, "not those of slot 3, which starts");
    stage.tell(Event::Ready { child: first(0) });
    assert_eq!(stage.ask(), [adopt(2, first(0)), adopt(3, first(0))]);
}

#[test]
fn with_a_width_of_one_nothing_is_passed_while_all_serve() {
    let mut stage = starting(ring_of(4, 1));
    for slot in 0..4 {
        stage.tell(Event::Ready { child: first(slot) });
        assert_eq!(stage.ask(), []);
    }
    stage.tell(Event::Suspended { child: first(2) });
    assert_eq!(stage.ask(), [adopt(2, first(3))]);
}

#[test]
fn the_sockets_of_two_dead_neighbors_get_two_children_that_serve_until_they_are_replaced() {
    let mut stage = serving(ring_of(5, 2));
    stage.exit(first(1));
    stage.exit(first(2));
    // Socket 2 had children 2 and 3, socket 1 children 1 and 2, socket 0 children 0 and 1.
    let actions = stage.settle(Readiness::Notified);
    let passed = [
        adopt(0, first(3)),
        adopt(1, first(3)),
        adopt(1, first(4)),
        adopt(2, first(4)),
    ];
    assert_eq!(actions[..4], passed);
    let started = |action: &Action| match *action {
        Action::Start { child, .. } => Some(child),
        _ => None,
    };
    let [one, two] = actions[4..].iter().filter_map(started).collect::<Vec<_>>()[..] else {
        panic!("both are replaced: {actions:?}");
    };
    for child in [one, two] {
        stage.tell(Event::AdoptionOffered { child });
        stage.tell(Event::Ready { child });
    }
    let expected = [
        adopt(0, one),
        release(0, first(3)),
        adopt(1, two),
        release(1, first(3)),
        release(1, first(4)),
        release(2, first(4)),
    ];
    assert_eq!(stage.ask(), expected);
}

#[test]
fn a_child_that_stalls_keeps_its_sockets_and_others_get_them_too() {
    let events: [fn(ChildId) -> Event; 2] = [
        |child| Event::Suspended { child },
        |child| Event::Unready { child },
    ];
    for event in events {
        let mut stage = serving(ring_of(4, 2));
        stage.tell(event(first(1)));
        assert_eq!(stage.ask(), [adopt(0, first(2)), adopt(1, first(3))]);
        stage.tell(Event::Resumed { child: first(1) });
        stage.tell(Event::Ready { child: first(1) });
        assert_eq!(stage.ask(), [release(0, first(2)), release(1, first(3))]);
    }
}

#[test]
fn a_child_that_cannot_take_sockets_gets_none() {
    let mut stage = Stage::serving(ring_of(3, 2));
    stage.tell(Event::AdoptionOffered { child: first(0) });
    stage.tell(Event::AdoptionOffered { child: first(2) });
    let to_neighbors = [adopt(1, first(2)), adopt(2, first(0))];
    let to_others = [adopt(0, first(2)), adopt(1, first(0))];
    let passed = [to_neighbors, to_others].concat();
    assert_eq!(stage.ask(), passed);
    stage.tell(Event::AdoptionFailed { child: first(2) });
    // No other child is left. Child 2 keeps what it has, and its own sockets.
    assert_eq!(stage.ask(), []);
}

#[test]
fn a_standby_that_is_promoted_gets_the_sockets_of_its_slot() {
    let mut policy = ring_of(3, 2);
    policy.standbys = 1;
    let mut stage = serving(policy);
    let standby = *stage.supervisor.children().last().expect("a standby");
    stage.tell(Event::AdoptionOffered { child: standby });
    stage.tell(Event::Ready { child: standby });
    assert_eq!(stage.ask(), []);
    stage.exit(first(1));
    let expected = [
        adopt(0, first(2)),
        adopt(1, first(0)),
        Action::Promote {
            slot: SlotId(1),
            child: standby,
            previous: first(1),
        },
        adopt(0, standby),
        release(0, first(2)),
        release(1, first(0)),
    ];
    let actions = stage.settle(Readiness::Notified);
    assert_eq!(actions[..6], expected);
}

#[test]
fn a_rollout_replaces_several_children_that_are_no_neighbors() {
    let mut policy = ring_of(6, 2);
    policy.rollout.parallel = Parallel::Slots(NonZeroUsize::MAX);
    let mut stage = serving(policy);
    stage.roll_out_slot();
    let starts = stage.ask().into_iter().filter_map(|action| match action {
        Action::Start { slot, gate, .. } => (gate == Gate::Closed).then_some(slot.0),
        _ => None,
    });
    assert_eq!(starts.collect::<Vec<_>>(), [1, 3, 5]);
}

#[test]
fn a_successor_gets_the_sockets_that_its_predecessor_had() {
    let mut stage = serving(ring_of(3, 2));
    stage.tell(Event::RolloutRequested);
    stage.settle(Readiness::Notified);
    let (child, ..) = stage.supervisor.fleet().successors()[0];
    stage.tell(Event::AdoptionOffered { child });
    stage.tell(Event::Ready { child });
    assert_eq!(stage.ask(), [Action::Serve { child }]);
    let wait = stage.rest().expect("it soaks");
    stage.pass(wait);
    let actions = stage.ask();
    assert!(actions.contains(&adopt(2, child)), "{actions:?}");
    let is_about_first = |action: &Action| {
        let (Action::Adopt { child, .. } | Action::Release { child, .. }) = *action else {
            return false;
        };
        child == first(0)
    };
    assert!(!actions.iter().any(is_about_first), "{actions:?}");
}

#[test]
fn once_all_children_drain_nothing_is_passed() {
    let mut stage = serving(ring_of(3, 2));
    stage.tell(Event::Suspended { child: first(1) });
    stage.stop(StopMode::Graceful);
    let is_passed =
        |action: &Action| matches!(action, Action::Adopt { .. } | Action::Release { .. });
    assert!(!stage.ask().iter().any(is_passed));
}

#[test]
fn a_child_that_is_resumed_gives_back_what_others_hold_by_now() {
    let mut stage = serving(ring_of(3, 1));
    stage.tell(Event::Suspended { child: first(0) });
    assert_eq!(stage.ask(), [adopt(0, first(1))]);
    stage.tell(Event::Suspended { child: first(1) });
    assert_eq!(stage.ask(), [adopt(0, first(2)), adopt(1, first(2))]);
    stage.tell(Event::Resumed { child: first(0) });
    assert_eq!(stage.ask(), [release(0, first(2))]);
    stage.tell(Event::Resumed { child: first(1) });
    assert_eq!(stage.ask(), [release(0, first(1)), release(1, first(2))]);
}
