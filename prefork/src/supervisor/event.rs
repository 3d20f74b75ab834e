//! Facts: what the supervisor is told. Past tense; none of them is an order to start or kill a child.

use super::ChildId;

/// Something that has happened.
///
/// A fact about a child that is unknown, dead or past the point is harmless, so whoever tells need not check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The start of this child succeeded: it is a process. `readiness` is what can be assumed of its program.
    Started {
        /// The child of the `Action::Start` that this answers.
        child: ChildId,
        /// Whether it can say ready, as far as is known before its own first word.
        readiness: Readiness,
    },
    /// The start of this child failed: there is no process.
    StartFailed {
        /// The child of the `Action::Start` that this answers.
        child: ChildId,
        /// Whether trying again can help.
        failure: StartFailure,
    },
    /// The child said that it is ready.
    Ready {
        /// Who said so.
        child: ChildId,
    },
    /// The child's first word tells whether it can say ready; it corrects what `Started` assumed.
    Readiness {
        /// Who said so.
        child: ChildId,
        /// What it said.
        readiness: Readiness,
    },
    /// The child's `main` has ended; its process may go on for a while.
    MainEnded {
        /// Whose it was.
        child: ChildId,
    },
    /// The child accepts no more connections, for good.
    Closed {
        /// Who said so.
        child: ChildId,
    },
    /// The child flooded the channel or lied; it is killed, and its exit counts.
    Violation {
        /// Who did.
        child: ChildId,
    },
    /// The child has ended and was reaped.
    Exited {
        /// Who ended.
        child: ChildId,
    },
    /// What `Action::AnnounceMasterReady` asked for is done, with success.
    MasterReady,
    /// A hook failed, whichever and whenever.
    HookFailed,
    /// A listening socket was shut down and cannot be bound again: nothing can serve its address any more.
    ListenerLost,
    /// Somebody wants the fleet to stop.
    StopRequested {
        /// How fast.
        urgency: Urgency,
    },
}

/// How it will be known that a child is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It can say ready, and must within `ready_timeout`.
    Announced,
    /// It cannot be seen; having lived `healthy_after` is enough. A word from it still counts.
    Unseen,
}

/// Whether a start that failed may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartFailure {
    /// A shortage (`EAGAIN`, `EMFILE`, …): counts as an exit and is tried again.
    Passing,
    /// Nothing that time heals by itself (`ENOENT`, `EACCES`, …): ends the master, unless a child was healthy before.
    /// Then the program has been there and is being replaced, or its right to run is, and the rest of the fleet serves:
    /// it counts as an exit and is tried again.
    Permanent,
    /// The program itself refused the start: ends the master.
    Refused,
}

/// How fast a stop should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Children drain until the deadline; a repeat changes nothing.
    Graceful,
    /// Children are killed now.
    Immediate,
}

/// An event about one child, as its state is told. That it closed its listeners is not among them: no state depends
/// on that, the roster counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Started(Readiness),
    StartFailed(StartFailure),
    Ready,
    Readiness(Readiness),
    MainEnded,
    Violation,
    Exited,
}
