//! How the fleet ended: a value, not an error.
//!
//! The caller decides which outcome is a failure.

use std::time::Instant;

use super::{ChildId, SlotId, StartFailure, StopMode, Window};

/// How the fleet ended. Once the supervisor returns it, it does not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FleetOutcome {
    /// The stop that ended it.
    pub(crate) stop: Stop,
    /// The children that did not exit within `kill_timeout` after SIGKILL, in ascending order.
    pub(crate) unkillable: Vec<ChildId>,
}

/// A stop that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Why it began. Later causes do not replace the first one.
    pub(crate) cause: StopCause,
    /// When it began.
    pub(crate) began: Instant,
    /// `Immediate` once an immediate stop was requested.
    pub(crate) mode: StopMode,
}

impl Stop {
    /// Whether an immediate stop was requested.
    pub(crate) fn is_immediate(self) -> bool {
        self.mode == StopMode::Immediate
    }
}

/// Why the stop began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopCause {
    /// A stop was requested.
    Requested,
    /// There were more unexpected exits than the budget allows. Each one is counted when its
    /// replacement is due.
    OverRecovery {
        /// How many exits counted, with the last one.
        exits: u64,
        /// How many exits the budget allows.
        threshold: u32,
        /// How long an exit counts.
        window: Window,
        /// Whether a child was ever healthy. If none was, every exit counted.
        was_healthy: bool,
        /// The slot of the last child that exited.
        slot: SlotId,
        /// The last child that exited.
        child: ChildId,
    },
    /// A child could not be started, and a retry was useless or not allowed yet.
    StartFailed {
        /// The slot of the child.
        slot: SlotId,
        /// The child.
        child: ChildId,
        /// The kind of failure. `Transient` only if the master was not ready.
        failure: StartFailure,
    },
    /// A hook returned an error or panicked.
    HookFailed,
    /// A listening socket was shut down and could not be bound again.
    ListenerLost,
}
