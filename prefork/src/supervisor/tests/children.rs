//! The children of a slot, apart from the rules: which facts belong to which child.

use std::time::{Duration, Instant};

use super::super::children::ChildLocation;
use super::super::draining::DrainState;
use super::super::fleet::Fleet;
use super::super::ring::Ring;
use super::super::slot::SlotState;
use super::super::successor::Successor;
use super::super::{ChildId, ProgramId, SlotId};

const SLOT: SlotId = SlotId(1);
const PROGRAM: ProgramId = ProgramId::OWN;

/// A fleet, and the draining child, the serving child and the successor of a slot.
fn fleet_with_three_children(state: DrainState) -> (Fleet, [ChildId; 3]) {
    let now = Instant::now();
    let mut fleet = Fleet::new(2, Ring::new(0), now);
    let draining = fleet.request_start(SLOT, PROGRAM);
    fleet.set_draining(draining, state);
    let serving = fleet.request_start(SLOT, PROGRAM);
    let (child, since) = (serving, now);
    fleet.set_slot(SLOT, SlotState::Serving { child, since });
    let successor = fleet.request_successor(SLOT, PROGRAM);
    (fleet, [draining, serving, successor])
}

fn requested(child: ChildId) -> ChildLocation {
    ChildLocation::Successor(Successor::requested(child, PROGRAM))
}

fn location(fleet: &Fleet, child: ChildId) -> Option<ChildLocation> {
    let child = fleet.child(child)?;
    assert_eq!(child.slot, SLOT);
    Some(child.location)
}

#[test]
fn a_slot_has_a_draining_child_a_serving_one_and_a_successor_at_once() {
    let kill_at = Instant::now() + Duration::from_secs(1);
    let state = DrainState::Draining { kill_at };
    let (mut fleet, [draining, serving, successor]) = fleet_with_three_children(state);
    assert_eq!(fleet.child_ids(), [draining, serving, successor]);
    assert_eq!(fleet.draining(), [(draining, SLOT, state)]);
    let expected = [
        (draining, ChildLocation::DrainingChild(state)),
        (serving, ChildLocation::Slot),
        (successor, requested(successor)),
    ];
    for (child, expected) in expected {
        assert_eq!(location(&fleet, child), Some(expected));
    }
    assert_eq!(fleet.slot(SLOT).child(), Some(serving));

    fleet.remove(draining);
    fleet.set_draining(serving, state);
    fleet.set_slot(SLOT, SlotState::Retired);
    assert_eq!(location(&fleet, draining), None);
    assert_eq!(fleet.draining(), [(serving, SLOT, state)]);
    let [scan, index] = fleet.scan_and_index();
    assert_eq!(scan, index);
    assert_eq!(location(&fleet, successor), Some(requested(successor)));
}

#[test]
fn an_event_about_one_child_of_a_slot_does_not_affect_the_others() {
    let kill_at = Instant::now();
    let (mut fleet, [draining, serving, successor]) =
        fleet_with_three_children(DrainState::Draining { kill_at });
    fleet.close(successor);
    fleet.close(draining);
    fleet.close(draining);
    assert!(fleet.has_accepting(), "the serving child accepts");
    fleet.set_draining(draining, DrainState::Unkillable);
    fleet.remove(successor);
    assert!(fleet.has_awaited(), "the serving child has not exited");
    assert_eq!(location(&fleet, successor), None);
    assert_eq!(location(&fleet, serving), Some(ChildLocation::Slot));
    fleet.remove(serving);
    fleet.set_slot(SLOT, SlotState::Retired);
    assert!(!fleet.has_accepting() && !fleet.has_awaited());
    let unkillable = ChildLocation::DrainingChild(DrainState::Unkillable);
    assert_eq!(location(&fleet, draining), Some(unkillable));
}

#[test]
fn a_child_that_closed_and_exited_is_no_longer_counted() {
    let kill_at = Instant::now();
    let (mut fleet, [draining, serving, successor]) =
        fleet_with_three_children(DrainState::Draining { kill_at });
    fleet.close(draining);
    fleet.remove(draining);
    fleet.remove(successor);
    assert!(fleet.has_accepting(), "the serving child accepts");
    fleet.close(serving);
    assert!(!fleet.has_accepting() && fleet.has_awaited());
}

/// More slots than the table has entries for, and ids that are skipped.
#[test]
fn no_two_children_share_an_entry() {
    let now = Instant::now();
    let mut fleet = Fleet::new(60, Ring::new(0), now);
    let mut children: Vec<_> = fleet
        .slot_ids()
        .map(|slot| fleet.request_start(slot, PROGRAM))
        .collect();
    let mut gone = Vec::new();
    for round in 0..2_000 {
        if round == 1_000 {
            fleet.resize(300, now);
            children.extend((60..300).map(|slot| fleet.request_start(SlotId(slot), PROGRAM)));
        }
        let slot = round * 7 % children.len();
        fleet.remove(children[slot]);
        assert!(fleet.child(children[slot]).is_none());
        gone.push(children[slot]);
        let next = fleet.request_start(SlotId(slot), PROGRAM);
        assert!(children.iter().all(|&child| child < next), "ids ascend");
        children[slot] = next;
        for (slot, &child) in children.iter().enumerate() {
            assert_eq!(
                fleet.child(child).map(|child| child.slot),
                Some(SlotId(slot))
            );
        }
    }
    // Other children have got the entries of these.
    assert!(gone.iter().all(|&child| fleet.child(child).is_none()));
}
