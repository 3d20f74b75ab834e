//! The ids of slots and of children, as events and actions carry them.

use std::fmt;

/// A numbered position that one serving child fills. Counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotId(pub(crate) usize);

/// One started process, or the attempt to start one.
///
/// An id is never reused, so a late event about a child that has exited cannot affect its
/// replacement. Ids count from 1. The ids of consecutive children of a slot differ by the largest
/// possible number of slots, so the slot follows from the id by arithmetic. Consecutive ids would
/// need a map; in a large fleet its lookup cost more than the rest of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChildId(pub(crate) u64);

impl ChildId {
    /// Returns the id of the first child of this slot.
    pub(super) fn first(slot: SlotId) -> Self {
        Self(slot.0 as u64 + 1)
    }

    /// Returns the id of the next child of the same slot.
    pub(super) fn next(self, spacing: usize) -> Self {
        Self(self.0 + spacing as u64)
    }

    /// Returns the slot of the child. No slot has a child with the id 0.
    pub(super) fn slot(self, spacing: usize) -> Option<SlotId> {
        let slot = self.0.checked_sub(1)? % spacing as u64;
        usize::try_from(slot).ok().map(SlotId)
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
