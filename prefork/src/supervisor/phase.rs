//! The phases of the whole fleet, from the first start to the outcome.

use std::time::Instant;

use super::{FleetOutcome, Stop};
#[cfg(test)]
use super::{NormalForm, StopMode};

/// The phase of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first children are being started. `missing` starts are not confirmed yet.
    StartingUp { missing: usize },
    /// The first child of every slot was started. The announcement is due.
    AllStarted,
    /// `Action::AnnounceMasterReady` was returned and is not answered yet.
    Announcing,
    /// The master is ready. Children that exit are replaced.
    Running,
    /// A stop was requested. The children serve on until `until`, but none is started any more.
    Delaying { stop: Stop, until: Instant },
    /// No child is started any more. All children drain.
    Stopping {
        stop: Stop,
        listeners: ListenersState,
    },
    /// No child is left to wait for.
    Ended(FleetOutcome),
}

/// Whether `Action::CloseListeners` was returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenersState {
    Open,
    Closed,
}

/// Whether a child that exited is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecoveryMode {
    /// Once the master is ready.
    Later,
    /// After the delay of its slot.
    Allowed,
    /// Never: a stop has begun.
    Over,
}

impl Phase {
    /// Returns whether a child that exits in this phase is replaced.
    pub(super) fn recovery(&self) -> RecoveryMode {
        match self {
            Self::StartingUp { .. } | Self::AllStarted | Self::Announcing => RecoveryMode::Later,
            Self::Running => RecoveryMode::Allowed,
            Self::Delaying { .. } | Self::Stopping { .. } | Self::Ended(_) => RecoveryMode::Over,
        }
    }

    /// Returns the stop, if one has begun.
    pub(super) fn stop(&self) -> Option<Stop> {
        match self {
            Self::Delaying { stop, .. }
            | Self::Stopping { stop, .. }
            | Self::Ended(FleetOutcome { stop, .. }) => Some(*stop),
            Self::StartingUp { .. } | Self::AllStarted | Self::Announcing | Self::Running => None,
        }
    }

    #[cfg(test)]
    pub(super) fn write_normal(&self, form: &mut NormalForm) {
        match self {
            Self::StartingUp { missing } => {
                form.number(0);
                form.number(*missing as u64);
            }
            Self::AllStarted => form.number(1),
            Self::Announcing => form.number(2),
            Self::Running => form.number(3),
            // A delayed stop is graceful.
            Self::Delaying { stop: _, until } => {
                form.number(6);
                form.time(*until);
            }
            Self::Stopping { stop, listeners } => {
                let Stop {
                    // No rule reads these. The model checks them.
                    cause: _,
                    began: _,
                    mode,
                } = stop;
                form.number(4);
                form.flag(*mode == StopMode::Immediate);
                form.flag(*listeners == ListenersState::Closed);
            }
            Self::Ended(FleetOutcome {
                stop: _,
                // These are the children that are left.
                unkillable: _,
            }) => form.number(5),
        }
    }

    /// Records that slots were added or removed. `missing` starts are not confirmed now.
    ///
    /// After the announcement, the first start of a slot is like that of a replacement.
    pub(super) fn resize(&mut self, missing: usize) {
        match self {
            Self::StartingUp { .. } | Self::AllStarted if missing == 0 => *self = Self::AllStarted,
            Self::StartingUp { .. } | Self::AllStarted => *self = Self::StartingUp { missing },
            Self::Announcing
            | Self::Running
            | Self::Delaying { .. }
            | Self::Stopping { .. }
            | Self::Ended(_) => {}
        }
    }

    /// Records that a child was started.
    ///
    /// Before all first children were started, no slot is started twice, so each of these starts is
    /// the first one of its slot.
    pub(super) fn note_started(&mut self) {
        match self {
            Self::StartingUp { missing: 1 } => *self = Self::AllStarted,
            Self::StartingUp { missing } => *missing -= 1,
            // The start of a replacement. A start that is confirmed after a stop began does not
            // come here: that child already drains.
            Self::AllStarted
            | Self::Announcing
            | Self::Running
            | Self::Delaying { .. }
            | Self::Stopping { .. }
            | Self::Ended(_) => {}
        }
    }
}
