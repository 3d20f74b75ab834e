//! The supervisor: passes events and time to the states and applies their answers.
//!
//! It knows the phase of the fleet and the recovery budget. The states know the rules for one
//! child.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

#[cfg(test)]
use super::NormalForm;
use super::backoff::Jitter;
use super::budget::{Budget, BudgetResult};
use super::children::ChildLocation;
use super::draining::{DrainState, DrainTransition};
use super::event::ChildEvent;
use super::fleet::Fleet;
use super::phase::{ListenersState, Phase, RecoveryMode};
use super::policy::after;
use super::schedule::DeadlineKey;
use super::slot::{Health, SlotState, TimeoutAction, Transition};
use super::{
    Action, ChildId, Event, FleetOutcome, Policy, SlotId, Snapshot, StartFailure, Stop, StopCause,
    StopMode,
};

/// Decides what happens to a fleet of children.
///
/// The caller passes each event to [`handle`](Self::handle), and then calls
/// [`next_action`](Self::next_action) until it returns `None`. After that,
/// [`deadline`](Self::deadline) is the time of the next call if no event comes first, and
/// [`outcome`](Self::outcome) is the result once the fleet has ended.
///
/// The caller performs each action before it asks for the next one. It answers a `Start` with
/// `Started` or `StartFailed`, and an `AnnounceMasterReady` with `MasterReady` or `HookFailed`. If
/// a start is not answered, the supervisor waits for it until a stop, and gives it up at the end of
/// the stop, like a child that cannot be killed. Time never runs backwards. Events about children
/// that are unknown or have exited change nothing.
///
/// The supervisor derives decisions from its state when asked, and queues none when an event
/// arrives, so no event can come between a decision and its reason. Every decision becomes due at
/// the deadline of a state. `schedule` indexes these deadlines, so an event about one child and the
/// calls after it cost the same in a large fleet as in a small one. Only `MasterReady`, `Resize` and
/// the start of a stop touch every slot, once each.
#[derive(Clone, Debug)]
pub(crate) struct Supervisor {
    policy: Policy,
    phase: Phase,
    fleet: Fleet,
    budget: Budget,
    jitter: Jitter,
}

impl Supervisor {
    /// Creates a fleet whose first children are due at once.
    pub(crate) fn new(policy: Policy, now: Instant) -> Self {
        Self {
            phase: Phase::StartingUp {
                missing: policy.slots.get(),
            },
            fleet: Fleet::new(policy.slots.get(), now),
            budget: Budget::new(policy.recover_threshold, policy.recover_window),
            jitter: Jitter::new(policy.jitter_seed),
            policy,
        }
    }

