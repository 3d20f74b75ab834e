//! Every child that is there, by its id. Knows who it is and how many are to be waited for; decides nothing.

use std::collections::HashMap;

use super::leaver::LeaverState;
use super::{ChildId, SlotId};

/// The children, and two counts that spare a scan.
#[derive(Debug, Default)]
pub(super) struct Roster {
    children: HashMap<ChildId, Child>,
    last: u64,
    /// Children that may still accept connections.
    accepting: usize,
    /// Children whose end is awaited.
    awaited: usize,
}

/// One child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    pub(super) slot: SlotId,
    pub(super) place: Place,
    ears: Ears,
}

/// Where a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Slot,
    Leaver(LeaverState),
}

/// Whether a child may still accept connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ears {
    Open,
    Closed,
}

impl Roster {
    /// A new child for this slot.
    pub(super) fn enrol(&mut self, slot: SlotId) -> ChildId {
        self.last += 1;
        let id = ChildId(self.last);
        let child = Child {
            slot,
            place: Place::Slot,
            ears: Ears::Open,
        };
        self.children.insert(id, child);
        self.accepting += 1;
        self.awaited += 1;
        id
    }

    pub(super) fn get(&self, id: ChildId) -> Option<Child> {
        self.children.get(&id).copied()
    }

    /// In ascending order.
    pub(super) fn ids(&self) -> Vec<ChildId> {
        let mut ids: Vec<_> = self.children.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// It accepts no more.
    pub(super) fn close(&mut self, id: ChildId) {
        if let Some(child) = self.children.get_mut(&id)
            && child.ears == Ears::Open
        {
            child.ears = Ears::Closed;
            self.accepting -= 1;
        }
    }

    /// It is on its way out, so far.
    pub(super) fn set_leaver(&mut self, id: ChildId, state: LeaverState) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let was_awaited = child.is_awaited();
        child.place = Place::Leaver(state);
        if was_awaited && !child.is_awaited() {
            self.awaited -= 1;
            self.close(id);
        }
    }

    /// It is gone.
    pub(super) fn remove(&mut self, id: ChildId) {
        self.close(id);
        if let Some(child) = self.children.remove(&id)
            && child.is_awaited()
        {
            self.awaited -= 1;
        }
    }

    pub(super) fn has_accepting(&self) -> bool {
        self.accepting > 0
    }

    pub(super) fn has_awaited(&self) -> bool {
        self.awaited > 0
    }
}

impl Child {
    fn is_awaited(&self) -> bool {
        self.place != Place::Leaver(LeaverState::Lost)
    }
}
