//! The fleet's life as a whole: from the first start to the outcome.

use super::{Cause, Outcome};

/// How far the fleet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// First children are being started; so many confirmations are missing.
    Opening { missing: usize },
    /// All were started; that is to be announced.
    Opened,
    /// It was announced, and the answer is awaited.
    Announcing,
    /// Children that die are recovered.
    Running,
    /// Nothing is started any more; every child is a leaver.
    Stopping { cause: Cause, listeners: Listeners },
    /// Nobody is left to wait for.
    Ended(Outcome),
}

/// Whether `Action::CloseListeners` was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listeners {
    Open,
    Closed,
}

/// What may be done about a child that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Not before the master is ready.
    Later,
    /// As soon as its slot has waited.
    Allowed,
    /// Nothing any more.
    Over,
}

impl Phase {
    /// What may be done about a child that dies in this phase.
    pub(super) fn recovery(&self) -> Recovery {
        match self {
            Self::Opening { .. } | Self::Opened | Self::Announcing => Recovery::Later,
            Self::Running => Recovery::Allowed,
            Self::Stopping { .. } | Self::Ended(_) => Recovery::Over,
        }
    }

    /// One more child was started. Until all were, no slot is started twice, so each of them is a first one.
    pub(super) fn confirm_start(&mut self) {
        match self {
            Self::Opening { missing: 1 } => *self = Self::Opened,
            Self::Opening { missing } => *missing -= 1,
            // A recovery; and what was asked for before a stop is a leaver when it is confirmed.
            Self::Opened
            | Self::Announcing
            | Self::Running
            | Self::Stopping { .. }
            | Self::Ended(_) => {}
        }
    }
}
