//! The supervisor: applies what the states answer to the fleet, and keeps the index true.

use std::time::{Duration, Instant};

use super::backoff::Jitter;
use super::budget::{Budget, Verdict};
use super::event::Fact;
use super::fleet::Fleet;
use super::leaver::{LeaverState, LeaverStep};
use super::phase::{Listeners, Phase, Recovery};
use super::policy::after;
use super::roster::Place;
use super::schedule::Key;
use super::slot::{Condition, SlotState, Step, Turn};
use super::{Action, Cause, ChildId, Event, Outcome, Policy, SlotId, StartFailure, Urgency};

/// Decides what happens to a fleet of children: told facts by [`handle`](Self::handle), it is asked for decisions by
/// [`next_action`](Self::next_action) until there is none, then [`deadline`](Self::deadline) says when to ask again if
/// no fact comes first, and [`outcome`](Self::outcome) says how it ended. Each action is to be performed before the
/// next question. A `Start` is answered before the next question by `Started` or `StartFailed`, an
/// `AnnounceMasterReady` by `MasterReady` or `HookFailed`; a start that stays unanswered is waited for until the
/// stop, which gives it up in the end as it does a child that cannot be killed. Time never runs backwards; facts
/// about children that are unknown or gone do nothing.
///
/// Decisions are derived from the state when asked, never queued when a fact arrives, so that no fact can come
/// between a decision and its reason. Everything derived comes due at a deadline that a state implies, and `schedule`
/// indexes these deadlines: a fact about one child and the questions after it cost the same in a large fleet as in a
/// small one. The master's readiness and the beginning of a stop touch every slot, once.
#[derive(Debug)]
pub(crate) struct Supervisor {
    policy: Policy,
    phase: Phase,
    fleet: Fleet,
    budget: Budget,
    jitter: Jitter,
}

impl Supervisor {
    /// A fleet whose first children are due at once.
    pub(crate) fn new(policy: Policy, now: Instant) -> Self {
        Self {
            phase: Phase::Opening {
                missing: policy.slots.get(),
            },
            fleet: Fleet::new(policy.slots.get(), now),
            budget: Budget::new(policy.recover_threshold, policy.recover_window),
            jitter: Jitter::new(policy.jitter_seed),
            policy,
        }
    }

