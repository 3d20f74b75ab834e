//! The index of deadlines, so that finding what is due is cheap.
//!
//! It decides nothing: every entry repeats the deadline of a state, and a full scan of the states
//! gives the same entries.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{ChildId, SlotId};

/// The slot or child that a deadline belongs to.
///
/// Equal deadlines are due in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DeadlineKey {
    Slot(SlotId),
    Child(ChildId),
}

/// All deadlines, the earliest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule(BTreeSet<(Instant, DeadlineKey)>);

impl Schedule {
    /// Replaces the deadline of `key`, because its state changed.
    pub(super) fn update(&mut self, key: DeadlineKey, from: Option<Instant>, to: Option<Instant>) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            self.0.remove(&(from, key));
        }
        if let Some(to) = to {
            self.0.insert((to, key));
        }
    }

    /// Returns the earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Returns the key of the earliest deadline, if that deadline has passed.
    pub(super) fn due(&self, now: Instant) -> Option<DeadlineKey> {
        self.0
            .first()
            .and_then(|&(at, key)| (at <= now).then_some(key))
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> &BTreeSet<(Instant, DeadlineKey)> {
        &self.0
    }
}
