//! The supervisor: passes events and time to the states and applies their answers.
//!
//! It knows the phase of the fleet and the recovery budget. The states know the rules for one
//! child.

use std::num::NonZeroUsize;
use std::time::Instant;

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
use super::ring::Ring;
use super::rollout::{Progress, RolloutStage, Rollouts};
use super::schedule::DeadlineKey;
use super::slot::{Health, SlotState, TimeoutAction, Transition};
use super::successor::{Successor, SuccessorTimeout};
use super::{
    Action, ChildId, Event, FleetOutcome, Gate, Policy, ProgramId, Refusal, RefusalStage, SlotId,
    Snapshot, StartFailure, Stop, StopCause, StopMode, Verdict,
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
/// a start is not answered, the supervisor waits for it until a stop or until its slot is removed,
/// and then gives it up after a while, like a child that cannot be killed. Time never runs backwards.
/// Events about children that are unknown or have exited change nothing.
///
/// The supervisor derives decisions from its state when asked, and queues none when an event
/// arrives, so no event can come between a decision and its reason. Every decision becomes due at
/// the deadline of a state. `schedule` indexes these deadlines, so an event about one child and the
/// calls after it cost the same in a large fleet as in a small one. Only `MasterReady`, `Resize`, the
/// start of a stop, of a rollout or of a roll-back, and the completion of the ring touch every slot,
/// once each. A child that outlives its `main` also touches
/// every draining child, of which there are few without a stop.
#[derive(Clone, Debug)]
pub(crate) struct Supervisor {
    policy: Policy,
    phase: Phase,
    fleet: Fleet,
    rollouts: Rollouts,
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
            fleet: Fleet::new(policy.slots.get(), Ring::new(policy.ring_width), now),
            rollouts: Rollouts::new(ProgramId::OWN),
            budget: Budget::new(policy.recover_threshold, policy.recover_window),
            jitter: Jitter::new(policy.jitter_seed),
            policy,
        }
    }

    /// Records an event.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) {
        let (child, fact) = match event {
            Event::Started { child, readiness } => (child, ChildEvent::Started(readiness)),
            Event::StartFailed { child, failure } => (child, ChildEvent::StartFailed(failure)),
            Event::Ready { child } => (child, ChildEvent::Ready),
            Event::Unready { child } => (child, ChildEvent::Unready),
            Event::Readiness { child, readiness } => (child, ChildEvent::Readiness(readiness)),
            Event::MainEnded { child } => (child, ChildEvent::MainEnded),
            Event::Violation { child } => (child, ChildEvent::Violation),
            Event::Exited { child } => (child, ChildEvent::Exited),
            Event::Closed { child } => return self.fleet.close(child),
            Event::AdoptionOffered { child } => {
                return self.update_ring(child, |ring| ring.set_can_adopt(child, true));
            }
            Event::AdoptionFailed { child } => {
                return self.update_ring(child, |ring| ring.set_can_adopt(child, false));
            }
            Event::Suspended { child } => {
                return self.update_ring(child, |ring| ring.set_suspended(child, true));
            }
            Event::Resumed { child } => {
                return self.update_ring(child, |ring| ring.set_suspended(child, false));
            }
            Event::MasterReady => return self.master_ready(),
            Event::Resize { slots } => return self.resize(slots, now),
            Event::RolloutRequested => return self.rollout_requested(),
            Event::ProgramOpened { program } => return self.program_opened(program, now),
            Event::ProgramFailed => return self.program_failed(),
            Event::HookFailed => return self.stop(StopCause::HookFailed, now),
            Event::ListenerLost => return self.stop(StopCause::ListenerLost, now),
            Event::StopRequested { urgency } => return self.stop_requested(urgency, now),
        };
        // Others are unknown or have exited.
        let Some(record) = self.fleet.child(child) else {
            return;
        };
        match record.location {
            ChildLocation::Slot => self.on_slot_event(record.slot, child, fact, now),
            ChildLocation::DrainingChild(state) => self.on_draining_event(child, state, fact, now),
            ChildLocation::Successor(successor) => {
                self.on_successor_event(record.slot, child, successor, fact, now);
            }
        }
    }

    /// Returns the next action. The caller asks until there is none.
    pub(crate) fn next_action(&mut self, now: Instant) -> Option<Action> {
        if self
            .rollouts
            .deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.rollout_timed_out(now);
        }
        if self.is_delay_over(now) {
            self.end_delay(now);
        }
        // Clients may wait in these sockets, and a start takes time.
        if let Some(action) = self.fleet.ring.next_action() {
            return Some(action);
        }
        while let Some(key) = self.next_due(now) {
            let action = match key {
                DeadlineKey::Slot(slot) => self.on_slot_timeout(slot, now),
                DeadlineKey::Child(child) => self.on_child_timeout(child, now),
            };
            if action.is_some() {
                return action;
            }
        }
        if self.is_delay_over(now) {
            // A child whose start was not answered was the last one that could accept.
            return self.next_action(now);
        }
        // A timeout can have changed it.
        if let Some(action) = self.fleet.ring.next_action() {
            return Some(action);
        }
        self.next_rollout_action(now)
            .or_else(|| self.next_phase_action())
    }

    fn next_due(&mut self, now: Instant) -> Option<DeadlineKey> {
        if self.is_healthy() {
            // Not before: standbys must not delay the start of the fleet.
            self.fleet.add_standbys(self.policy.standbys, now);
            self.fleet.ring.complete();
        }
        self.fleet.due(now)
    }

    /// Returns when to ask again if no event comes first.
    ///
    /// `None`: only an event can change anything. Once `next_action` has returned `None`, the
    /// deadline is in the future.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let delay = self.snapshot().delayed_until();
        let all = [delay, self.fleet.deadline(), self.rollouts.deadline()];
        all.into_iter().flatten().min()
    }

    /// Returns how the fleet ended.
    ///
    /// `Some` once no child is left to wait for and `next_action` has returned `None`.
    pub(crate) fn outcome(&self) -> Option<&FleetOutcome> {
        let Phase::Ended(outcome) = &self.phase else {
            return None;
        };
        Some(outcome)
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
        Snapshot {
            phase: &self.phase,
            fleet: &self.fleet,
        }
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

    fn on_slot_event(&mut self, slot: SlotId, child: ChildId, fact: ChildEvent, now: Instant) {
        match self.fleet.slot(slot).on_event(fact, now, &self.policy) {
            Transition::Stay => {}
            Transition::Become(state) => {
                self.enter(slot, state);
                if !state.may_serve() {
                    self.program_failed_in(slot, child, now);
                }
            }
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

    /// Others are unknown or have exited.
    fn update_ring(&mut self, child: ChildId, update: impl FnOnce(&mut Ring)) {
        if self.fleet.child(child).is_some() {
            update(&mut self.fleet.ring);
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
        } else if slot.is_standby() && failure == StartFailure::Refused {
            // The fleet serves without it.
            self.fleet.set_slot(slot, SlotState::Retired);
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
        // A fleet whose children fail from the start may never be complete.
        self.fleet.ring.complete();
        if self.fleet.program(slot) != Some(self.rollouts.accepted) {
            return self.revert(slot, child, now);
        }
        // A standby has not served yet: its exit is that of a start that failed.
        let condition = if slot.is_standby() {
            Health::Unhealthy
        } else {
            condition
        };
        let failures = self.fleet.count_failure(slot, condition);
        let backoff = self.policy.backoff.delay(failures, &mut self.jitter);
        let until = after(now, backoff.saturating_add(self.policy.recover_interval));
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
            BudgetResult::Allowed => Some(self.fill(slot, child, now)),
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

    /// Replaces the child that has left this slot: by a standby, if one is ready.
    fn fill(&mut self, slot: SlotId, previous: ChildId, now: Instant) -> Action {
        let standby = self.fleet.ready_standby().filter(|_| !slot.is_standby());
        let promoted = standby.and_then(|standby| {
            let child = self.fleet.slot(standby).child()?;
            Some((standby, child))
        });
        let Some((standby, child)) = promoted else {
            return self.start(slot, Some(previous));
        };
        self.fleet.promote(standby, slot);
        // The promotion had no delay. So the delay comes before the next start.
        let pause = self.policy.recover_interval.max(self.policy.standby_pause);
        let since = after(now, pause);
        self.fleet.set_slot(standby, SlotState::Unstarted { since });
        Action::Promote {
            slot,
            child,
            previous,
        }
    }

    fn start(&mut self, slot: SlotId, previous: Option<ChildId>) -> Action {
        let program = self.rollouts.accepted;
        let child = self.fleet.request_start(slot, program);
        Action::Start {
            slot,
            child,
            program,
            previous,
            gate: if slot.is_standby() {
                Gate::Closed
            } else {
                Gate::Open
            },
        }
    }

    fn master_ready(&mut self) {
        // Otherwise `AnnounceMasterReady` is not pending, or the stop has begun.
        if self.phase == Phase::Announcing {
            self.phase = Phase::Running;
            for slot in self.fleet.slot_ids() {
                self.fleet.set_slot(slot, self.fleet.slot(slot).release());
            }
        }
    }

    /// Adds or removes slots. During a stop the number of slots no longer matters.
    fn resize(&mut self, slots: NonZeroUsize, now: Instant) {
        if self.is_stopping() {
            return;
        }
        let removed = self.fleet.slot_ids().skip(slots.get());
        let is_removed = |slot: SlotId| slot.0 >= slots.get() && !slot.is_standby();
        // The next ones begin to drain: at most one child of a slot drains.
        self.end_draining(now, |slot, fleet| {
            is_removed(slot) && fleet.slot(slot).child().is_some()
        });
        self.remove_successors(now, is_removed);
        for slot in removed {
            self.retire(slot, now);
        }
        self.rollouts
            .resize(self.fleet.slot_ids().len(), slots.get());
        self.fleet.resize(slots.get(), now);
        let states = self.fleet.slot_ids().map(|slot| self.fleet.slot(slot));
        let missing = states.filter(|state| !state.was_started()).count();
        self.phase.resize(missing);
    }

    /// Removes the rest of the grace period of the draining children of these slots.
    fn end_draining(&mut self, now: Instant, is_of: impl Fn(SlotId, &Fleet) -> bool) {
        for (child, slot, state) in self.fleet.draining() {
            if is_of(slot, &self.fleet) {
                let without_grace = state.without_grace(now, self.policy.kill_timeout);
                self.fleet.set_draining(child, without_grace);
            }
        }
    }

    fn stop_requested(&mut self, urgency: StopMode, now: Instant) {
        let may_wait = !self.policy.drain_delay.is_zero() && self.phase == Phase::Running;
        if may_wait && urgency == StopMode::Graceful {
            return self.delay_stop(now);
        }
        self.stop(StopCause::Requested, now);
        if urgency == StopMode::Immediate {
            self.end_delay(now);
        }
        if let (StopMode::Immediate, Phase::Stopping { stop, .. }) = (urgency, &mut self.phase) {
            stop.mode = StopMode::Immediate;
            self.end_draining(now, |_, _| true);
        }
    }

    /// Begins a stop, and lets the children of the slots serve on for `drain_delay`.
    fn delay_stop(&mut self, now: Instant) {
        let stop = Stop {
            cause: StopCause::Requested,
            began: now,
            mode: StopMode::Graceful,
        };
        let until = after(now, self.policy.drain_delay);
        self.phase = Phase::Delaying { stop, until };
        self.end_rollouts(now);
        for slot in self.fleet.slot_ids() {
            // Nothing is started any more.
            if self.fleet.slot(slot).child().is_none() {
                self.fleet.set_slot(slot, SlotState::Retired);
            }
        }
    }

    /// Whether a stop was delayed, and its time is over or no child accepts any more.
    fn is_delay_over(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Delaying { until, .. }
            if until <= now || !self.fleet.has_accepting())
    }

    /// The children drain now, if the stop was delayed.
    fn end_delay(&mut self, now: Instant) {
        if let Phase::Delaying { stop, .. } = self.phase {
            self.drain_all(stop, now);
        }
    }

    fn end_rollouts(&mut self, now: Instant) {
        self.rollouts.stop();
        for (_, _, successor) in self.fleet.successors() {
            self.drain(successor.state, now);
        }
        for standby in self.fleet.standby_ids() {
            self.retire(standby, now);
        }
    }

    /// Begins a stop. A stop that has begun keeps its cause and its deadline.
    fn stop(&mut self, cause: StopCause, now: Instant) {
        if self.is_stopping() {
            return;
        }
        let stop = Stop {
            cause,
            began: now,
            mode: StopMode::Graceful,
        };
        self.end_rollouts(now);
        self.drain_all(stop, now);
    }

    fn drain_all(&mut self, stop: Stop, now: Instant) {
        let listeners = ListenersState::Open;
        self.phase = Phase::Stopping { stop, listeners };
        self.fleet.ring.end();
        for slot in self.fleet.slot_ids() {
            self.retire(slot, now);
        }
    }

    /// Empties a slot for good. Its child drains.
    fn retire(&mut self, slot: SlotId, now: Instant) {
        self.drain(self.fleet.slot(slot), now);
        self.fleet.set_slot(slot, SlotState::Retired);
    }

    /// The child of this state drains, if there is one.
    fn drain(&mut self, state: SlotState, now: Instant) {
        let kill_at = after(now, self.policy.shutdown_grace_period);
        if let Some((child, state)) = state.draining(now, kill_at, &self.policy) {
            self.fleet.set_draining(child, state);
        }
    }

    // Time.

    fn on_slot_timeout(&mut self, slot: SlotId, now: Instant) -> Option<Action> {
        match self.fleet.slot(slot).on_timeout(now) {
            TimeoutAction::Stay => None,
            TimeoutAction::Become(state) => {
                self.enter(slot, state);
                state.child().map(|child| Action::ReportHealthy { child })
            }
            TimeoutAction::Start => Some(self.start(slot, None)),
            TimeoutAction::Recover(child) => self.recover(slot, child, now),
            TimeoutAction::Revert(child) => Some(self.fill(slot, child, now)),
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
                // At most one child of a slot drains.
                self.end_draining(now, |other, _| other == slot);
                self.fleet
                    .set_draining(child, DrainState::Draining { kill_at });
                self.await_recovery(slot, child, condition, now);
                Some(Action::ReportRunning { child, kill_at })
            }
        }
    }

    fn on_child_timeout(&mut self, child: ChildId, now: Instant) -> Option<Action> {
        let record = self.fleet.child(child)?;
        match record.location {
            ChildLocation::DrainingChild(state) => {
                let (action, state) = state.on_timeout(child, now, self.policy.kill_timeout);
                self.fleet.set_draining(child, state);
                action
            }
            ChildLocation::Successor(successor) => {
                self.on_successor_timeout(record.slot, child, successor, now)
            }
            ChildLocation::Slot => None,
        }
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
            | Phase::Delaying { .. }
            | Phase::Stopping { .. }
            | Phase::Ended(_) => None,
        }
    }

    // Rollouts.

    fn rollout_requested(&mut self) {
        if !self.is_stopping() {
            self.rollouts.is_requested = true;
        }
    }

    fn program_opened(&mut self, program: ProgramId, now: Instant) {
        if self.rollouts.is_opening() {
            let deadline = after(now, self.policy.rollout.timeout);
            let progress = Progress::new(program, deadline);
            self.rollouts.set_stage(RolloutStage::RollingOut(progress));
            self.rollouts.set_slots(self.fleet.slot_ids().len());
        }
    }

    fn program_failed(&mut self) {
        if self.rollouts.is_opening() {
            let refusal = Refusal {
                stage: RefusalStage::Open,
                child: None,
            };
            self.rollouts.end_refused(refusal);
        }
    }

    fn on_successor_event(
        &mut self,
        slot: SlotId,
        child: ChildId,
        successor: Successor,
        fact: ChildEvent,
        now: Instant,
    ) {
        match successor.state.on_event(fact, now, &self.policy) {
            Transition::Stay => {}
            Transition::Become(state) | Transition::Confirm(state) => {
                let successor = successor.with_state(state);
                if state.may_succeed() {
                    self.fleet.set_successor(child, successor);
                } else {
                    self.end_draining(now, |other, _| other == slot);
                    self.drain(state, now);
                    self.successor_failed(slot, child, successor.stage(), now);
                }
            }
            Transition::Fail(_) => {
                self.fleet.remove(child);
                self.successor_failed(slot, child, RefusalStage::Start, now);
            }
            Transition::Die(_) => {
                self.fleet.remove(child);
                self.successor_failed(slot, child, successor.stage(), now);
            }
        }
    }

    fn on_successor_timeout(
        &mut self,
        slot: SlotId,
        child: ChildId,
        successor: Successor,
        now: Instant,
    ) -> Option<Action> {
        match successor.on_timeout(now) {
            SuccessorTimeout::AsInSlot(TimeoutAction::Become(state)) => {
                self.fleet.set_successor(child, successor.with_state(state));
                Some(Action::ReportHealthy { child })
            }
            SuccessorTimeout::AsInSlot(TimeoutAction::Kill { reason, .. }) => {
                self.end_draining(now, |other, _| other == slot);
                let give_up_at = after(now, self.policy.kill_timeout);
                let killed = DrainState::Killed { give_up_at };
                self.fleet.set_draining(child, killed);
                self.successor_failed(slot, child, RefusalStage::Ready, now);
                Some(Action::Kill { child, reason })
            }
            // No successor is in such a state.
            SuccessorTimeout::AsInSlot(
                TimeoutAction::Stay
                | TimeoutAction::Start
                | TimeoutAction::Recover(_)
                | TimeoutAction::Revert(_)
                | TimeoutAction::GiveUp { .. }
                | TimeoutAction::Outlive { .. },
            ) => None,
            SuccessorTimeout::Serve => {
                let soak = self.rollouts.soak(&self.policy.rollout);
                let serving = successor.serving(now, soak);
                self.fleet.set_successor(child, serving);
                Some(Action::Serve { child })
            }
            SuccessorTimeout::Replace => Some(self.replace(slot, child, successor, now)),
        }
    }

    /// A successor fills its slot now. The child that filled it drains.
    fn replace(
        &mut self,
        slot: SlotId,
        child: ChildId,
        successor: Successor,
        now: Instant,
    ) -> Action {
        let previous = self.fleet.slot(slot).child();
        if previous.is_some() {
            // At most one child of a slot drains.
            self.end_draining(now, |other, _| other == slot);
        }
        self.retire(slot, now);
        self.fleet.fill_slot(slot, child, successor);
        self.budget.begin_to_forget();
        if let Some(progress) = self.rollouts.progress() {
            progress.replaced += 1;
        }
        self.rollouts.successor_ended(slot);
        Action::ReportReplaced {
            slot,
            child,
            previous,
        }
    }

    /// A successor has failed: it has exited, or drains.
    fn successor_failed(
        &mut self,
        slot: SlotId,
        child: ChildId,
        stage: RefusalStage,
        now: Instant,
    ) {
        self.rollouts.successor_ended(slot);
        let child = Some((slot, child));
        self.refuse(Refusal { stage, child }, now);
    }

    /// Refuses the rollout, unless it was refused before.
    fn refuse(&mut self, refusal: Refusal, now: Instant) {
        if self.rollouts.is_rolling_out() {
            self.remove_successors(now, |_| true);
            let deadline = after(now, self.policy.rollout.timeout);
            let progress = Progress::new(self.rollouts.accepted, deadline);
            self.rollouts
                .set_stage(RolloutStage::RollingBack(progress, refusal));
            self.rollouts.set_slots(self.fleet.slot_ids().len());
        }
    }

    /// The successors of these slots drain.
    fn remove_successors(&mut self, now: Instant, is_of: impl Fn(SlotId) -> bool) {
        for (_, slot, successor) in self.fleet.successors() {
            if is_of(slot) {
                self.end_draining(now, |other, _| other == slot);
                self.drain(successor.state, now);
                self.rollouts.successor_ended(slot);
            }
        }
    }

    /// A child of a program that is not the accepted one has left its slot unexpectedly.
    ///
    /// Its exit does not count: the service must survive a bad program.
    fn revert(&mut self, slot: SlotId, child: ChildId, now: Instant) {
        let state = match self.phase.recovery() {
            RecoveryMode::Later | RecoveryMode::Allowed => {
                SlotState::Reverting { child, since: now }
            }
            RecoveryMode::Over => SlotState::Retired,
        };
        self.fleet.set_slot(slot, state);
        self.program_failed_in(slot, child, now);
    }

    /// A child that filled this slot has failed. If it runs the program of the rollout, that is
    /// refused. It can also run a program that was refused before.
    fn program_failed_in(&mut self, slot: SlotId, child: ChildId, now: Instant) {
        let program = self.rollouts.progress().map(|progress| progress.program);
        if program == self.fleet.program(slot) {
            let refusal = Refusal {
                stage: RefusalStage::Serve,
                child: Some((slot, child)),
            };
            self.refuse(refusal, now);
        }
    }

    fn rollout_timed_out(&mut self, now: Instant) {
        let slowest = self.fleet.successors().into_iter().next();
        let refusal = Refusal {
            stage: RefusalStage::Time,
            child: slowest.map(|(child, slot, _)| (slot, child)),
        };
        match self.rollouts.rolling_back() {
            None => self.refuse(refusal, now),
            Some(refusal) => {
                self.remove_successors(now, |_| true);
                self.rollouts.end_refused(refusal);
            }
        }
    }

    fn next_rollout_action(&mut self, now: Instant) -> Option<Action> {
        if self.rollouts.begins(now, self.phase == Phase::Running) {
            return Some(Action::OpenProgram);
        }
        if let Some(start) = self.next_successor() {
            return Some(start);
        }
        let fleet = &self.fleet;
        self.rollouts.conclude();
        let count_left = |accepted| fleet.count_others(accepted);
        let verdict = self.rollouts.take_verdict(count_left)?;
        if let Verdict::Accepted { .. } = verdict {
            self.renew_standbys(now);
        }
        Some(Action::ReportVerdict(verdict))
    }

    /// The standbys of the program before drain, and those of the accepted one are started.
    fn renew_standbys(&mut self, now: Instant) {
        for standby in self.fleet.standby_ids() {
            // At most one child of a position drains.
            self.end_draining(now, |other, fleet| {
                other == standby && fleet.slot(standby).child().is_some()
            });
            self.retire(standby, now);
            self.fleet.count_failure(standby, Health::Healthy);
            self.fleet
                .set_slot(standby, SlotState::Unstarted { since: now });
        }
    }

    /// Starts the next successor, if the rollout allows another one now.
    fn next_successor(&mut self) -> Option<Action> {
        let slots = self.fleet.slot_ids().len();
        let most = self.rollouts.most_successors(&self.policy.rollout, slots);
        let program = self.rollouts.progress()?.program;
        let ring = &self.fleet.ring;
        // Neighbors could both be without a child that accepts.
        let may_follow = |slot, others: &_| !ring.has_neighbor(slot, others, slots);
        while let Some(slot) = self.rollouts.take_next(most, may_follow) {
            if self.fleet.program(slot) != Some(program) {
                self.rollouts.successor_began(slot);
                return Some(Action::Start {
                    slot,
                    child: self.fleet.request_successor(slot, program),
                    program,
                    previous: None,
                    gate: Gate::Closed,
                });
            }
        }
        None
    }

    // What only tests ask.

    #[cfg(test)]
    pub(crate) fn write_normal(&self, form: &mut NormalForm) {
        let Self {
            // It does not change.
            policy,
            phase,
            fleet,
            rollouts,
            budget,
            // The exploration uses no delays with jitter.
            jitter: _,
        } = self;
        phase.write_normal(form);
        fleet.write_normal(form, policy, rollouts);
        rollouts.write_normal(form);
        budget.write_normal(form);
    }

    #[cfg(test)]
    pub(super) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    #[cfg(test)]
    pub(super) fn ring_width(&self) -> usize {
        self.policy.ring_width
    }

    #[cfg(test)]
    pub(super) fn rollouts(&self) -> &Rollouts {
        &self.rollouts
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
