//! Decisions of the supervisor: imperative names, and each is returned once.

use std::time::Instant;

use super::{ChildId, ProgramId, SlotId, Verdict};

/// An action that the caller performs before it asks for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a child in this slot, or as a standby. The answer is `Event::Started` or
    /// `Event::StartFailed`.
    Start {
        /// The slot that the child will fill, or the position of a standby.
        slot: SlotId,
        /// The id of the child.
        child: ChildId,
        /// The program that the child runs.
        program: ProgramId,
        /// The child that left the slot unexpectedly; `None` for the first child of a slot and for a
        /// successor.
        previous: Option<ChildId>,
        /// Whether it may accept connections as soon as it is ready.
        gate: Gate,
    },
    /// Open the gate of this standby: it fills this slot now, and accepts connections.
    Promote {
        /// The slot.
        slot: SlotId,
        /// The standby.
        child: ChildId,
        /// The child that left the slot unexpectedly.
        previous: ChildId,
    },
    /// Open the program again by its path, for a rollout. The answer is `Event::ProgramOpened` or
    /// `Event::ProgramFailed`.
    OpenProgram,
    /// Report that this child is healthy: it has lived for `healthy_after`.
    ///
    /// If a child is healthy because of an event, the caller knows it.
    ReportHealthy {
        /// The child.
        child: ChildId,
    },
    /// Open the gate of this successor: from now on it accepts connections.
    Serve {
        /// The child.
        child: ChildId,
    },
    /// Send the sockets of this slot to a child of another slot, which accepts from them, too.
    ///
    /// If that fails, the answer is `Event::AdoptionFailed`.
    Adopt {
        /// The slot that the sockets belong to.
        slot: SlotId,
        /// The child.
        child: ChildId,
    },
    /// Take the sockets of this slot back from a child of another slot.
    Release {
        /// The slot that the sockets belong to.
        slot: SlotId,
        /// The child.
        child: ChildId,
    },
    /// Log that this successor fills its slot now. The child that filled it drains.
    ReportReplaced {
        /// The slot.
        slot: SlotId,
        /// The child that fills it now.
        child: ChildId,
        /// The child that has left it; `None` if it was empty.
        previous: Option<ChildId>,
    },
    /// Report how the rollout ended. Each `OpenProgram` is followed by one verdict.
    ReportVerdict(Verdict),
    /// Announce that the first child of every slot was started. The answer is `Event::MasterReady`
    /// or `Event::HookFailed`.
    AnnounceMasterReady,
    /// Ask this child to drain and exit.
    Terminate {
        /// The child.
        child: ChildId,
        /// When the child is killed if it has not exited.
        kill_at: Instant,
    },
    /// Kill this child.
    Kill {
        /// The child.
        child: ChildId,
        /// The reason, for the log.
        reason: KillReason,
    },
    /// Log that this child did not exit after SIGKILL. The supervisor no longer waits for it.
    GiveUp {
        /// The child.
        child: ChildId,
    },
    /// Log that the `main` of this child has ended and its process has not exited. It has left its
    /// slot.
    ReportRunning {
        /// The child.
        child: ChildId,
        /// When the child is killed if it has not exited.
        kill_at: Instant,
    },
    /// Close the listeners: no child accepts from them any more. Connections of later clients are
    /// then refused at once, instead of waiting in the queue.
    CloseListeners,
}

/// Whether a child waits before it accepts its first connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It does not wait.
    Open,
    /// It waits for `Action::Serve` or `Action::Promote`. A child that accepts by its own means cannot
    /// be made to wait.
    Closed,
}

/// Why a child is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillReason {
    /// It can report readiness and did not within `ready_timeout`.
    NotReady,
    /// It violated the protocol of the channel.
    Violation,
    /// It was asked to stop, or its `main` ended, and its grace period is over. At once if the stop
    /// is immediate or the grace period is zero.
    OutOfTime,
}
