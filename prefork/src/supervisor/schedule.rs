//! The index of deadlines: makes asking what is due cheap. It decides nothing: every entry repeats the deadline of a
//! state, and a full scan of the states gives the same entries.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{ChildId, SlotId};

/// Whose deadline it is. What is due at the same time comes in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Slot(SlotId),
    Leaver(ChildId),
}

/// All deadlines, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Schedule(BTreeSet<(Instant, Key)>);

impl Schedule {
    /// The owner of `key` changed its state, and with it its deadline.
    pub(super) fn moved(&mut self, key: Key, from: Option<Instant>, to: Option<Instant>) {
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

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Who is due first, if anybody is.
    pub(super) fn due(&self, now: Instant) -> Option<Key> {
        self.0
            .first()
            .and_then(|&(at, key)| (at <= now).then_some(key))
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> &BTreeSet<(Instant, Key)> {
        &self.0
    }
}
