//! Who is where: the slots, the children and the index of their deadlines. Decides nothing; its methods are the only
//! places where a state changes, so that the index cannot miss a deadline.

use std::time::Instant;

use super::leaver::LeaverState;
use super::roster::{Child, Place, Roster};
use super::schedule::{Key, Schedule};
use super::slot::{Condition, SlotState};
use super::{ChildId, SlotId};

/// All slots and all children.
#[derive(Debug)]
pub(super) struct Fleet {
    slots: Vec<Slot>,
    roster: Roster,
    schedule: Schedule,
}

/// A numbered place and what it remembers across its children.
#[derive(Debug)]
struct Slot {
    state: SlotState,
    /// Children in a row that died before they were well.
    failures: u32,
}

impl Fleet {
    /// So many slots, all of them due to start their first child.
    pub(super) fn new(slots: usize, now: Instant) -> Self {
        let mut fleet = Self {
            slots: Vec::with_capacity(slots),
            roster: Roster::new(slots),
            schedule: Schedule::default(),
        };
        for slot in 0..slots {
            let state = SlotState::Unstarted { since: now };
            let key = Key::Slot(SlotId(slot));
            fleet.schedule.moved(key, None, state.deadline());
            fleet.slots.push(Slot { state, failures: 0 });
        }
        fleet
    }

    pub(super) fn slot_ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        (0..self.slots.len()).map(SlotId)
    }

    /// What this slot is doing; one that does not exist is retired.
    pub(super) fn slot(&self, slot: SlotId) -> SlotState {
        self.slots
            .get(slot.0)
            .map_or(SlotState::Retired, |slot| slot.state)
    }

    pub(super) fn child(&self, child: ChildId) -> Option<Child> {
        self.roster.get(child)
    }

    /// In ascending order.
    pub(super) fn child_ids(&self) -> Vec<ChildId> {
        self.roster.ids()
    }

    /// The children that have left this slot and are not gone.
    pub(super) fn leavers_of(&self, slot: SlotId) -> Vec<ChildId> {
        self.roster.leavers_of(slot)
    }

    /// Whether anybody may still accept connections.
    pub(super) fn has_accepting(&self) -> bool {
        self.roster.has_accepting()
    }

    /// Whether anybody's end is awaited.
    pub(super) fn has_awaited(&self) -> bool {
        self.roster.has_awaited()
    }

    /// Who is due first, if anybody is.
    pub(super) fn due(&self, now: Instant) -> Option<Key> {
        self.schedule.due(now)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.schedule.next()
    }

    pub(super) fn set_slot(&mut self, slot: SlotId, state: SlotState) {
        let old = std::mem::replace(&mut self.slots[slot.0].state, state);
        self.schedule
            .moved(Key::Slot(slot), old.deadline(), state.deadline());
    }

    /// A new child in this slot, to be started.
    pub(super) fn enrol(&mut self, slot: SlotId) -> ChildId {
        let child = self.roster.enrol(slot);
        self.set_slot(slot, SlotState::Asked { child });
        child
    }

    /// The child in this slot has died; says how many in a row were not well.
    pub(super) fn count_failure(&mut self, slot: SlotId, condition: Condition) -> u32 {
        let failures = &mut self.slots[slot.0].failures;
        *failures = match condition {
            Condition::Well => 0,
            Condition::Unwell => failures.saturating_add(1),
        };
        *failures
    }

    /// The child has left its slot, or is further on its way out.
    pub(super) fn set_leaver(&mut self, child: ChildId, state: LeaverState) {
        let old = self.leaver_deadline(child);
        self.roster.set_leaver(child, state);
        self.schedule
            .moved(Key::Leaver(child), old, state.deadline());
    }

    /// The child accepts no more.
    pub(super) fn close(&mut self, child: ChildId) {
        self.roster.close(child);
    }

    /// The child is gone. A slot that it filled is the caller's to set.
    pub(super) fn remove(&mut self, child: ChildId) {
        let old = self.leaver_deadline(child);
        self.schedule.moved(Key::Leaver(child), old, None);
        self.roster.remove(child);
    }

    fn leaver_deadline(&self, child: ChildId) -> Option<Instant> {
        match self.roster.get(child)?.place {
            Place::Leaver(state) => state.deadline(),
            Place::Slot => None,
        }
    }

    /// Every deadline, found the long way and in the index.
    #[cfg(test)]
    pub(super) fn scan_and_index(&self) -> [std::collections::BTreeSet<(Instant, Key)>; 2] {
        let slots = self
            .slot_ids()
            .filter_map(|slot| Some((self.slot(slot).deadline()?, Key::Slot(slot))));
        let leavers = self
            .child_ids()
            .into_iter()
            .filter_map(|child| Some((self.leaver_deadline(child)?, Key::Leaver(child))));
        [
            slots.chain(leavers).collect(),
            self.schedule.entries().clone(),
        ]
    }
}
