//! The states of a slot: each variant is a column or row of `TABLE.md`.
//!
//! Pure: a state and an event or a time go in, and the answer comes out. A slot knows nothing of
//! other slots, the budget or the phase. The supervisor knows them; it applies each [`Step`] and
//! [`Turn`].

use std::time::Instant;

use super::event::Fact;
use super::leaver::LeaverState;
use super::policy::after;
use super::{ChildId, KillReason, Policy, Readiness, StartFailure};

/// The state of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    /// Empty. The start of its first child is due.
    Unstarted { since: Instant },
    /// Empty since `child` left it unexpectedly. At `until` the exit is counted, and either the
    /// next child is started or the master stops.
    Recovering { child: ChildId, until: Instant },
    /// As `Recovering`, but the master is not ready. Until it is, no exit is counted and no child
    /// is replaced.
    Held { child: ChildId, until: Instant },
    /// `Action::Start` was returned. The answer comes at once, so there is no deadline.
    Asked { child: ChildId },
    /// Started. The child can report readiness, and must do so by `ready_by`.
    Starting {
        child: ChildId,
        since: Instant,
        ready_by: Instant,
    },
    /// Started. The readiness of the child cannot be observed: it is healthy if it lives until
    /// `well_at`.
    Proving {
        child: ChildId,
        since: Instant,
        well_at: Instant,
    },
    /// The child is healthy.
    Serving { child: ChildId, since: Instant },
    /// The `main` of the child has ended. Its process has until `exit_by` to exit; then the child
    /// leaves the slot and drains.
    Ending {
        child: ChildId,
        exit_by: Instant,
        kill_at: Instant,
        condition: Condition,
    },
    /// The child violated the protocol. Its kill is due.
    Condemned {
        child: ChildId,
        since: Instant,
        condition: Condition,
    },
    /// The child was killed: it was not ready in time, or violated the protocol. It fills the slot
    /// until it exits, because a slot never has two serving children.
    Killed {
        child: ChildId,
        give_up_at: Instant,
        condition: Condition,
    },
    /// Empty. No child is started in it any more.
    Retired,
}

/// What an event about the child changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Stay,
    Become(SlotState),
    /// The start succeeded: the child is a process.
    Confirm(SlotState),
    /// The start failed: there is no process.
    Fail(StartFailure),
    /// The child exited, and the master had not asked it to.
    Die(Condition),
}

/// What happens at the deadline of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Stay,
    Start,
    /// The exit of this child is counted; then the next child is started or the master stops.
    Recover(ChildId),
    Become(SlotState),
    Kill {
        child: ChildId,
        reason: KillReason,
        condition: Condition,
    },
    /// The child did not exit after SIGKILL: it leaves the slot.
    GiveUp {
        child: ChildId,
        condition: Condition,
    },
    /// The `main` of the child has ended and its process has not exited: it leaves the slot.
    Outlive {
        child: ChildId,
        kill_at: Instant,
        condition: Condition,
    },
}

/// Whether a child was ever healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Well,
    Unwell,
}

impl SlotState {
    /// The first state of a started child.
    fn started(child: ChildId, since: Instant, readiness: Readiness, policy: &Policy) -> Self {
        match readiness {
            Readiness::Announced => Self::Starting {
                child,
                since,
                ready_by: after(since, policy.ready_timeout),
            },
            // Without a deadline: the exit of a child that ends at once may be handled before any
            // deadline is checked.
            Readiness::Unseen if policy.healthy_after.is_zero() => Self::Serving { child, since },
            Readiness::Unseen => Self::Proving {
                child,
                since,
                well_at: after(since, policy.healthy_after),
            },
        }
    }

    /// The state of a child whose `main` has ended.
    fn ending(child: ChildId, condition: Condition, now: Instant, policy: &Policy) -> Self {
        let kill_at = after(now, policy.shutdown_grace_period);
        Self::Ending {
            child,
            exit_by: after(now, policy.exit_patience).min(kill_at),
            kill_at,
            condition,
        }
    }

