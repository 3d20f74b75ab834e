//! The states of a slot: each variant is a column or row of `TABLE.md`.
//!
//! Pure: a state and an event or a time go in, and the answer comes out. A slot knows nothing of
//! other slots, the budget or the phase. The supervisor knows them; it applies each [`Transition`]
//! and [`TimeoutAction`].

use std::time::Instant;

#[cfg(test)]
use super::NormalForm;
use super::draining::DrainState;
use super::event::ChildEvent;
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
    /// Empty since `child` left it unexpectedly. That child ran a program that is not the accepted
    /// one, so its exit does not count, and the accepted program is started at once.
    Reverting { child: ChildId, since: Instant },
    /// As `Recovering`, but the master is not ready. Until it is, no exit is counted and no child
    /// is replaced.
    Deferred { child: ChildId, until: Instant },
    /// `Action::Start` was returned. The answer comes at once, so there is no deadline.
    SpawnRequested { child: ChildId },
    /// Started. The child can report readiness, and must do so by `ready_deadline`.
    Starting {
        child: ChildId,
        since: Instant,
        ready_deadline: Instant,
    },
    /// Started. The readiness of the child cannot be observed: it is healthy if it lives until
    /// `healthy_at`.
    Probation {
        child: ChildId,
        since: Instant,
        healthy_at: Instant,
    },
    /// The child is healthy.
    Serving { child: ChildId, since: Instant },
    /// The child was healthy, and has taken back its readiness. It keeps its slot.
    Unready { child: ChildId },
    /// The `main` of the child has ended. Its process has until `exit_deadline` to exit; then the
    /// child leaves the slot and drains.
    Ending {
        child: ChildId,
        exit_deadline: Instant,
        kill_at: Instant,
        condition: Health,
    },
    /// The child violated the protocol. Its kill is due.
    MustKill {
        child: ChildId,
        since: Instant,
        condition: Health,
    },
    /// The child was killed: it was not ready in time, or violated the protocol. It fills the slot
    /// until it exits, because a slot never has two serving children.
    Killed {
        child: ChildId,
        give_up_at: Instant,
        condition: Health,
    },
    /// Empty. No child is started in it any more: the master stops, or the slot was removed.
    Retired,
}

/// What an event about the child changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    Stay,
    Become(SlotState),
    /// The start succeeded: the child is a process.
    Confirm(SlotState),
    /// The start failed: there is no process.
    Fail(StartFailure),
    /// The child exited, and the master had not asked it to.
    Die(Health),
}

/// What happens at the deadline of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeoutAction {
    Stay,
    Start,
    /// The exit of this child is counted; then the next child is started or the master stops.
    Recover(ChildId),
    /// The accepted program is started in place of this child.
    Revert(ChildId),
    Become(SlotState),
    Kill {
        child: ChildId,
        reason: KillReason,
        condition: Health,
    },
    /// The child did not exit after SIGKILL: it leaves the slot.
    GiveUp {
        child: ChildId,
        condition: Health,
    },
    /// The `main` of the child has ended and its process has not exited: it leaves the slot.
    Outlive {
        child: ChildId,
        kill_at: Instant,
        condition: Health,
    },
}

/// Whether a child was ever healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Healthy,
    Unhealthy,
}

impl SlotState {
    pub(super) fn is_serving(self) -> bool {
        matches!(self, Self::Serving { .. })
    }

    /// Whether a child has left it, and another one is to fill it.
    pub(super) fn awaits_replacement(self) -> bool {
        matches!(self, Self::Recovering { .. } | Self::Reverting { .. })
    }

    /// Whether the child serves or may become healthy.
    pub(super) fn may_serve(self) -> bool {
        match self {
            Self::SpawnRequested { .. }
            | Self::Starting { .. }
            | Self::Probation { .. }
            | Self::Serving { .. }
            | Self::Unready { .. } => true,
            Self::Unstarted { .. }
            | Self::Recovering { .. }
            | Self::Reverting { .. }
            | Self::Deferred { .. }
            | Self::Ending { .. }
            | Self::MustKill { .. }
            | Self::Killed { .. }
            | Self::Retired => false,
        }
    }

