//! A leaver's life: a child that was asked to go, or is about to be, and has left its slot. Pure, as a slot's.

use std::time::{Duration, Instant};

use super::event::Fact;
use super::policy::after;
use super::{Action, ChildId, KillReason};

/// How far a child is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaverState {
    /// Its start was handed out and is still unanswered: whether it exists is not known.
    Unanswered {
        kill_at: Instant,
        give_up_at: Instant,
    },
    /// It is to be asked to go.
    Untold { since: Instant, kill_at: Instant },
    /// It was asked to go, or its `main` has ended, and drains.
    Stopping { kill_at: Instant },
    /// It did what no child may; its kill is due.
    Condemned { since: Instant },
    /// It was killed, and the kernel has to end it.
    Killed { give_up_at: Instant },
    /// The kernel did not. Nobody waits for it any more; the outcome names it.
    Lost,
}

/// What a fact changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaverStep {
    Stay,
    Become(LeaverState),
    Gone,
}

impl LeaverState {
    /// When this state does something of its own accord.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Untold { since, .. } | Self::Condemned { since } => Some(since),
            Self::Stopping { kill_at } => Some(kill_at),
            Self::Unanswered { give_up_at, .. } | Self::Killed { give_up_at } => Some(give_up_at),
            Self::Lost => None,
        }
    }

    /// State × event, for facts about this child.
    pub(super) fn told(&self, fact: Fact, now: Instant) -> LeaverStep {
        match *self {
            Self::Unanswered { kill_at, .. } => match fact {
                Fact::Started(_) => LeaverStep::Become(Self::Untold {
                    since: now,
                    kill_at,
                }),
                Fact::StartFailed(_) | Fact::Exited => LeaverStep::Gone,
                // Nothing can be known of a child that is not a process yet.
                Fact::Ready | Fact::Readiness(_) | Fact::MainEnded | Fact::Violation => {
                    LeaverStep::Stay
                }
            },
            // It drains already: asking it to would only disturb its exit.
            Self::Untold { kill_at, .. } if fact == Fact::MainEnded => {
                LeaverStep::Become(Self::Stopping { kill_at })
            }
            Self::Untold { .. } | Self::Stopping { .. } => match fact {
                Fact::Violation => LeaverStep::Become(Self::Condemned { since: now }),
                Fact::Exited => LeaverStep::Gone,
                // It goes, whether it became ready on the way or not, and what is left of it after its `main`
                // has the rest of its time; a start is answered once.
                Fact::Started(_)
                | Fact::StartFailed(_)
                | Fact::Ready
                | Fact::Readiness(_)
                | Fact::MainEnded => LeaverStep::Stay,
            },
            Self::Condemned { .. } | Self::Killed { .. } | Self::Lost => match fact {
                Fact::Exited => LeaverStep::Gone,
                // Nothing that it says saves it.
                Fact::Started(_)
                | Fact::StartFailed(_)
                | Fact::Ready
                | Fact::Readiness(_)
                | Fact::MainEnded
                | Fact::Violation => LeaverStep::Stay,
            },
        }
    }

    /// State × time: what to do, and what the child is afterwards.
    pub(super) fn due(
        self,
        child: ChildId,
        now: Instant,
        patience: Duration,
    ) -> (Option<Action>, Self) {
        let kill = |reason| {
            let give_up_at = after(now, patience);
            let action = Action::Kill { child, reason };
            (Some(action), Self::Killed { give_up_at })
        };
        match self {
            // No time to drain: asking would only announce the kill.
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

    /// The time to drain is over now.
    pub(super) fn hurried(self, now: Instant, patience: Duration) -> Self {
        match self {
            Self::Unanswered {
                kill_at,
                give_up_at,
            } => Self::Unanswered {
                kill_at: kill_at.min(now),
                give_up_at: give_up_at.min(after(now, patience)),
            },
            Self::Untold { since, kill_at } => Self::Untold {
                since,
                kill_at: kill_at.min(now),
            },
            Self::Stopping { kill_at } => Self::Stopping {
                kill_at: kill_at.min(now),
            },
            // Already on the shortest way.
            Self::Condemned { .. } | Self::Killed { .. } | Self::Lost => self,
        }
    }
}