    /// The state of a killed child until it exits.
    pub(super) fn killed(
        child: ChildId,
        condition: Condition,
        now: Instant,
        policy: &Policy,
    ) -> Self {
        Self::Killed {
            child,
            give_up_at: after(now, policy.kill_patience),
            condition,
        }
    }

    /// The child that fills this slot.
    #[cfg(test)]
    pub(super) fn child(&self) -> Option<ChildId> {
        match *self {
            Self::Unstarted { .. }
            | Self::Recovering { .. }
            | Self::Held { .. }
            | Self::Retired => None,
            Self::Asked { child }
            | Self::Starting { child, .. }
            | Self::Proving { child, .. }
            | Self::Serving { child, .. }
            | Self::Ending { child, .. }
            | Self::Condemned { child, .. }
            | Self::Killed { child, .. } => Some(child),
        }
    }

    /// When `due` must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Recovering { until, .. } => Some(until),
            Self::Starting { ready_by, .. } => Some(ready_by),
            Self::Proving { well_at, .. } => Some(well_at),
            Self::Ending { exit_by, .. } => Some(exit_by),
            Self::Unstarted { since } | Self::Condemned { since, .. } => Some(since),
            Self::Killed { give_up_at, .. } => Some(give_up_at),
            Self::Held { .. } | Self::Asked { .. } | Self::Serving { .. } | Self::Retired => None,
        }
    }

    /// Returns what an event about the child of this slot changes.
    pub(super) fn told(&self, fact: Fact, now: Instant, policy: &Policy) -> Step {
        match *self {
            // Events are about a child, and this slot has none.
            Self::Unstarted { .. }
            | Self::Recovering { .. }
            | Self::Held { .. }
            | Self::Retired => Step::Stay,
            Self::Asked { child } => Self::asked_told(child, fact, now, policy),
            Self::Starting { child, since, .. } | Self::Proving { child, since, .. } => {
                Self::started_told(child, since, fact, now, policy)
            }
            Self::Serving { child, .. } => match fact {
                Fact::Violation => Step::Become(Self::Condemned {
                    child,
                    since: now,
                    condition: Condition::Well,
                }),
                Fact::MainEnded => Step::Become(Self::ending(child, Condition::Well, now, policy)),
                Fact::Exited => Step::Die(Condition::Well),
                // It stays healthy whatever it sends. A start is answered once.
                Fact::Started(_) | Fact::StartFailed(_) | Fact::Ready | Fact::Readiness(_) => {
                    Step::Stay
                }
            },
            Self::Ending {
                child, condition, ..
            } => match fact {
                Fact::Violation => Step::Become(Self::Condemned {
                    child,
                    since: now,
                    condition,
                }),
                Fact::Exited => Step::Die(condition),
                // It no longer serves, whatever it sends. A start is answered once.
                Fact::Started(_)
                | Fact::StartFailed(_)
                | Fact::Ready
                | Fact::Readiness(_)
                | Fact::MainEnded => Step::Stay,
            },
            Self::Condemned { condition, .. } | Self::Killed { condition, .. } => match fact {
                Fact::Exited => Step::Die(condition),
                // The kill does not depend on what it sends.
                Fact::Started(_)
                | Fact::StartFailed(_)
                | Fact::Ready
                | Fact::Readiness(_)
                | Fact::MainEnded
                | Fact::Violation => Step::Stay,
            },
        }
    }

    fn asked_told(child: ChildId, fact: Fact, now: Instant, policy: &Policy) -> Step {
        match fact {
            Fact::Started(readiness) => Step::Confirm(Self::started(child, now, readiness, policy)),
            Fact::StartFailed(failure) => Step::Fail(failure),
            // It exited before its start was confirmed: treated like a failed start.
            Fact::Exited => Step::Fail(StartFailure::Passing),
            // A child that is not a process yet sends nothing.
            Fact::Ready | Fact::Readiness(_) | Fact::MainEnded | Fact::Violation => Step::Stay,
        }
    }

    fn started_told(
        child: ChildId,
        since: Instant,
        fact: Fact,
        now: Instant,
        policy: &Policy,
    ) -> Step {
        match fact {
            Fact::Ready => Step::Become(Self::Serving { child, since: now }),
            // The time counts from the start in both cases, so a change gives no extra time.
            Fact::Readiness(readiness) => {
                Step::Become(Self::started(child, since, readiness, policy))
            }
            Fact::Violation => Step::Become(Self::Condemned {
                child,
                since: now,
                condition: Condition::Unwell,
            }),
            Fact::MainEnded => Step::Become(Self::ending(child, Condition::Unwell, now, policy)),
            Fact::Exited => Step::Die(Condition::Unwell),
            // A start is answered once.
            Fact::Started(_) | Fact::StartFailed(_) => Step::Stay,
        }
    }

    /// Returns what happens at the deadline.
    pub(super) fn due(&self, now: Instant) -> Turn {
        match *self {
            Self::Unstarted { .. } => Turn::Start,
            Self::Recovering { child, .. } => Turn::Recover(child),
            Self::Starting { child, .. } => Turn::Kill {
                child,
                reason: KillReason::NotReady,
                condition: Condition::Unwell,
            },
            Self::Proving { child, .. } => Turn::Become(Self::Serving { child, since: now }),
            Self::Ending {
                child,
                kill_at,
                condition,
                ..
            } => Turn::Outlive {
                child,
                kill_at,
                condition,
            },
            Self::Condemned {
                child, condition, ..
            } => Turn::Kill {
                child,
                reason: KillReason::Violation,
                condition,
            },
            Self::Killed {
                child, condition, ..
            } => Turn::GiveUp { child, condition },
            // These have no deadline.
            Self::Held { .. } | Self::Asked { .. } | Self::Serving { .. } | Self::Retired => {
                Turn::Stay
            }
        }
    }

    /// Returns the state after the master became ready.
    pub(super) fn released(self) -> Self {
        match self {
            Self::Held { child, until } => Self::Recovering { child, until },
            Self::Unstarted { .. }
            | Self::Recovering { .. }
            | Self::Asked { .. }
            | Self::Starting { .. }
            | Self::Proving { .. }
            | Self::Serving { .. }
            | Self::Ending { .. }
            | Self::Condemned { .. }
            | Self::Killed { .. }
            | Self::Retired => self,
        }
    }

    /// Returns the child as a draining one, if the slot has a child.
    ///
    /// Used when a stop empties the slot.
    pub(super) fn leaver(
        &self,
        now: Instant,
        kill_at: Instant,
        policy: &Policy,
    ) -> Option<(ChildId, LeaverState)> {
        match *self {
            Self::Unstarted { .. }
            | Self::Recovering { .. }
            | Self::Held { .. }
            | Self::Retired => None,
            Self::Asked { child } => {
                let give_up_at = after(kill_at, policy.kill_patience);
                Some((
                    child,
                    LeaverState::Unanswered {
                        kill_at,
                        give_up_at,
                    },
                ))
            }
            Self::Starting { child, .. }
            | Self::Proving { child, .. }
            | Self::Serving { child, .. } => Some((
                child,
                LeaverState::Untold {
                    since: now,
                    kill_at,
                },
            )),
            // It has been draining since its `main` ended. A request would only disturb its exit.
            Self::Ending {
                child,
                kill_at: earlier,
                ..
            } => Some((
                child,
                LeaverState::Stopping {
                    kill_at: earlier.min(kill_at),
                },
            )),
            Self::Condemned { child, since, .. } => Some((child, LeaverState::Condemned { since })),
            Self::Killed {
                child, give_up_at, ..
            } => Some((child, LeaverState::Killed { give_up_at })),
        }
    }
}
