//! All children that have not exited, by id.
//!
//! The table knows the slot of each child and what the child is to it, and how many children the
//! supervisor waits for. It decides nothing.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::draining::DrainState;
use super::successor::Successor;
use super::{ChildId, SlotId};
#[cfg(test)]
use super::{NormalForm, Policy};

/// The children, and a count that replaces a scan.
///
/// A slot can have several children: one that fills it, a successor, and draining ones. The ids
/// come from a counter, and every event about a child looks it up here. In a large fleet the price
/// is the memory that a lookup touches. So the children that fill slots, which are most of them,
/// are not in a hash map: the slot of the child with the id `n` is stored at `n` modulo the length
/// of an array. The counter skips an id whose entry is in use. A successor has no entry; when it
/// fills its slot, it gets one, or stays in the hash map if its entry is in use. The state of the
/// slot contains the complete id.
#[derive(Clone, Debug)]
pub(super) struct ChildTable {
    /// For each child that fills a slot, the number of the slot plus 1. The others are 0. The
    /// length is a power of two: in a longer table, too, no two children have the same entry.
    filled: Vec<u32>,
    /// All other children. Without a stop they are few.
    others: HashMap<ChildId, Child>,
    /// Those that accept no more connections, of the children whose exit the supervisor waits for.
    closed: HashSet<ChildId>,
    /// How many children the supervisor waits for.
    awaited: usize,
    last_id: u64,
}

/// One child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    pub(super) slot: SlotId,
    pub(super) location: ChildLocation,
}

/// What a child is to its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildLocation {
    /// It fills the slot, which has its state.
    Slot,
    /// It is to fill the slot after the child that fills it now.
    Successor(Successor),
    /// It has left the slot.
    DrainingChild(DrainState),
}

impl ChildTable {
    /// Creates an empty table for a fleet of no slots.
    pub(super) fn new() -> Self {
        Self {
            filled: Vec::new(),
            others: HashMap::new(),
            closed: HashSet::new(),
            awaited: 0,
            last_id: 0,
        }
    }

    /// Makes the table long enough for this number of slots. These children fill slots now.
    pub(super) fn reserve(
        &mut self,
        slots: usize,
        filling: impl Iterator<Item = (ChildId, SlotId)>,
    ) {
        /// A shorter table would often skip ids.
        const SHORTEST: usize = 64;
        // At least a quarter of the entries is free, so few ids are skipped.
        let length = slots.saturating_add(slots / 3 + 1).next_power_of_two();
        if length.max(SHORTEST) > self.filled.len() {
            self.filled = vec![0; length.max(SHORTEST)];
            for (child, slot) in filling {
                // It has no entry.
                if self.others.contains_key(&child) {
                    continue;
                }
                let index = self.index(child);
                self.filled[index] = entry_of(slot);
            }
        }
    }

    /// Adds a new child.
    pub(super) fn insert(
        &mut self,
        slot: SlotId,
        location: impl FnOnce(ChildId) -> ChildLocation,
    ) -> ChildId {
        let (id, index) = loop {
            self.last_id += 1;
            let id = ChildId(self.last_id);
            let index = self.index(id);
            if self.filled[index] == 0 {
                break (id, index);
            }
        };
        let location = location(id);
        match location {
            ChildLocation::Slot => self.filled[index] = entry_of(slot),
            ChildLocation::Successor(_) | ChildLocation::DrainingChild(_) => {
                self.others.insert(id, Child { slot, location });
            }
        }
        self.awaited += 1;
        id
    }

    /// Returns the slot that this child fills, if its state contains the id.
    pub(super) fn filled_by(&self, id: ChildId) -> Option<SlotId> {
        let entry = self.filled[self.index(id)] as usize;
        entry.checked_sub(1).map(SlotId)
    }

    /// Returns the child if it has no entry in the array.
    pub(super) fn other(&self, id: ChildId) -> Option<Child> {
        self.others.get(&id).copied()
    }

    /// Returns the ids of the children that fill no slot, in any order.
    pub(super) fn other_ids(&self) -> impl Iterator<Item = ChildId> {
        let fills_none = |(_, child): &(&ChildId, &Child)| child.location != ChildLocation::Slot;
        self.others.iter().filter(fills_none).map(|(&id, _)| id)
    }

    /// Returns the successors, each with its slot, in ascending order.
    pub(super) fn successors(&self) -> Vec<(ChildId, SlotId, Successor)> {
        let successor = |(&id, child): (&ChildId, &Child)| match child.location {
            ChildLocation::Successor(successor) => Some((id, child.slot, successor)),
            ChildLocation::Slot | ChildLocation::DrainingChild(_) => None,
        };
        let mut successors: Vec<_> = self.others.iter().filter_map(successor).collect();
        successors.sort_unstable_by_key(|&(id, ..)| id);
        successors
    }