    /// Records an event.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Started { child, readiness } => {
                self.on_child_event(child, ChildEvent::Started(readiness), now);
            }
            Event::StartFailed { child, failure } => {
                self.on_child_event(child, ChildEvent::StartFailed(failure), now);
            }
            Event::Ready { child } => self.on_child_event(child, ChildEvent::Ready, now),
            Event::Readiness { child, readiness } => {
                self.on_child_event(child, ChildEvent::Readiness(readiness), now);
            }
            Event::MainEnded { child } => self.on_child_event(child, ChildEvent::MainEnded, now),
            Event::Violation { child } => self.on_child_event(child, ChildEvent::Violation, now),
            Event::Exited { child } => self.on_child_event(child, ChildEvent::Exited, now),
            Event::Closed { child } => self.fleet.close(child),
            Event::MasterReady => self.master_ready(),
            Event::Resize { slots } => self.resize(slots, now),
            Event::HookFailed => self.stop(StopCause::HookFailed, now),
            Event::ListenerLost => self.stop(StopCause::ListenerLost, now),
            Event::StopRequested { urgency } => self.stop_requested(urgency, now),
        }
    }

    /// Returns the next action. The caller asks until there is none.
    pub(crate) fn next_action(&mut self, now: Instant) -> Option<Action> {
        while let Some(key) = self.fleet.due(now) {
            let action = match key {
                DeadlineKey::Slot(slot) => self.on_slot_timeout(slot, now),
                DeadlineKey::Child(child) => self.on_child_timeout(child, now),
            };
            if action.is_some() {
                return action;
            }
        }
        self.next_phase_action()
    }

    /// Returns when to ask again if no event comes first.
    ///
    /// `None`: only an event can change anything. Once `next_action` has returned `None`, the
    /// deadline is in the future.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.fleet.deadline()
    }

    /// Returns how the fleet ended.
    ///
    /// `Some` once no child is left to wait for and `next_action` has returned `None`.
    pub(crate) fn outcome(&self) -> Option<&FleetOutcome> {
        match &self.phase {
            Phase::Ended(outcome) => Some(outcome),
            Phase::StartingUp { .. }
            | Phase::AllStarted
            | Phase::Announcing
            | Phase::Running
            | Phase::Stopping { .. } => None,
        }
    }

    /// The slot that this child fills or has left; `None` once it has exited.
    #[cfg(test)]
    pub(crate) fn slot_of(&self, child: ChildId) -> Option<SlotId> {
        self.fleet.child(child).map(|child| child.slot)
    }

    /// The child that fills this slot, from its `Action::Start` until it leaves.
    #[cfg(test)]
    pub(crate) fn child_in(&self, slot: SlotId) -> Option<ChildId> {
        self.fleet.slot(slot).child()
    }

    /// All children from their `Action::Start` until they exit, in ascending order.
    #[cfg(test)]
    pub(crate) fn children(&self) -> Vec<ChildId> {
        self.fleet.child_ids()
    }

    /// Returns a view of the state, so that the caller need not repeat it.
    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot::new(&self.phase, &self.fleet)
    }

    /// Whether the master is ready and the child of each slot is healthy at this moment.
    pub(crate) fn is_healthy(&self) -> bool {
        self.phase == Phase::Running && self.fleet.is_healthy()
    }

    /// Whether a stop has begun. From then on no child is started.
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.stop().is_some()
    }

    // Events.

    fn on_child_event(&mut self, child: ChildId, fact: ChildEvent, now: Instant) {
        let Some(record) = self.fleet.child(child) else {
            return;
        };
        match record.location {
            ChildLocation::Slot => self.on_slot_event(record.slot, child, fact, now),
            ChildLocation::DrainingChild(state) => self.on_draining_event(child, state, fact, now),
            // No rollout starts one yet.
            ChildLocation::Successor => {}
        }
    }

    fn on_slot_event(&mut self, slot: SlotId, child: ChildId, fact: ChildEvent, now: Instant) {
        match self.fleet.slot(slot).on_event(fact, now, &self.policy) {
            Transition::Stay => {}
            Transition::Become(state) => self.enter(slot, state),
            Transition::Confirm(state) => {
                self.enter(slot, state);
                self.phase.note_started();
            }
            Transition::Fail(failure) => {
                self.fleet.remove(child);
                self.start_failed(slot, child, failure, now);
            }
            Transition::Die(condition) => {
                self.fleet.remove(child);
                self.await_recovery(slot, child, condition, now);
            }
        }
    }

    /// The slot changes its state and keeps its child.
    fn enter(&mut self, slot: SlotId, state: SlotState) {
        if state.is_serving() {
            self.budget.begin_to_forget();
        }
        self.fleet.set_slot(slot, state);
    }

    fn on_draining_event(
        &mut self,
        child: ChildId,
        state: DrainState,
        fact: ChildEvent,
        now: Instant,
    ) {
        match state.on_event(fact, now) {
            DrainTransition::Stay => {}
            DrainTransition::Become(state) => self.fleet.set_draining(child, state),
            DrainTransition::Gone => self.fleet.remove(child),
        }
    }

    fn start_failed(&mut self, slot: SlotId, child: ChildId, failure: StartFailure, now: Instant) {
        let may_retry = match failure {
            StartFailure::Transient => self.phase.recovery() == RecoveryMode::Allowed,
            StartFailure::Permanent => {
                self.phase.recovery() == RecoveryMode::Allowed && self.budget.forgets()
            }
            StartFailure::Refused => false,
        };
        if may_retry {
            self.await_recovery(slot, child, Health::Unhealthy, now);
        } else {
            self.fleet.set_slot(slot, SlotState::Retired);
            let cause = StopCause::StartFailed {
                slot,
                child,
                failure,
            };
            self.stop(cause, now);
        }
    }

    /// A child has left its slot unexpectedly.
    fn await_recovery(&mut self, slot: SlotId, child: ChildId, condition: Health, now: Instant) {
        let until = after(now, self.recovery_delay(slot, condition));
        let state = match self.phase.recovery() {
            RecoveryMode::Later => SlotState::Deferred { child, until },
            RecoveryMode::Allowed => SlotState::Recovering { child, until },
            RecoveryMode::Over => SlotState::Retired,
        };
        self.fleet.set_slot(slot, state);
    }

    /// The replacement of `child` is due.
    ///
    /// The exit is counted only now, one exit at a time: if several children exited together, as
    /// many are replaced as the budget allows.
    fn recover(&mut self, slot: SlotId, child: ChildId, now: Instant) -> Option<Action> {
        match self.budget.record_exit(now) {
            BudgetResult::Allowed => Some(self.start(slot)),
            BudgetResult::Exceeded { exits } => {
                let cause = StopCause::OverRecovery {
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
        let child = self.fleet.request_start(slot);
        Action::Start { slot, child }
    }

    fn recovery_delay(&mut self, slot: SlotId, condition: Health) -> Duration {
        let failures = self.fleet.count_failure(slot, condition);
        let backoff = self.policy.backoff.delay(failures, &mut self.jitter);
        backoff.saturating_add(self.policy.recover_interval)
    }

    fn master_ready(&mut self) {
        match self.phase {
            Phase::Announcing => {
                self.phase = Phase::Running;
                for slot in self.fleet.slot_ids() {
                    self.fleet.set_slot(slot, self.fleet.slot(slot).release());
                }
            }
            // `AnnounceMasterReady` is not pending, or the stop has begun.
            Phase::StartingUp { .. }
            | Phase::AllStarted
            | Phase::Running
            | Phase::Stopping { .. }
            | Phase::Ended(_) => {}
        }
    }

    /// Adds or removes slots. During a stop the number of slots no longer matters.
    fn resize(&mut self, slots: NonZeroUsize, now: Instant) {
        if self.is_stopping() {
            return;
        }
        let removed = self.fleet.slot_ids().skip(slots.get());
        self.end_draining(now, |slot, fleet| {
            slot.0 >= slots.get() && fleet.slot(slot).child().is_some()
        });
        for slot in removed.rev() {
            self.retire(slot, now);
        }
        self.fleet.resize(slots.get(), now);
        let states = self.fleet.slot_ids().map(|slot| self.fleet.slot(slot));
        let missing = states.filter(|state| !state.was_started()).count();
        self.phase.resize(missing);
    }

    /// Removes the rest of the grace period of the draining children of these slots, because the
    /// next ones begin to drain: at most one child of a slot drains.
    fn end_draining(&mut self, now: Instant, of: impl Fn(SlotId, &Fleet) -> bool) {
        for (child, slot) in self.fleet.draining() {
            if of(slot, &self.fleet) {
                self.cut_grace_of(child, now);
            }
        }
    }

    fn stop_requested(&mut self, urgency: StopMode, now: Instant) {
        self.stop(StopCause::Requested, now);
        match (urgency, &mut self.phase) {
            (StopMode::Immediate, Phase::Stopping { stop, .. }) => {
                stop.mode = StopMode::Immediate;
                for child in self.fleet.child_ids() {
                    self.cut_grace_of(child, now);
                }
            }
            (StopMode::Graceful | StopMode::Immediate, _) => {}
        }
    }

    /// Begins a stop. A stop that has begun keeps its cause and its deadline.
    fn stop(&mut self, cause: StopCause, now: Instant) {
        match self.phase {
            Phase::Stopping { .. } | Phase::Ended(_) => return,
            Phase::StartingUp { .. } | Phase::AllStarted | Phase::Announcing | Phase::Running => {}
        }
        let stop = Stop {
            cause,
            began: now,
            mode: StopMode::Graceful,
        };
        let listeners = ListenersState::Open;
        self.phase = Phase::Stopping { stop, listeners };
        for slot in self.fleet.slot_ids() {
            self.retire(slot, now);
        }
    }

    /// Empties a slot for good. Its child drains.
    fn retire(&mut self, slot: SlotId, now: Instant) {
        let kill_at = after(now, self.policy.shutdown_grace_period);
        let draining = self.fleet.slot(slot).draining(now, kill_at, &self.policy);
        self.fleet.set_slot(slot, SlotState::Retired);
        if let Some((child, state)) = draining {
            self.fleet.set_draining(child, state);
        }
    }

    fn cut_grace_of(&mut self, child: ChildId, now: Instant) {
        match self.fleet.child(child).map(|child| child.location) {
            Some(ChildLocation::DrainingChild(state)) => {
                let without_grace = state.without_grace(now, self.policy.kill_timeout);
                self.fleet.set_draining(child, without_grace);
            }
            Some(ChildLocation::Slot | ChildLocation::Successor) | None => {}
        }
    }

    // Time.

    fn on_slot_timeout(&mut self, slot: SlotId, now: Instant) -> Option<Action> {
        match self.fleet.slot(slot).on_timeout(now) {
            TimeoutAction::Stay => None,
            TimeoutAction::Become(state) => {
                self.enter(slot, state);
                None
            }
            TimeoutAction::Start => Some(self.start(slot)),
            TimeoutAction::Recover(child) => self.recover(slot, child, now),
            TimeoutAction::Kill {
                child,
                reason,
                condition,
            } => {
                let killed = SlotState::killed(child, condition, now, &self.policy);
                self.fleet.set_slot(slot, killed);
                Some(Action::Kill { child, reason })
            }
            TimeoutAction::GiveUp { child, condition } => {
                self.fleet.set_draining(child, DrainState::Unkillable);
                self.await_recovery(slot, child, condition, now);
                Some(Action::GiveUp { child })
            }
            TimeoutAction::Outlive {
                child,
                kill_at,
                condition,
            } => {
                self.end_draining(now, |other, _| other == slot);
                self.fleet
                    .set_draining(child, DrainState::Draining { kill_at });
                self.await_recovery(slot, child, condition, now);
                Some(Action::ReportRunning { child, kill_at })
            }
        }
    }

    fn on_child_timeout(&mut self, child: ChildId, now: Instant) -> Option<Action> {
        let ChildLocation::DrainingChild(state) = self.fleet.child(child)?.location else {
            return None;
        };
        let (action, state) = state.on_timeout(child, now, self.policy.kill_timeout);
        self.fleet.set_draining(child, state);
        action
    }

    fn next_phase_action(&mut self) -> Option<Action> {
        match self.phase {
            Phase::AllStarted => {
                self.phase = Phase::Announcing;
                Some(Action::AnnounceMasterReady)
            }
            Phase::Stopping {
                ref mut listeners, ..
            } if *listeners == ListenersState::Open && !self.fleet.has_accepting() => {
                *listeners = ListenersState::Closed;
                Some(Action::CloseListeners)
            }
            Phase::Stopping { stop, .. } if !self.fleet.has_awaited() => {
                let unkillable = self.fleet.child_ids();
                self.phase = Phase::Ended(FleetOutcome { stop, unkillable });
                None
            }
            Phase::StartingUp { .. }
            | Phase::Announcing
            | Phase::Running
            | Phase::Stopping { .. }
            | Phase::Ended(_) => None,
        }
    }

    // What only tests ask.

    #[cfg(test)]
    pub(crate) fn write_normal(&self, form: &mut NormalForm) {
        let Self {
            // It does not change.
            policy,
            phase,
            fleet,
            budget,
            // The exploration uses no delays with jitter.
            jitter: _,
        } = self;
        phase.write_normal(form);
        fleet.write_normal(form, policy);
        budget.write_normal(form);
    }

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
