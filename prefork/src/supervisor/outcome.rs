//! How it ended: a value, not an error. Which of these is a failure is for the caller to say.

use super::{ChildId, SlotId, StartFailure, Window};

/// The end of a supervisor; never changes once it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What began the stop. The first cause stays; what happens during a stop does not replace it.
    pub(crate) cause: Cause,
    /// Children whose end was not seen: SIGKILL did not end them within `kill_patience`, in ascending order.
    pub(crate) unkillable: Vec<ChildId>,
}

/// What began the stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody asked for it.
    Requested,
    /// More unexpected exits than the budget recovers. Each is counted when its replacement is due.
    OverRecovery {
        /// How many of them the window held, the last one included.
        exits: u64,
        /// How many it forgives.
        threshold: u32,
        /// How long it remembers.
        window: Window,
        /// Whether a child was ever healthy; if not, the window forgot nothing.
        was_healthy: bool,
        /// The slot of the last one.
        slot: SlotId,
        /// The last one.
        child: ChildId,
    },
    /// A child could not be started, and trying again cannot help or was not allowed yet.
    StartFailed {
        /// Where it would have served.
        slot: SlotId,
        /// The child that never was.
        child: ChildId,
        /// Passing only before the master was ready.
        failure: StartFailure,
    },
    /// A hook failed.
    HookFailed,
    /// A listening socket was lost.
    ListenerLost,
}
