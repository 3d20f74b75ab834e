//! The two names that facts and decisions carry: a place, and what fills it for a while.

use std::fmt;

/// A numbered place; children come and go. Counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotId(pub(crate) usize);

/// One started process (or the attempt to start one). Never reused, so that a late fact about a dead child
/// cannot touch its successor. Counts from 1; a slot's children are as far apart as there may ever be slots, so that an
/// id tells its slot by arithmetic. Consecutive ids would need a map, which in a large fleet cost more than all the
/// rest of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChildId(pub(crate) u64);

impl ChildId {
    /// The first child of this slot.
    pub(super) fn first(slot: SlotId) -> Self {
        Self(slot.0 as u64 + 1)
    }

    /// The next child of the same slot.
    pub(super) fn next(self, spacing: usize) -> Self {
        Self(self.0 + spacing as u64)
    }

    /// Whose child it is or would be; 0 is nobody's.
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
