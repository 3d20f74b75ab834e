//! The ids of slots, children and programs, as events and actions carry them.

/// A numbered position that one serving child fills. Counts from 0.
///
/// A standby fills no slot of the fleet. It has a position of its own, with the states of a slot.
/// These positions count from [`FIRST_STANDBY`](Self::FIRST_STANDBY).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotId(pub(crate) usize);

impl SlotId {
    /// The position of the first standby. No fleet has as many slots.
    pub(crate) const FIRST_STANDBY: usize = 1 << 30;

    /// The position of the standby with this number. Counts from 0.
    pub(crate) fn standby(number: usize) -> Self {
        Self(Self::FIRST_STANDBY + number)
    }

    /// The number of the standby; `None` for a slot of the fleet.
    pub(crate) fn standby_number(self) -> Option<usize> {
        self.0.checked_sub(Self::FIRST_STANDBY)
    }

    pub(crate) fn is_standby(self) -> bool {
        self.standby_number().is_some()
    }
}

/// One started process, or the attempt to start one.
///
/// Ids come from a counter: a later child has a higher id, and an id is never reused, so a late
/// event about a child that has exited cannot affect its replacement. They begin at 1. Some numbers
/// are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChildId(pub(crate) u64);

/// A program that children are started from. The caller knows its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramId(pub(crate) usize);

impl ProgramId {
    /// The program of the master itself, which the first children run.
    pub(crate) const OWN: Self = Self(0);
}
