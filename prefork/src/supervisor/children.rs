//! All children that have not exited, by id.
//!
//! The table knows the slot of each child and what the child is to it, and how many children the
//! supervisor waits for. It decides nothing.

use std::collections::HashMap;
use std::time::Instant;

#[cfg(test)]
use super::NormalForm;
use super::draining::DrainState;
use super::{ChildId, SlotId};

/// The children, and two counts that replace a scan.
///
/// A slot can have several children: one that fills it, a successor, and draining ones. The ids
/// come from a counter, and every event about a child looks it up here. In a large fleet the price
/// is the memory that a lookup touches. So the table is an array of small entries instead of a hash
/// map: the child with the id `n` is stored at `n` modulo the length. The counter skips an id whose
/// entry is in use, so no two children share an entry. Only the states of draining children are
/// stored in a hash map: without a stop they are few.
#[derive(Clone, Debug)]
pub(super) struct ChildTable {
    /// The length is a power of two: if the table grows, no two children get the same entry.
    entries: Vec<Option<Entry>>,
    draining: HashMap<ChildId, DrainState>,
    count: usize,
    last_id: u64,
    /// Children that may still accept connections.
    accepting: usize,
    /// Children whose exit the supervisor waits for.
    awaited: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: ChildId,
    /// Half a word, so that four entries fit into a line of the cache.
    slot: u32,
    role: Role,
    /// Whether it may still accept connections.
    is_accepting: bool,
}

/// A [`ChildLocation`] without its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    FillsSlot,
    Successor,
    Draining,
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
    /// It is to fill the slot after the child that fills it now. No rollout starts one yet.
    Successor,
    /// It has left the slot.
    DrainingChild(DrainState),
}

impl ChildTable {
    /// Creates an empty table for a fleet of this size. It grows if the fleet does.
    pub(super) fn new(slots: usize) -> Self {
        /// A shorter table would often skip ids.
        const SHORTEST: usize = 64;
        let length = slots.saturating_add(slots / 3 + 1).next_power_of_two();
        Self {
            entries: vec![None; length.max(SHORTEST)],
            draining: HashMap::new(),
            count: 0,
            last_id: 0,
            accepting: 0,
            awaited: 0,
        }
    }

    /// Adds a new child of this slot.
    pub(super) fn insert(&mut self, slot: SlotId, role: Role) -> ChildId {
        // A quarter of the entries stays free, so few ids are skipped.
        if self.count >= self.entries.len() / 4 * 3 {
            self.grow();
        }
        let index = loop {
            self.last_id += 1;
            let index = self.index(ChildId(self.last_id));
            if self.entries[index].is_none() {
                break index;
            }
        };
        let id = ChildId(self.last_id);
        self.entries[index] = Some(Entry {
            id,
            slot: u32::try_from(slot.0).expect("fewer slots than processes"),
            role,
            is_accepting: true,
        });
        self.count += 1;
        self.accepting += 1;
        self.awaited += 1;
        id
    }

    pub(super) fn get(&self, id: ChildId) -> Option<Child> {
        let entry = self.entry(id)?;
        let slot = entry.slot();
        let location = match entry.role {
            Role::FillsSlot => ChildLocation::Slot,
            Role::Successor => ChildLocation::Successor,
            Role::Draining => ChildLocation::DrainingChild(*self.draining.get(&id)?),
        };
        Some(Child { slot, location })
    }

    /// Returns all ids in ascending order.
    pub(super) fn ids(&self) -> Vec<ChildId> {
        let entries = self.entries.iter().flatten();
        let mut ids: Vec<_> = entries.map(|entry| entry.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Returns the draining children, each with its slot, in ascending order.
    pub(super) fn draining(&self) -> Vec<(ChildId, SlotId)> {
        let ids = self.draining.keys();
        let entries = ids.filter_map(|&id| self.entry(id));
        let mut draining: Vec<_> = entries.map(|entry| (entry.id, entry.slot())).collect();
        draining.sort_unstable();
        draining
    }

    /// Records that the child accepts no more connections.
    pub(super) fn close(&mut self, id: ChildId) {
        let index = self.index(id);
        if let Some(entry) = &mut self.entries[index]
            && entry.id == id
            && entry.is_accepting
        {
            entry.is_accepting = false;
            self.accepting -= 1;
        }
    }

    /// Changes what the child is to its slot.
    pub(super) fn set(&mut self, id: ChildId, location: ChildLocation) {
        let index = self.index(id);
        let Some(entry) = self.entries[index].as_mut().filter(|entry| entry.id == id) else {
            return;
        };
        let old = match location {
            ChildLocation::Slot => {
                entry.role = Role::FillsSlot;
                None
            }
            ChildLocation::Successor => {
                entry.role = Role::Successor;
                None
            }
            ChildLocation::DrainingChild(state) => {
                entry.role = Role::Draining;
                self.draining.insert(id, state)
            }
        };
        if location == UNKILLABLE && old != Some(DrainState::Unkillable) {
            self.awaited -= 1;
            self.close(id);
        }
    }

    /// Removes a child that has exited or never existed, and returns it.
    pub(super) fn remove(&mut self, id: ChildId) -> Option<Child> {
        let child = self.get(id)?;
        let index = self.index(id);
        let entry = self.entries[index].take();
        if let ChildLocation::DrainingChild(_) = child.location {
            self.draining.remove(&id);
        }
        self.count -= 1;
        self.accepting -= usize::from(entry.is_some_and(|entry| entry.is_accepting));
        self.awaited -= usize::from(child.location != UNKILLABLE);
        Some(child)
    }

    #[cfg(test)]
    pub(super) fn write_normal(&self, form: &mut NormalForm) {
        let Self {
            entries: _,
            draining: _,
            // These repeat what is written below.
            count: _,
            accepting: _,
            awaited: _,
            // Ids count by their order.
            last_id: _,
        } = self;
        for id in self.ids() {
            let child = self.get(id).expect("an id of this table");
            form.number(child.slot.0 as u64);
            match child.location {
                ChildLocation::Slot => form.number(0),
                ChildLocation::Successor => form.number(1),
                ChildLocation::DrainingChild(state) => {
                    form.number(2);
                    state.write_normal(form);
                }
            }
            form.flag(self.entry(id).is_some_and(|entry| entry.is_accepting));
        }
    }

    pub(super) fn has_accepting(&self) -> bool {
        self.accepting > 0
    }

    pub(super) fn has_awaited(&self) -> bool {
        self.awaited > 0
    }

    fn entry(&self, id: ChildId) -> Option<Entry> {
        self.entries[self.index(id)].filter(|entry| entry.id == id)
    }

    /// The remainder of the division by the length.
    #[expect(clippy::cast_possible_truncation, reason = "only the low bits count")]
    fn index(&self, id: ChildId) -> usize {
        id.0 as usize & (self.entries.len() - 1)
    }

    fn grow(&mut self) {
        let longer = vec![None; self.entries.len() * 2];
        let entries = std::mem::replace(&mut self.entries, longer);
        for entry in entries.into_iter().flatten() {
            let index = self.index(entry.id);
            self.entries[index] = Some(entry);
        }
    }
}

impl Entry {
    fn slot(&self) -> SlotId {
        SlotId(self.slot as usize)
    }
}

/// The supervisor does not wait for this child.
const UNKILLABLE: ChildLocation = ChildLocation::DrainingChild(DrainState::Unkillable);

impl ChildLocation {
    /// The deadline of the child, apart from that of its slot.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::DrainingChild(state) => state.deadline(),
            Self::Slot | Self::Successor => None,
        }
    }
}
