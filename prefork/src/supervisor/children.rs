//! All children that have not exited, by id.
//!
//! The table knows whether a child fills its slot or drains, and how many children the supervisor
//! waits for. It decides nothing.

use std::collections::HashMap;

use super::draining::DrainState;
use super::{ChildId, SlotId};

/// The children, and two counts that replace a scan.
///
/// Every event about a child looks it up here, and in a large fleet the price is the memory that a
/// lookup touches. A child that fills a slot is stored in that slot, which follows from its id. A
/// draining child is stored in a hash map: only a stop has many, and a child that was given up has
/// the same slot as its replacement.
#[derive(Debug)]
pub(super) struct ChildTable {
    slots: Vec<SlotEntry>,
    /// The distance between the ids of two consecutive children of a slot. If the number of slots
    /// can change, it must be the largest possible number.
    spacing: usize,
    draining: HashMap<ChildId, Draining>,
    /// Children that may still accept connections.
    accepting: usize,
    /// Children whose exit the supervisor waits for.
    awaited: usize,
}

/// One child.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChildEntry {
    pub(super) slot: SlotId,
    pub(super) location: ChildLocation,
}

/// Whether a child fills its slot or has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildLocation {
    Slot,
    DrainingChild(DrainState),
}

/// The child that fills a slot, or the id of the next one.
#[derive(Clone, Copy, Debug)]
enum SlotEntry {
    Empty {
        next: ChildId,
    },
    Filled {
        child: ChildId,
        accepting: Accepting,
    },
}

/// A draining child: it has left its slot and has not exited.
#[derive(Clone, Copy, Debug)]
struct Draining {
    state: DrainState,
    accepting: Accepting,
}

/// Whether a child may still accept connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    Open,
    Closed,
}

impl ChildTable {
    /// Creates a table of empty slots.
    pub(super) fn new(slots: usize) -> Self {
        let empty = |slot| SlotEntry::Empty {
            next: ChildId::first(SlotId(slot)),
        };
        Self {
            slots: (0..slots).map(empty).collect(),
            spacing: slots,
            draining: HashMap::new(),
            accepting: 0,
            awaited: 0,
        }
    }

    /// Adds a new child to this slot.
    ///
    /// # Panics
    /// If the slot is not empty.
    pub(super) fn insert(&mut self, slot: SlotId) -> ChildId {
        let SlotEntry::Empty { next: child } = self.slots[slot.0] else {
            unreachable!("a slot is emptied before its next child is started");
        };
        self.slots[slot.0] = SlotEntry::Filled {
            child,
            accepting: Accepting::Open,
        };
        self.accepting += 1;
        self.awaited += 1;
        child
    }

    pub(super) fn get(&self, id: ChildId) -> Option<ChildEntry> {
        let slot = id.slot(self.spacing)?;
        let location = match self.slots[slot.0] {
            SlotEntry::Filled { child, .. } if child == id => ChildLocation::Slot,
            SlotEntry::Filled { .. } | SlotEntry::Empty { .. } => {
                ChildLocation::DrainingChild(self.draining.get(&id)?.state)
            }
        };
        Some(ChildEntry { slot, location })
    }

    /// Returns all ids in ascending order.
    pub(super) fn ids(&self) -> Vec<ChildId> {
        let filling = self.slots.iter().filter_map(|slot| match *slot {
            SlotEntry::Filled { child, .. } => Some(child),
            SlotEntry::Empty { .. } => None,
        });
        let mut ids: Vec<_> = filling.chain(self.draining.keys().copied()).collect();
        ids.sort_unstable();
        ids
    }

    /// Returns the draining children of this slot.
    ///
    /// It scans all draining children: they are few unless the master stops.
    pub(super) fn draining_of(&self, slot: SlotId) -> Vec<ChildId> {
        let ids = self.draining.keys().copied();
        ids.filter(|id| id.slot(self.spacing) == Some(slot))
            .collect()
    }

    /// Records that the child accepts no more connections.
    pub(super) fn close(&mut self, id: ChildId) {
        if let Some(accepting) = self.accepting_mut(id)
            && *accepting == Accepting::Open
        {
            *accepting = Accepting::Closed;
            self.accepting -= 1;
        }
    }

    /// Sets the state of a draining child.
    ///
    /// If the child fills its slot, it leaves the slot.
    pub(super) fn set_draining(&mut self, id: ChildId, state: DrainState) {
        let was_awaited = if let Some(accepting) = self.vacate(id) {
            self.draining.insert(id, Draining { state, accepting });
            true
        } else if let Some(draining) = self.draining.get_mut(&id) {
            let was_awaited = draining.is_awaited();
            draining.state = state;
            was_awaited
        } else {
            return;
        };
        if was_awaited && state == DrainState::Unkillable {
            self.awaited -= 1;
            self.close(id);
        }
    }

    /// Removes a child that has exited or never existed.
    pub(super) fn remove(&mut self, id: ChildId) {
        self.close(id);
        let was_awaited = match self.vacate(id) {
            Some(_) => true,
            None => self
                .draining
                .remove(&id)
                .is_some_and(|draining| draining.is_awaited()),
        };
        if was_awaited {
            self.awaited -= 1;
        }
    }

    pub(super) fn has_accepting(&self) -> bool {
        self.accepting > 0
    }

    pub(super) fn has_awaited(&self) -> bool {
        self.awaited > 0
    }

    fn accepting_mut(&mut self, id: ChildId) -> Option<&mut Accepting> {
        let slot = id.slot(self.spacing)?;
        match &mut self.slots[slot.0] {
            SlotEntry::Filled { child, accepting } if *child == id => Some(accepting),
            SlotEntry::Filled { .. } | SlotEntry::Empty { .. } => self
                .draining
                .get_mut(&id)
                .map(|draining| &mut draining.accepting),
        }
    }

    /// Empties the slot that the child fills, if it fills one.
    fn vacate(&mut self, id: ChildId) -> Option<Accepting> {
        let spacing = self.spacing;
        let slot = &mut self.slots[id.slot(spacing)?.0];
        match *slot {
            SlotEntry::Filled { child, accepting } if child == id => {
                let next = child.next(spacing);
                *slot = SlotEntry::Empty { next };
                Some(accepting)
            }
            SlotEntry::Filled { .. } | SlotEntry::Empty { .. } => None,
        }
    }
}

impl Draining {
    fn is_awaited(&self) -> bool {
        self.state != DrainState::Unkillable
    }
}
