//! The states of a draining child.
//!
//! A draining child has left its slot, and was asked to stop or will be. Pure, like the states of a
//! slot: a state and an event or a time go in, and the answer comes out.

use std::time::{Duration, Instant};

#[cfg(test)]
use super::NormalForm;
use super::event::ChildEvent;
use super::policy::after;
use super::{Action, ChildId, KillReason};

/// The state of a draining child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrainState {
    /// `Action::Start` was returned and is not answered yet: the child may not exist.
    AwaitingStart {
        kill_at: Instant,
        give_up_at: Instant,
    },
    /// The request to stop is due.
    NotYetAsked { since: Instant, kill_at: Instant },
    /// It was asked to stop, or its `main` has ended. It finishes its work.
    Draining { kill_at: Instant },
    /// It violated the protocol. Its kill is due.
    MustKill { since: Instant },
    /// It was killed and has not exited.
    Killed { give_up_at: Instant },
    /// It did not exit after SIGKILL. The supervisor no longer waits for it; the outcome names it.
    Unkillable,
}

/// What an event about the child changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrainTransition {
    Stay,
    Become(DrainState),
    Gone,
}

impl DrainState {
    /// When `on_timeout` must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::NotYetAsked { since, .. } | Self::MustKill { since } => Some(since),
            Self::Draining { kill_at } => Some(kill_at),
            Self::AwaitingStart { give_up_at, .. } | Self::Killed { give_up_at } => {
                Some(give_up_at)
            }
            Self::Unkillable => None,
        }
    }

    /// Returns what an event about this child changes.
    pub(super) fn on_event(&self, fact: ChildEvent, now: Instant) -> DrainTransition {
        match *self {
            Self::AwaitingStart { kill_at, .. } => match fact {
                ChildEvent::Started(_) => DrainTransition::Become(Self::NotYetAsked {
                    since: now,
                    kill_at,
                }),
                ChildEvent::StartFailed(_) | ChildEvent::Exited => DrainTransition::Gone,
                // A child that is not a process yet sends nothing.
                ChildEvent::Ready
                | ChildEvent::Unready
                | ChildEvent::Readiness(_)
                | ChildEvent::MainEnded
                | ChildEvent::Violation => DrainTransition::Stay,
            },
            // It already drains. A request would only disturb its exit.
            Self::NotYetAsked { kill_at, .. } if fact == ChildEvent::MainEnded => {
                DrainTransition::Become(Self::Draining { kill_at })
            }
            Self::NotYetAsked { .. } | Self::Draining { .. } => match fact {
                ChildEvent::Violation => DrainTransition::Become(Self::MustKill { since: now }),
                ChildEvent::Exited => DrainTransition::Gone,
                // It drains, even if it becomes ready meanwhile. After the end of `main`, its
                // process has the rest of the grace period. A start is answered once.
                ChildEvent::Started(_)
                | ChildEvent::StartFailed(_)
                | ChildEvent::Ready
                | ChildEvent::Unready
                | ChildEvent::Readiness(_)
                | ChildEvent::MainEnded => DrainTransition::Stay,
            },
            Self::MustKill { .. } | Self::Killed { .. } | Self::Unkillable => match fact {
                ChildEvent::Exited => DrainTransition::Gone,
                // The kill does not depend on what it sends.
                ChildEvent::Started(_)
                | ChildEvent::StartFailed(_)
                | ChildEvent::Ready
                | ChildEvent::Unready
                | ChildEvent::Readiness(_)
                | ChildEvent::MainEnded
                | ChildEvent::Violation => DrainTransition::Stay,
            },
        }
    }

    /// Returns what to do at the deadline, and the state after it.
    ///
    /// `kill_timeout` is how long a killed child may take to exit.
    pub(super) fn on_timeout(
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
            Self::NotYetAsked { kill_at, .. } if kill_at <= now => kill(KillReason::OutOfTime),
            Self::NotYetAsked { kill_at, .. } => (
                Some(Action::Terminate { child, kill_at }),
                Self::Draining { kill_at },
            ),
            Self::Draining { .. } => kill(KillReason::OutOfTime),
            Self::MustKill { .. } => kill(KillReason::Violation),
            Self::Killed { .. } => (Some(Action::GiveUp { child }), Self::Unkillable),
            Self::AwaitingStart { .. } | Self::Unkillable => (None, Self::Unkillable),
        }
    }

    #[cfg(test)]
    pub(super) fn write_normal(&self, form: &mut NormalForm) {
        match *self {
            Self::AwaitingStart {
                kill_at,
                give_up_at,
            } => {
                form.number(0);
                form.time(kill_at);
                form.time(give_up_at);
            }
            Self::NotYetAsked { since, kill_at } => {
                form.number(1);
                form.time(since);
                form.time(kill_at);
            }
            Self::Draining { kill_at } => {
                form.number(2);
                form.time(kill_at);
            }
            Self::MustKill { since } => {
                form.number(3);
                form.time(since);
            }
            Self::Killed { give_up_at } => {
                form.number(4);
                form.time(give_up_at);
            }
            Self::Unkillable => form.number(5),
        }
    }

    /// Returns the state after the rest of the grace period was removed.
    pub(super) fn without_grace(self, now: Instant, kill_timeout: Duration) -> Self {
        match self {
            Self::AwaitingStart {
                kill_at,
                give_up_at,
            } => Self::AwaitingStart {
                kill_at: kill_at.min(now),
                give_up_at: give_up_at.min(after(now, kill_timeout)),
            },
            Self::NotYetAsked { since, kill_at } => Self::NotYetAsked {
                since,
                kill_at: kill_at.min(now),
            },
            Self::Draining { kill_at } => Self::Draining {
                kill_at: kill_at.min(now),
            },
            // These have no grace period left.
            Self::MustKill { .. } | Self::Killed { .. } | Self::Unkillable => self,
        }
    }
}
