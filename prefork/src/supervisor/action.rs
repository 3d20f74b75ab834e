//! Decisions: what the supervisor answers when asked. Imperative, and each handed out once.

use std::time::Instant;

use super::{ChildId, SlotId};

/// Something to do now, before the supervisor is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a child in this slot; answer with `Event::Started` or `Event::StartFailed`.
    Start {
        /// Where it will serve.
        slot: SlotId,
        /// Its name from now on.
        child: ChildId,
    },
    /// Every slot's first child was started: say so; answer with `Event::MasterReady` or `Event::HookFailed`.
    AnnounceMasterReady,
    /// Ask this child to drain and go.
    Terminate {
        /// Whom to ask.
        child: ChildId,
        /// When it will be killed if it is still there.
        kill_at: Instant,
    },
    /// Kill this child.
    Kill {
        /// Whom to kill.
        child: ChildId,
        /// Why, for the log.
        reason: KillReason,
    },
    /// Say that this child was killed and did not end; it is not waited for any more.
    GiveUp {
        /// Whom.
        child: ChildId,
    },
    /// Log that this child's `main` has ended and its process has not: it has left its slot.
    ReportRunning {
        /// The child.
        child: ChildId,
        /// When it is killed if it still runs.
        kill_at: Instant,
    },
    /// Nobody accepts from the listeners any more: close them, so that late clients are refused at once.
    CloseListeners,
}

/// What brought a child to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillReason {
    /// It could say ready and did not within `ready_timeout`.
    NotReady,
    /// It flooded the channel or lied.
    Violation,
    /// It was to go and its time is over; at once when the stop was immediate or the grace period is zero.
    OutOfTime,
}