    /// Sets the state of a successor of the table.
    pub(super) fn set_successor(&mut self, id: ChildId, child: Child, successor: Successor) {
        let location = ChildLocation::Successor(successor);
        self.others.insert(id, Child { location, ..child });
    }

    /// Records that a successor of the table fills its slot now.
    pub(super) fn fill_slot(&mut self, id: ChildId, child: Child) {
        let index = self.index(id);
        if self.filled[index] == 0 {
            self.others.remove(&id);
            self.filled[index] = entry_of(child.slot);
        } else {
            let location = ChildLocation::Slot;
            self.others.insert(id, Child { location, ..child });
        }
    }

    /// Records that a standby of the table fills this slot now.
    ///
    /// It has an entry, because every standby filled its position from its `Action::Start` on.
    pub(super) fn promote(&mut self, id: ChildId, slot: SlotId) {
        let index = self.index(id);
        self.filled[index] = entry_of(slot);
    }

    /// Returns the draining children, each with its slot and its state, in any order.
    pub(super) fn draining(&self) -> Vec<(ChildId, SlotId, DrainState)> {
        let draining = |(&id, child): (&ChildId, &Child)| match child.location {
            ChildLocation::DrainingChild(state) => Some((id, child.slot, state)),
            ChildLocation::Slot | ChildLocation::Successor(_) => None,
        };
        self.others.iter().filter_map(draining).collect()
    }

    /// Records that this child of the table accepts no more connections.
    pub(super) fn close(&mut self, id: ChildId, child: Child) {
        if child.is_awaited() {
            self.closed.insert(id);
        }
    }

    /// Sets the state of a child of the table that drains or begins to drain.
    pub(super) fn set_draining(&mut self, id: ChildId, child: Child, state: DrainState) {
        let location = ChildLocation::DrainingChild(state);
        let drains = Child { location, ..child };
        self.leave_slot(id, child);
        self.others.insert(id, drains);
        if child.is_awaited() && !drains.is_awaited() {
            self.stop_waiting(id);
        }
    }

    /// Removes a child of the table, which has exited or never existed.
    pub(super) fn remove(&mut self, id: ChildId, child: Child) {
        self.leave_slot(id, child);
        self.others.remove(&id);
        if child.is_awaited() {
            self.stop_waiting(id);
        }
    }

    /// Writes one of the children. Only their order counts, not their ids.
    #[cfg(test)]
    pub(super) fn write_normal(
        &self,
        id: ChildId,
        child: Child,
        form: &mut NormalForm,
        policy: &Policy,
    ) {
        let Self {
            // What is written for each child.
            filled: _,
            others: _,
            closed,
            // It repeats what is written.
            awaited: _,
            last_id: _,
        } = self;
        let standby = child.slot.standby_number();
        form.number(standby.map_or(child.slot.0, |number| 100 + number) as u64);
        match child.location {
            ChildLocation::Slot => form.number(0),
            ChildLocation::Successor(successor) => {
                form.number(1);
                successor.write_normal(form, policy);
            }
            ChildLocation::DrainingChild(state) => {
                form.number(2);
                state.write_normal(form);
            }
        }
        form.flag(child.is_awaited() && !closed.contains(&id));
    }

    pub(super) fn has_accepting(&self) -> bool {
        self.awaited > self.closed.len()
    }

    pub(super) fn has_awaited(&self) -> bool {
        self.awaited > 0
    }

    fn leave_slot(&mut self, id: ChildId, child: Child) {
        let index = self.index(id);
        // The entry may be that of another child, which fills another slot.
        let is_own = self.filled[index] == entry_of(child.slot);
        if child.location == ChildLocation::Slot && is_own {
            self.filled[index] = 0;
        }
    }

    fn stop_waiting(&mut self, id: ChildId) {
        self.awaited -= 1;
        // No hash is computed without a stop.
        if !self.closed.is_empty() {
            self.closed.remove(&id);
        }
    }

    /// The remainder of the division by the length.
    #[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
    fn index(&self, id: ChildId) -> usize {
        id.0 as usize & (self.filled.len() - 1)
    }
}

fn entry_of(slot: SlotId) -> u32 {
    u32::try_from(slot.0 + 1).expect("fewer slots than processes")
}

impl Child {
    /// Whether the supervisor waits for its exit.
    fn is_awaited(self) -> bool {
        self.location != ChildLocation::DrainingChild(DrainState::Unkillable)
    }
}

impl ChildLocation {
    /// The deadline of the child, apart from that of its slot.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::DrainingChild(state) => state.deadline(),
            Self::Successor(successor) => successor.deadline(),
            Self::Slot => None,
        }
    }
}