    /// Whether the child, as a successor, may replace another one.
    pub(super) fn may_succeed(self) -> bool {
        self.may_serve() && !matches!(self, Self::Unready { .. })
    }

    /// The first state of a started child.
    fn started(child: ChildId, since: Instant, readiness: Readiness, policy: &Policy) -> Self {
        match readiness {
            Readiness::Notified => Self::Starting {
                child,
                since,
                ready_deadline: after(since, policy.ready_timeout),
            },
            // Without a deadline: the exit of a child that ends at once may be handled before any
            // deadline is checked.
            Readiness::Assumed if policy.healthy_after.is_zero() => Self::Serving { child, since },
            Readiness::Assumed => Self::Probation {
                child,
                since,
                healthy_at: after(since, policy.healthy_after),
            },
        }
    }

    /// The state of a child whose `main` has ended.
    fn ending(child: ChildId, condition: Health, now: Instant, policy: &Policy) -> Self {
        let kill_at = after(now, policy.shutdown_grace_period);
        Self::Ending {
            child,
            exit_deadline: after(now, policy.exit_timeout).min(kill_at),
            kill_at,
            condition,
        }
    }

    fn violated(child: ChildId, condition: Health, since: Instant) -> Transition {
        Transition::Become(Self::MustKill {
            child,
            since,
            condition,
        })
    }

    /// The state of a killed child until it exits.
    pub(super) fn killed(child: ChildId, condition: Health, now: Instant, policy: &Policy) -> Self {
        Self::Killed {
            child,
            give_up_at: after(now, policy.kill_timeout),
            condition,
        }
    }

    /// The child that fills this slot.
    pub(super) fn child(&self) -> Option<ChildId> {
        match self {
            Self::Recovering { .. } | Self::Reverting { .. } | Self::Deferred { .. } => None,
            filled => filled.last_child(),
        }
    }

    /// The child that fills this slot, or the one that left it last.
    pub(super) fn last_child(&self) -> Option<ChildId> {
        match *self {
            Self::Unstarted { .. } | Self::Retired => None,
            Self::Recovering { child, .. }
            | Self::Reverting { child, .. }
            | Self::Deferred { child, .. }
            | Self::SpawnRequested { child }
            | Self::Starting { child, .. }
            | Self::Probation { child, .. }
            | Self::Serving { child, .. }
            | Self::Unready { child }
            | Self::Ending { child, .. }
            | Self::MustKill { child, .. }
            | Self::Killed { child, .. } => Some(child),
        }
    }

    /// Whether the start of the first child was confirmed.
    ///
    /// Asked before the announcement, when a slot has only its first child.
    pub(super) fn was_started(&self) -> bool {
        !matches!(self, Self::Unstarted { .. } | Self::SpawnRequested { .. })
    }

