//! The table of children, apart from the rules: which facts belong to which child.

use std::time::Instant;

use super::super::children::{ChildLocation, ChildTable, Role};
use super::super::draining::DrainState;
use super::super::{ChildId, SlotId};

/// The table, and the draining child, the serving child and the successor of slot 1.
fn slot_with_three_children(state: DrainState) -> (ChildTable, [ChildId; 3]) {
    let mut table = ChildTable::new(2);
    let slot = SlotId(1);
    let draining = table.insert(slot, Role::FillsSlot);
    table.set(draining, ChildLocation::DrainingChild(state));
    let serving = table.insert(slot, Role::FillsSlot);
    let successor = table.insert(slot, Role::Successor);
    (table, [draining, serving, successor])
}

fn location(table: &ChildTable, child: ChildId) -> Option<ChildLocation> {
    let child = table.get(child)?;
    assert_eq!(child.slot, SlotId(1));
    Some(child.location)
}

#[test]
fn a_slot_has_a_draining_child_a_serving_one_and_a_successor_at_once() {
    let kill_at = Instant::now();
    let state = DrainState::Draining { kill_at };
    let (mut table, [draining, serving, successor]) = slot_with_three_children(state);
    assert_eq!(table.ids(), [draining, serving, successor]);
    assert_eq!(table.draining(), [(draining, SlotId(1))]);
    let expected = [
        (draining, ChildLocation::DrainingChild(state)),
        (serving, ChildLocation::Slot),
        (successor, ChildLocation::Successor),
    ];
    for (child, expected) in expected {
        assert_eq!(location(&table, child), Some(expected));
    }
    // The switch of a rollout: the serving child drains, and its successor serves.
    table.remove(draining);
    table.set(serving, ChildLocation::DrainingChild(state));
    table.set(successor, ChildLocation::Slot);
    assert_eq!(location(&table, draining), None);
    assert_eq!(table.draining(), [(serving, SlotId(1))]);
    assert_eq!(location(&table, successor), Some(ChildLocation::Slot));
}

#[test]
fn an_event_about_one_child_of_a_slot_does_not_affect_the_others() {
    let kill_at = Instant::now();
    let (mut table, [draining, serving, successor]) =
        slot_with_three_children(DrainState::Draining { kill_at });
    table.close(successor);
    table.close(draining);
    table.close(draining);
    assert!(table.has_accepting(), "the serving child accepts");
    table.set(
        draining,
        ChildLocation::DrainingChild(DrainState::Unkillable),
    );
    table.remove(successor);
    assert!(table.has_awaited(), "the serving child has not exited");
    assert_eq!(location(&table, successor), None);
    assert_eq!(location(&table, serving), Some(ChildLocation::Slot));
    table.remove(serving);
    assert!(!table.has_accepting() && !table.has_awaited());
    let unkillable = ChildLocation::DrainingChild(DrainState::Unkillable);
    assert_eq!(location(&table, draining), Some(unkillable));
}

#[test]
fn ids_ascend_and_are_never_reused_while_the_table_grows() {
    let mut table = ChildTable::new(1);
    let mut children = Vec::new();
    for round in 0..1_000 {
        children.push(table.insert(SlotId(1), Role::FillsSlot));
        if round % 3 == 0 {
            table.remove(children.remove(round / 6));
        }
        assert!(children.is_sorted_by(|earlier, later| earlier < later));
        assert_eq!(table.ids(), children);
    }
}
