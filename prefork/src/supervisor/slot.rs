//! A slot's life: one row of `TABLE.md` per variant. Pure: a state and a fact in, what follows out.
//!
//! Knows nothing of other slots, the budget or the phase; whoever applies a [`Step`] or [`Turn`] does.

use std::time::Instant;

use super::event::Fact;
use super::leaver::LeaverState;
use super::policy::after;
use super::{ChildId, KillReason, Policy, Readiness, StartFailure};

/// What a place is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    /// Empty; its first child is to be started.
    Unstarted { since: Instant },
    /// Empty since `child` left it unexpectedly. When the time has come, that exit is counted, and the next child is
    /// started or the master stops.
    Recovering { child: ChildId, until: Instant },
    /// The same, before the master was ready: nothing is counted and nothing is recovered until it is.
    Held { child: ChildId, until: Instant },
    /// `Action::Start` was handed out; the answer is owed, at once, so nothing here has a deadline.
    Asked { child: ChildId },
    /// Started; it can say ready and must by then.
    Starting {
        child: ChildId,
        since: Instant,
        ready_by: Instant,
    },
    /// Started; its readiness cannot be seen, so having lived until then is enough.
    Proving {
        child: ChildId,
        since: Instant,
        well_at: Instant,
    },
    /// Well.
    Serving { child: ChildId, since: Instant },
    /// The child's `main` has ended. Its process has until `exit_by` to exit; then the slot goes on without it.
    Ending {
        child: ChildId,
        exit_by: Instant,
        kill_at: Instant,
        condition: Condition,
    },
    /// It did what no child may; its kill is due.
    Condemned {
        child: ChildId,
        since: Instant,
        condition: Condition,
    },
    /// Killed for what it did or did not do. It fills the slot until it is gone: two children in one slot would be
    /// more than asked.
    Killed {
        child: ChildId,
        give_up_at: Instant,
        condition: Condition,
    },
    /// Empty for good.
    Retired,
}

/// What a fact changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Stay,
    Become(SlotState),
    /// The child is a process now.
    Confirm(SlotState),
    /// The child never was.
    Fail(StartFailure),
    /// The child is gone and nobody asked for that.
    Die(Condition),
}

/// What happens when a state's time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Stay,
    Start,
    /// The exit of this child is counted; then the next one is started or the master stops.
    Recover(ChildId),
    Become(SlotState),
    Kill {
        child: ChildId,
        reason: KillReason,
        condition: Condition,
    },
    /// SIGKILL did not end the child: the slot goes on without it.
    GiveUp {
        child: ChildId,
        condition: Condition,
    },
    /// The end of the child's `main` did not end its process: the slot goes on without it.
    Outlive {
        child: ChildId,
        kill_at: Instant,
        condition: Condition,
    },
}

/// Whether a child had got well before it died or had to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Well,
    Unwell,
}

impl SlotState {
    /// Where a started child begins.
    fn started(child: ChildId, since: Instant, readiness: Readiness, policy: &Policy) -> Self {
        match readiness {
            Readiness::Announced => Self::Starting {
                child,
                since,
                ready_by: after(since, policy.ready_timeout),
            },
            // Not by a deadline: the exit of a child that ends at once may be heard before any deadline is looked at.
            Readiness::Unseen if policy.healthy_after.is_zero() => Self::Serving { child, since },
            Readiness::Unseen => Self::Proving {
                child,
                since,
                well_at: after(since, policy.healthy_after),
            },
        }
    }

    /// Where a child is whose `main` has ended.
    fn ending(child: ChildId, condition: Condition, now: Instant, policy: &Policy) -> Self {
        let kill_at = after(now, policy.shutdown_grace_period);
        Self::Ending {
            child,
            exit_by: after(now, policy.exit_patience).min(kill_at),
            kill_at,
            condition,
        }
    }

    /// What a killed child leaves behind until it is gone.
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

    /// When this state does something of its own accord.
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

    /// State × event, for facts about the child that fills this slot.
    pub(super) fn told(&self, fact: Fact, now: Instant, policy: &Policy) -> Step {
        match *self {
            // Facts reach a slot by its child, and here there is none.
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
                // It is well whatever it says now; a start is answered once.
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
                // It serves no more, whatever it sends; a start is answered once.
                Fact::Started(_)
                | Fact::StartFailed(_)
                | Fact::Ready
                | Fact::Readiness(_)
                | Fact::MainEnded => Step::Stay,
            },
            Self::Condemned { condition, .. } | Self::Killed { condition, .. } => match fact {
                Fact::Exited => Step::Die(condition),
                // Nothing that it says saves it.
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
            // Gone before its start was confirmed: as good as not started.
            Fact::Exited => Step::Fail(StartFailure::Passing),
            // Nothing can be known of a child that is not a process yet.
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
            // Counted from the start in either case, so that a change of mind buys no time.
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

    /// State × time.
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

    /// The master is ready.
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

    /// The slot is to be emptied: as what its child leaves it, if there is one.
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
            // It drains since its `main` ended: asking it to would only disturb its exit.
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
