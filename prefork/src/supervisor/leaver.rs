//! The states of a draining child.
//!
//! A draining child has left its slot, and was asked to stop or will be. Pure, like the states of a
//! slot: a state and an event or a time go in, and the answer comes out.

use std::time::{Duration, Instant};

use super::event::Fact;
use super::policy::after;
use super::{Action, ChildId, KillReason};

/// The state of a draining child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaverState {
    /// `Action::Start` was returned and is not answered yet: the child may not exist.
    Unanswered {
        kill_at: Instant,
        give_up_at: Instant,
    },
    /// The request to stop is due.
    Untold { since: Instant, kill_at: Instant },
    /// It was asked to stop, or its `main` has ended. It finishes its work.
    Stopping { kill_at: Instant },
    /// It violated the protocol. Its kill is due.
    Condemned { since: Instant },
    /// It was killed and has not exited.
    Killed { give_up_at: Instant },
    /// It did not exit after SIGKILL. The supervisor no longer waits for it; the outcome names it.
    Lost,
}

/// What an event about the child changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaverStep {
    Stay,
    Become(LeaverState),
    Gone,
}

impl LeaverState {
    /// When `due` must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Untold { since, .. } | Self::Condemned { since } => Some(since),
            Self::Stopping { kill_at } => Some(kill_at),
            Self::Unanswered { give_up_at, .. } | Self::Killed { give_up_at } => Some(give_up_at),
            Self::Lost => None,
        }
    }

    /// Returns what an event about this child changes.
    pub(super) fn told(&self, fact: Fact, now: Instant) -> LeaverStep {
        match *self {
            Self::Unanswered { kill_at, .. } => match fact {
                Fact::Started(_) => LeaverStep::Become(Self::Untold {
                    since: now,
                    kill_at,
                }),
                Fact::StartFailed(_) | Fact::Exited => LeaverStep::Gone,
                // A child that is not a process yet sends nothing.
                Fact::Ready | Fact::Readiness(_) | Fact::MainEnded | Fact::Violation => {
                    LeaverStep::Stay
                }
            },
            // It already drains. A request would only disturb its exit.
            Self::Untold { kill_at, .. } if fact == Fact::MainEnded => {
                LeaverStep::Become(Self::Stopping { kill_at })
            }
            Self::Untold { .. } | Self::Stopping { .. } => match fact {
                Fact::Violation => LeaverStep::Become(Self::Condemned { since: now }),
                Fact::Exited => LeaverStep::Gone,
                // It drains, even if it becomes ready meanwhile. After the end of `main`, its
                // process has the rest of the grace period. A start is answered once.
                Fact::Started(_)
                | Fact::StartFailed(_)
                | Fact::Ready
                | Fact::Readiness(_)
                | Fact::MainEnded => LeaverStep::Stay,
            },
            Self::Condemned { .. } | Self::Killed { .. } | Self::Lost => match fact {
                Fact::Exited => LeaverStep::Gone,
                // The kill does not depend on what it sends.
                Fact::Started(_)
                | Fact::StartFailed(_)
                | Fact::Ready
                | Fact::Readiness(_)
                | Fact::MainEnded
                | Fact::Violation => LeaverStep::Stay,
            },
        }
    }

    /// Returns what to do at the deadline, and the state after it.
    ///
    /// `kill_timeout` is how long a killed child may take to exit.
    pub(super) fn due(
        self,
        child: ChildId,
        now: Instant,
        kill_timeout: Duration,
    ) -> (Option<Action>, Self) {
        let kill = |reason| {
            let give_up_at = after(now, kill_timeout);
            let action = Action::Kill { child, reason };
            (Some(action), Self::Killed { give_up_at })
        };
        match self {
            // There is no time to drain: a request would only announce the kill.
            Self::Untold { kill_at, .. } if kill_at <= now => kill(KillReason::OutOfTime),
            Self::Untold { kill_at, .. } => (
                Some(Action::Terminate { child, kill_at }),
                Self::Stopping { kill_at },
            ),
            Self::Stopping { .. } => kill(KillReason::OutOfTime),
            Self::Condemned { .. } => kill(KillReason::Violation),
            Self::Killed { .. } => (Some(Action::GiveUp { child }), Self::Lost),
            Self::Unanswered { .. } | Self::Lost => (None, Self::Lost),
        }
    }

    /// Returns the state after the rest of the grace period was removed.
    pub(super) fn hurried(self, now: Instant, kill_timeout: Duration) -> Self {
        match self {
            Self::Unanswered {
                kill_at,
                give_up_at,
            } => Self::Unanswered {
                kill_at: kill_at.min(now),
                give_up_at: give_up_at.min(after(now, kill_timeout)),
            },
            Self::Untold { since, kill_at } => Self::Untold {
                since,
                kill_at: kill_at.min(now),
            },
            Self::Stopping { kill_at } => Self::Stopping {
                kill_at: kill_at.min(now),
            },
            // These have no grace period left.
            Self::Condemned { .. } | Self::Killed { .. } | Self::Lost => self,
        }
    }
}