    /// Takes note of a fact.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Started { child, readiness } => self.told(child, Fact::Started(readiness), now),
            Event::StartFailed { child, failure } => {
                self.told(child, Fact::StartFailed(failure), now);
            }
            Event::Ready { child } => self.told(child, Fact::Ready, now),
            Event::Readiness { child, readiness } => {
                self.told(child, Fact::Readiness(readiness), now);
            }
            Event::MainEnded { child } => self.told(child, Fact::MainEnded, now),
            Event::Violation { child } => self.told(child, Fact::Violation, now),
            Event::Exited { child } => self.told(child, Fact::Exited, now),
            Event::Closed { child } => self.fleet.close(child),
            Event::MasterReady => self.master_ready(),
            Event::HookFailed => self.stop(Cause::HookFailed, now),
            Event::ListenerLost => self.stop(Cause::ListenerLost, now),
            Event::StopRequested { urgency } => self.stop_requested(urgency, now),
        }
    }

    /// The next thing to do; to be asked until there is none.
    pub(crate) fn next_action(&mut self, now: Instant) -> Option<Action> {
        while let Some(key) = self.fleet.due(now) {
            let action = match key {
                Key::Slot(slot) => self.slot_is_due(slot, now),
                Key::Leaver(child) => self.leaver_is_due(child, now),
            };
            if action.is_some() {
                return action;
            }
        }
        self.phase_is_due()
    }

    /// When to ask again, if no fact comes first; `None`: only a fact can change anything. Lies in the future once
    /// `next_action` had nothing to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.fleet.deadline()
    }

    /// How it ended; there once `next_action` had nothing to do and nobody is left.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Ended(outcome) => Some(outcome),
            Phase::Opening { .. }
            | Phase::Opened
            | Phase::Announcing
            | Phase::Running
            | Phase::Stopping { .. } => None,
        }
    }

    /// The slot that this child fills or filled; `None` once it is gone.
    #[cfg(test)]
    pub(crate) fn slot_of(&self, child: ChildId) -> Option<SlotId> {
        self.fleet.child(child).map(|child| child.slot)
    }

    /// The child that fills this slot, from the order to start it until it is gone or was asked to go.
    #[cfg(test)]
    pub(crate) fn child_in(&self, slot: SlotId) -> Option<ChildId> {
        self.fleet.slot(slot).child()
    }

    /// All children from the order to start them until they are gone, in ascending order.
    #[cfg(test)]
    pub(crate) fn children(&self) -> Vec<ChildId> {
        self.fleet.child_ids()
    }

    /// Whether a stop has begun, so that nothing is started any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.recovery() == Recovery::Over
    }

    // Facts.

    fn told(&mut self, child: ChildId, fact: Fact, now: Instant) {
        let Some(record) = self.fleet.child(child) else {
            return;
        };
        match record.place {
            Place::Slot => self.slot_told(record.slot, child, fact, now),
            Place::Leaver(state) => self.leaver_told(child, state, fact, now),
        }
    }

    fn slot_told(&mut self, slot: SlotId, child: ChildId, fact: Fact, now: Instant) {
        match self.fleet.slot(slot).told(fact, now, &self.policy) {
            Step::Stay => {}
            Step::Become(state) => self.enter(slot, state),
            Step::Confirm(state) => {
                self.enter(slot, state);
                self.phase.confirm_start();
            }
            Step::Fail(failure) => {
                self.fleet.remove(child);
                self.start_failed(slot, child, failure, now);
            }
            Step::Die(condition) => {
                self.fleet.remove(child);
                self.await_recovery(slot, child, condition, now);
            }
        }
    }

    /// A slot changes its state while its child stays.
    fn enter(&mut self, slot: SlotId, state: SlotState) {
        if matches!(state, SlotState::Serving { .. }) {
            self.budget.begin_to_forget();
        }
        self.fleet.set_slot(slot, state);
    }

    fn leaver_told(&mut self, child: ChildId, state: LeaverState, fact: Fact, now: Instant) {
        match state.told(fact, now) {
            LeaverStep::Stay => {}
            LeaverStep::Become(state) => self.fleet.set_leaver(child, state),
            LeaverStep::Gone => self.fleet.remove(child),
        }
    }

    fn start_failed(&mut self, slot: SlotId, child: ChildId, failure: StartFailure, now: Instant) {
        let may_heal = match failure {
            StartFailure::Passing => self.phase.recovery() == Recovery::Allowed,
            StartFailure::Permanent => {
                self.phase.recovery() == Recovery::Allowed && self.budget.forgets()
            }
            StartFailure::Refused => false,
        };
        if may_heal {
            self.await_recovery(slot, child, Condition::Unwell, now);
        } else {
            self.fleet.set_slot(slot, SlotState::Retired);
            let cause = Cause::StartFailed {
                slot,
                child,
                failure,
            };
            self.stop(cause, now);
        }
    }

    /// A child has left its slot unexpectedly.
    fn await_recovery(&mut self, slot: SlotId, child: ChildId, condition: Condition, now: Instant) {
        let until = after(now, self.recovery_delay(slot, condition));
        let state = match self.phase.recovery() {
            Recovery::Later => SlotState::Held { child, until },
            Recovery::Allowed => SlotState::Recovering { child, until },
            Recovery::Over => SlotState::Retired,
        };
        self.fleet.set_slot(slot, state);
    }

    /// The replacement of `child` is due. Its exit is counted only now, one exit at a time, so that children that
    /// died together are recovered one after the other as far as the budget reaches.
    fn recover(&mut self, slot: SlotId, child: ChildId, now: Instant) -> Option<Action> {
        match self.budget.spend(now) {
            Verdict::Forgiven => Some(self.start(slot)),
            Verdict::Over { exits } => {
                let cause = Cause::OverRecovery {
                    exits,
                    threshold: self.policy.recover_threshold,
                    window: self.policy.recover_window,
                    was_healthy: self.budget.forgets(),
                    slot,
                    child,
                };
                self.stop(cause, now);
                None
            }
        }
    }

    fn start(&mut self, slot: SlotId) -> Action {
        let child = self.fleet.enrol(slot);
        Action::Start { slot, child }
    }

    fn recovery_delay(&mut self, slot: SlotId, condition: Condition) -> Duration {
        let failures = self.fleet.count_failure(slot, condition);
        let backoff = self.policy.backoff.delay(failures, &mut self.jitter);
        backoff.saturating_add(self.policy.recover_interval)
    }

    fn master_ready(&mut self) {
        match self.phase {
            Phase::Announcing => {
                self.phase = Phase::Running;
                for slot in self.fleet.slot_ids() {
                    self.fleet.set_slot(slot, self.fleet.slot(slot).released());
                }
            }
            // Nobody asked, or it no longer matters.
            Phase::Opening { .. }
            | Phase::Opened
            | Phase::Running
            | Phase::Stopping { .. }
            | Phase::Ended(_) => {}
        }
    }

    fn stop_requested(&mut self, urgency: Urgency, now: Instant) {
        self.stop(Cause::Requested, now);
        match urgency {
            Urgency::Graceful => {}
            Urgency::Immediate => self.hurry(now),
        }
    }

    /// Begins the stop; one that has begun keeps its cause and its deadline.
    fn stop(&mut self, cause: Cause, now: Instant) {
        match self.phase {
            Phase::Stopping { .. } | Phase::Ended(_) => return,
            Phase::Opening { .. } | Phase::Opened | Phase::Announcing | Phase::Running => {}
        }
        let listeners = Listeners::Open;
        self.phase = Phase::Stopping { cause, listeners };
        let kill_at = after(now, self.policy.shutdown_grace_period);
        for slot in self.fleet.slot_ids() {
            let leaver = self.fleet.slot(slot).leaver(now, kill_at, &self.policy);
            self.fleet.set_slot(slot, SlotState::Retired);
            if let Some((child, state)) = leaver {
                self.fleet.set_leaver(child, state);
            }
        }
    }

    fn hurry(&mut self, now: Instant) {
        for child in self.fleet.child_ids() {
            self.hurry_child(child, now);
        }
    }

    fn hurry_child(&mut self, child: ChildId, now: Instant) {
        match self.fleet.child(child).map(|child| child.place) {
            Some(Place::Leaver(state)) => {
                let hurried = state.hurried(now, self.policy.kill_patience);
                self.fleet.set_leaver(child, hurried);
            }
            Some(Place::Slot) | None => {}
        }
    }

    // Time.

    fn slot_is_due(&mut self, slot: SlotId, now: Instant) -> Option<Action> {
        match self.fleet.slot(slot).due(now) {
            Turn::Stay => None,
            Turn::Become(state) => {
                self.enter(slot, state);
                None
            }
            Turn::Start => Some(self.start(slot)),
            Turn::Recover(child) => self.recover(slot, child, now),
            Turn::Kill {
                child,
                reason,
                condition,
            } => {
                let killed = SlotState::killed(child, condition, now, &self.policy);
                self.fleet.set_slot(slot, killed);
                Some(Action::Kill { child, reason })
            }
            Turn::GiveUp { child, condition } => {
                self.fleet.set_leaver(child, LeaverState::Lost);
                self.await_recovery(slot, child, condition, now);
                Some(Action::GiveUp { child })
            }
            Turn::Outlive {
                child,
                kill_at,
                condition,
            } => {
                // At most one child of a slot drains.
                for older in self.fleet.leavers_of(slot) {
                    self.hurry_child(older, now);
                }
                self.fleet
                    .set_leaver(child, LeaverState::Stopping { kill_at });
                self.await_recovery(slot, child, condition, now);
                Some(Action::ReportRunning { child, kill_at })
            }
        }
    }

    fn leaver_is_due(&mut self, child: ChildId, now: Instant) -> Option<Action> {
        let Place::Leaver(state) = self.fleet.child(child)?.place else {
            return None;
        };
        let (action, state) = state.due(child, now, self.policy.kill_patience);
        self.fleet.set_leaver(child, state);
        action
    }

    fn phase_is_due(&mut self) -> Option<Action> {
        match self.phase {
            Phase::Opened => {
                self.phase = Phase::Announcing;
                Some(Action::AnnounceMasterReady)
            }
            Phase::Stopping {
                ref mut listeners, ..
            } if *listeners == Listeners::Open && !self.fleet.has_accepting() => {
                *listeners = Listeners::Closed;
                Some(Action::CloseListeners)
            }
            Phase::Stopping { cause, .. } if !self.fleet.has_awaited() => {
                let unkillable = self.fleet.child_ids();
                self.phase = Phase::Ended(Outcome { cause, unkillable });
                None
            }
            Phase::Opening { .. }
            | Phase::Announcing
            | Phase::Running
            | Phase::Stopping { .. }
            | Phase::Ended(_) => None,
        }
    }

    // What only tests ask.

    #[cfg(test)]
    pub(super) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    #[cfg(test)]
    pub(super) fn exits_counted(&self) -> u64 {
        self.budget.spent()
    }

    #[cfg(test)]
    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }
}
