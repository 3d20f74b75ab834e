//! The ids of slots, children and programs, as events and actions carry them.

/// A numbered position that one serving child fills. Counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotId(pub(crate) usize);

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
