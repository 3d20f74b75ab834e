//! The phases of the whole fleet, from the first start to the outcome.

use super::{Cause, Outcome};

/// The phase of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first children are being started. `missing` starts are not confirmed yet.
    Opening { missing: usize },
    /// The first child of every slot was started. The announcement is due.
    Opened,
    /// `Action::AnnounceMasterReady` was returned and is not answered yet.
    Announcing,
    /// The master is ready. Children that exit are replaced.
    Running,
    /// No child is started any more. All children drain.
    Stopping { cause: Cause, listeners: Listeners },
    /// No child is left to wait for.
    Ended(Outcome),
}

/// Whether `Action::CloseListeners` was returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listeners {
    Open,
    Closed,
}

/// Whether a child that exited is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Once the master is ready.
    Later,
    /// After the delay of its slot.
    Allowed,
    /// Never: a stop has begun.
    Over,
}

impl Phase {
    /// Returns whether a child that exits in this phase is replaced.
    pub(super) fn recovery(&self) -> Recovery {
        match self {
            Self::Opening { .. } | Self::Opened | Self::Announcing => Recovery::Later,
            Self::Running => Recovery::Allowed,
            Self::Stopping { .. } | Self::Ended(_) => Recovery::Over,
        }
    }

    /// Records that a child was started.
    ///
    /// Before all first children were started, no slot is started twice, so each of these starts is
    /// the first one of its slot.
    pub(super) fn confirm_start(&mut self) {
        match self {
            Self::Opening { missing: 1 } => *self = Self::Opened,
            Self::Opening { missing } => *missing -= 1,
            // The start of a replacement. A start that is confirmed after a stop began does not
            // come here: that child already drains.
            Self::Opened
            | Self::Announcing
            | Self::Running
            | Self::Stopping { .. }
            | Self::Ended(_) => {}
        }
    }
}