    /// When `on_timeout` must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Recovering { until, .. } => Some(until),
            Self::Starting { ready_deadline, .. } => Some(ready_deadline),
            Self::Probation { healthy_at, .. } => Some(healthy_at),
            Self::Ending { exit_deadline, .. } => Some(exit_deadline),
            Self::Unstarted { since }
            | Self::Reverting { since, .. }
            | Self::MustKill { since, .. } => Some(since),
            Self::Killed { give_up_at, .. } => Some(give_up_at),
            Self::Deferred { .. }
            | Self::SpawnRequested { .. }
            | Self::Serving { .. }
            | Self::Unready { .. }
            | Self::Retired => None,
        }
    }

    /// Returns what an event about the child of this slot changes.
    pub(super) fn on_event(&self, fact: ChildEvent, now: Instant, policy: &Policy) -> Transition {
        match *self {
            // Events are about a child, and this slot has none.
            Self::Unstarted { .. }
            | Self::Recovering { .. }
            | Self::Reverting { .. }
            | Self::Deferred { .. }
            | Self::Retired => Transition::Stay,
            Self::SpawnRequested { child } => Self::on_event_before_start(child, fact, now, policy),
            Self::Starting { child, since, .. } | Self::Probation { child, since, .. } => {
                Self::on_event_before_healthy(child, since, fact, now, policy)
            }
            Self::Serving { child, .. } if fact == ChildEvent::Unready => {
                Transition::Become(Self::Unready { child })
            }
            Self::Unready { child } if fact == ChildEvent::Ready => {
                Transition::Become(Self::Serving { child, since: now })
            }
            Self::Serving { child, .. } | Self::Unready { child } => match fact {
                ChildEvent::Violation => Self::violated(child, Health::Healthy, now),
                ChildEvent::MainEnded => {
                    Transition::Become(Self::ending(child, Health::Healthy, now, policy))
                }
                ChildEvent::Exited => Transition::Die(Health::Healthy),
                // It stays as it is whatever else it sends. A start is answered once.
                ChildEvent::Started(_)
                | ChildEvent::StartFailed(_)
                | ChildEvent::Ready
                | ChildEvent::Unready
                | ChildEvent::Readiness(_) => Transition::Stay,
            },
            Self::Ending {
                child, condition, ..
            } => match fact {
                ChildEvent::Violation => Self::violated(child, condition, now),
                ChildEvent::Exited => Transition::Die(condition),
                // It no longer serves, whatever it sends. A start is answered once.
                ChildEvent::Started(_)
                | ChildEvent::StartFailed(_)
                | ChildEvent::Ready
                | ChildEvent::Unready
                | ChildEvent::Readiness(_)
                | ChildEvent::MainEnded => Transition::Stay,
            },
            Self::MustKill { condition, .. } | Self::Killed { condition, .. } => match fact {
                ChildEvent::Exited => Transition::Die(condition),
                // The kill does not depend on what it sends.
                ChildEvent::Started(_)
                | ChildEvent::StartFailed(_)
                | ChildEvent::Ready
                | ChildEvent::Unready
                | ChildEvent::Readiness(_)
                | ChildEvent::MainEnded
                | ChildEvent::Violation => Transition::Stay,
            },
        }
    }

    fn on_event_before_start(
        child: ChildId,
        fact: ChildEvent,
        now: Instant,
        policy: &Policy,
    ) -> Transition {
        match fact {
            ChildEvent::Started(readiness) => {
                Transition::Confirm(Self::started(child, now, readiness, policy))
            }
            ChildEvent::StartFailed(failure) => Transition::Fail(failure),
            // It exited before its start was confirmed: treated like a failed start.
            ChildEvent::Exited => Transition::Fail(StartFailure::Transient),
            // A child that is not a process yet sends nothing.
            ChildEvent::Ready
            | ChildEvent::Unready
            | ChildEvent::Readiness(_)
            | ChildEvent::MainEnded
            | ChildEvent::Violation => Transition::Stay,
        }
    }

    fn on_event_before_healthy(
        child: ChildId,
        since: Instant,
        fact: ChildEvent,
        now: Instant,
        policy: &Policy,
    ) -> Transition {
        match fact {
            ChildEvent::Ready => Transition::Become(Self::Serving { child, since: now }),
            // It can report its readiness, as this shows.
            ChildEvent::Unready => {
                Transition::Become(Self::started(child, since, Readiness::Notified, policy))
            }
            // The time counts from the start in both cases, so a change gives no extra time.
            ChildEvent::Readiness(readiness) => {
                Transition::Become(Self::started(child, since, readiness, policy))
            }
            ChildEvent::Violation => Self::violated(child, Health::Unhealthy, now),
            ChildEvent::MainEnded => {
                Transition::Become(Self::ending(child, Health::Unhealthy, now, policy))
            }
            ChildEvent::Exited => Transition::Die(Health::Unhealthy),
            // A start is answered once.
            ChildEvent::Started(_) | ChildEvent::StartFailed(_) => Transition::Stay,
        }
    }

    /// Returns what happens at the deadline.
    pub(super) fn on_timeout(&self, now: Instant) -> TimeoutAction {
        match *self {
            Self::Unstarted { .. } => TimeoutAction::Start,
            Self::Recovering { child, .. } => TimeoutAction::Recover(child),
            Self::Reverting { child, .. } => TimeoutAction::Revert(child),
            Self::Starting { child, .. } => TimeoutAction::Kill {
                child,
                reason: KillReason::NotReady,
                condition: Health::Unhealthy,
            },
            Self::Probation { child, .. } => {
                TimeoutAction::Become(Self::Serving { child, since: now })
            }
            Self::Ending {
                child,
                kill_at,
                condition,
                ..
            } => TimeoutAction::Outlive {
                child,
                kill_at,
                condition,
            },
            Self::MustKill {
                child, condition, ..
            } => TimeoutAction::Kill {
                child,
                reason: KillReason::Violation,
                condition,
            },
            Self::Killed {
                child, condition, ..
            } => TimeoutAction::GiveUp { child, condition },
            // These have no deadline.
            Self::Deferred { .. }
            | Self::SpawnRequested { .. }
            | Self::Serving { .. }
            | Self::Unready { .. }
            | Self::Retired => TimeoutAction::Stay,
        }
    }

    /// Returns the state after the master became ready.
    pub(super) fn release(self) -> Self {
        match self {
            Self::Deferred { child, until } => Self::Recovering { child, until },
            other => other,
        }
    }

    #[cfg(test)]
    pub(super) fn write_normal(&self, form: &mut NormalForm, policy: &Policy) {
        // The child of a slot is written by the table of children.
        match *self {
            Self::Unstarted { since } => {
                form.number(0);
                form.time(since);
            }
            // Only a message names the child.
            Self::Recovering { child: _, until } => {
                form.number(1);
                form.time(until);
            }
            Self::Deferred { child: _, until } => {
                form.number(2);
                form.time(until);
            }
            Self::SpawnRequested { child: _ } => form.number(3),
            // If the child corrects its readiness, the other deadline counts from `since`.
            Self::Starting {
                child: _,
                since,
                ready_deadline,
            } => {
                form.number(4);
                form.time(after(since, policy.healthy_after));
                form.time(ready_deadline);
            }
            Self::Probation {
                child: _,
                since,
                healthy_at,
            } => {
                form.number(5);
                form.time(after(since, policy.ready_timeout));
                form.time(healthy_at);
            }
            // No rule reads `since`.
            Self::Serving { child: _, since: _ } => form.number(6),
            Self::Ending {
                child: _,
                exit_deadline,
                kill_at,
                condition,
            } => {
                form.number(7);
                form.time(exit_deadline);
                form.time(kill_at);
                form.flag(condition == Health::Healthy);
            }
            Self::MustKill {
                child: _,
                since,
                condition,
            } => {
                form.number(8);
                form.time(since);
                form.flag(condition == Health::Healthy);
            }
            Self::Killed {
                child: _,
                give_up_at,
                condition,
            } => {
                form.number(9);
                form.time(give_up_at);
                form.flag(condition == Health::Healthy);
            }
            Self::Retired => form.number(10),
            Self::Reverting { child: _, since } => {
                form.number(11);
                form.time(since);
            }
            Self::Unready { child: _ } => form.number(12),
        }
    }

    /// Returns the child as a draining one, if the slot has a child.
    ///
    /// Used when a stop empties the slot, or when the slot is removed.
    pub(super) fn draining(
        &self,
        now: Instant,
        kill_at: Instant,
        policy: &Policy,
    ) -> Option<(ChildId, DrainState)> {
        match *self {
            Self::Unstarted { .. }
            | Self::Recovering { .. }
            | Self::Reverting { .. }
            | Self::Deferred { .. }
            | Self::Retired => None,
            Self::SpawnRequested { child } => {
                let give_up_at = after(kill_at, policy.kill_timeout);
                Some((
                    child,
                    DrainState::AwaitingStart {
                        kill_at,
                        give_up_at,
                    },
                ))
            }
            Self::Starting { child, .. }
            | Self::Probation { child, .. }
            | Self::Serving { child, .. }
            | Self::Unready { child } => Some((
                child,
                DrainState::NotYetAsked {
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
                DrainState::Draining {
                    kill_at: earlier.min(kill_at),
                },
            )),
            Self::MustKill { child, since, .. } => Some((child, DrainState::MustKill { since })),
            Self::Killed {
                child, give_up_at, ..
            } => Some((child, DrainState::Killed { give_up_at })),
        }
    }
}
