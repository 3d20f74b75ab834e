//! The events that the supervisor receives.
//!
//! Their names are in the past tense: an event reports what happened, and orders nothing.

use std::num::NonZeroUsize;

use super::{ChildId, ProgramId};

/// Something that has happened.
///
/// The caller need not check an event: one about a child that is unknown or has exited, or one that
/// comes too late, changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The start of this child succeeded: it is a process.
    Started {
        /// The child of the `Action::Start` that this answers.
        child: ChildId,
        /// Whether it can report readiness, as assumed before its first frame.
        readiness: Readiness,
    },
    /// The start of this child failed: there is no process.
    StartFailed {
        /// The child of the `Action::Start` that this answers.
        child: ChildId,
        /// Whether another attempt can succeed.
        failure: StartFailure,
    },
    /// The child reported that it is ready.
    Ready {
        /// The child.
        child: ChildId,
    },
    /// The child took back its readiness: it accepts no connection until it is ready again.
    Unready {
        /// The child.
        child: ChildId,
    },
    /// The first frame of the child contains whether it can report readiness. It corrects what
    /// `Started` assumed.
    Readiness {
        /// The child.
        child: ChildId,
        /// What the frame contains.
        readiness: Readiness,
    },
    /// The first frame of the child contains that it can accept from the sockets of other slots.
    AdoptionOffered {
        /// The child.
        child: ChildId,
    },
    /// The sockets of another slot could not be passed to the child. It gets no others.
    AdoptionFailed {
        /// The child.
        child: ChildId,
    },
    /// A signal has suspended the process of the child (`CLD_STOPPED` in sigaction(2)).
    Suspended {
        /// The child.
        child: ChildId,
    },
    /// A signal has resumed the process of the child (`CLD_CONTINUED`).
    Resumed {
        /// The child.
        child: ChildId,
    },
    /// The `main` of the child has ended. Its process may run for some time after that.
    MainEnded {
        /// The child.
        child: ChildId,
    },
    /// The child accepts no more connections, and never will.
    Closed {
        /// The child.
        child: ChildId,
    },
    /// The child sent too many frames, or an invalid one. It is killed, and its exit counts.
    Violation {
        /// The child.
        child: ChildId,
    },
    /// The child exited and was reaped.
    Exited {
        /// The child.
        child: ChildId,
    },
    /// `Action::AnnounceMasterReady` was performed without an error.
    MasterReady,
    /// A rollout was requested: all slots are to run the program that the path names now.
    ///
    /// If one is in progress, the next one begins after it. Requests that come until then are the
    /// same one.
    RolloutRequested,
    /// The answer to `Action::OpenProgram`: the slots are to run this program.
    ProgramOpened {
        /// The program. Its id is new.
        program: ProgramId,
    },
    /// The answer to `Action::OpenProgram`: no program can be started from the path.
    ProgramFailed,
    /// A hook returned an error or panicked.
    HookFailed,
    /// A listening socket was shut down and cannot be bound again: its address cannot be served.
    ListenerLost,
    /// Another number of slots was requested.
    ///
    /// New slots start like the first ones. The slots with the highest numbers are removed first:
    /// their children drain, and the exits of these children do not count.
    #[cfg_attr(not(test), expect(dead_code, reason = "no signal sends it yet"))]
    Resize {
        /// The new number of slots.
        slots: NonZeroUsize,
    },
    /// A stop was requested.
    StopRequested {
        /// How fast the stop must be.
        urgency: StopMode,
    },
}

/// How a child proves that it is healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It can report readiness, and must do so within `ready_timeout`.
    Notified,
    /// Its readiness cannot be observed: it is healthy once it has lived for `healthy_after`. If it
    /// reports readiness earlier, it is healthy then.
    Assumed,
}

/// Whether a start that failed can succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartFailure {
    /// A shortage (`EAGAIN`, `EMFILE`, …). Once the master is ready, it counts as an exit and is
    /// retried. Before that, it ends the master.
    Transient,
    /// An error that does not pass by itself (`ENOENT`, `EACCES`, …). If the master is ready and a
    /// child was ever healthy, it counts as an exit and is retried: the program was executable, so
    /// it or its permissions are being replaced, and the rest of the fleet serves. Otherwise it
    /// ends the master.
    Permanent,
    /// The master itself rejects the start, for example because `child_producer` failed. In a slot
    /// it ends the master. Of a successor it refuses the rollout. Of a standby it leaves the position
    /// empty until another program is accepted.
    Refused,
}

/// How fast a stop must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopMode {
    /// Children drain until the deadline. Another graceful request changes nothing.
    Graceful,
    /// Children are killed at once.
    Immediate,
}

/// An event about one child, as its state receives it.
///
/// `Event::Closed` is not among them: no state depends on it, the table of children counts it. The
/// events about sockets and signals are not either: the ring handles them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildEvent {
    Started(Readiness),
    StartFailed(StartFailure),
    Ready,
    Unready,
    Readiness(Readiness),
    MainEnded,
    Violation,
    Exited,
}
