//! What the supervisor promises, checked at every call.
//!
//! The observer knows what a caller knows: the events and the actions. It keeps for each promise
//! the time by which it must be kept, so a step costs the same in a large fleet as in a small one.
//! A full comparison with the supervisor follows from time to time.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::super::super::children::ChildLocation;
use super::super::super::{
    Action, ChildId, Event, FleetOutcome, Gate, KillReason, Policy, ProgramId, Readiness, Refusal,
    RefusalStage, SlotId, StartFailure, StopCause, StopMode, Supervisor, Verdict, Window,
};
use super::super::stage::assert_rested;
use super::broken::{Broken, check};
use super::plan::{Nanos, nanos};
use super::rollouts::Rollouts;

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Observer {
    policy: Policy,
    epoch: Instant,
    /// Also those that were removed.
    slots: Vec<Slot>,
    /// How many slots the fleet has.
    wanted: usize,
    children: HashMap<ChildId, Child>,
    last_id: u64,
    due: BinaryHeap<Reverse<(Nanos, Promise)>>,
    /// Those that drain and whose start was not answered.
    unanswered: BTreeSet<ChildId>,
    /// How many of them were given up.
    given_up: u64,
    /// The time of the last question.
    now: Nanos,
    confirmed: usize,
    healthy: usize,
    accepting: usize,
    awaited: usize,
    is_announced: bool,
    is_master_ready: bool,
    rollouts: Rollouts,
    stop: Option<Stop>,
    has_closed_listeners: bool,
    exits: VecDeque<Nanos>,
    exits_forever: u64,
    was_healthy: bool,
    /// A child can be healthy by the passing of time from then on.
    first_healthy_at: Nanos,
    outcome: Option<FleetOutcome>,
    actions_in_a_row: usize,
    /// The deadline of the last rest, if no event has come since.
    wake_at: Option<Nanos>,
    rests: u64,
}

#[derive(Clone, Copy)]
struct Stop {
    cause: StopCause,
    at: Nanos,
    mode: StopMode,
}

#[derive(Clone, Default)]
struct Slot {
    child: Option<ChildId>,
    /// The last child, since the slot was added.
    last: Option<ChildId>,
    left: Nanos,
    /// The child that left it ran a program that is not accepted: its exit does not count.
    reverts: bool,
    failures: u32,
    /// How many children have filled it.
    starts: u64,
    is_confirmed: bool,
    /// Children that have left the slot and have not exited.
    older: Vec<ChildId>,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Child {
    slot: usize,
    program: ProgramId,
    readiness: Readiness,
    started: Option<Nanos>,
    is_healthy: bool,
    has_violated: bool,
    has_closed: bool,
    main_ended: Option<Nanos>,
    is_asked: bool,
    killed: Option<Nanos>,
    is_given_up: bool,
    /// When it must be killed, if it has left its slot.
    kill_at: Option<Nanos>,
    /// Until when it serves beside the child that it replaces.
    soak_until: Option<Nanos>,
}

/// What the supervisor must have done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Promise {
    /// Filled this slot for this time.
    Fill(usize, u64),
    /// Killed a child that is not ready.
    Ready(ChildId),
    /// Taken a child for healthy.
    Healthy(ChildId),
    Ask(ChildId),
    Kill(ChildId),
    /// Given the slot to another child, because `main` has ended.
    Report(ChildId),
    GiveUp(ChildId),
    /// Opened the gate of a successor that is ready.
    Serve(ChildId),
    /// Given up a child whose start was not answered.
    Unanswered(ChildId),
    /// Given the slot to a successor that has soaked.
    Replace(ChildId),
    /// Refused a rollout, or ended a roll-back: the one with this number.
    EndRollout(u64),
}

impl Observer {
    pub(super) fn new(policy: Policy, epoch: Instant) -> Self {
        let mut observer = Self {
            epoch,
            slots: Vec::new(),
            wanted: 0,
            children: HashMap::new(),
            last_id: 0,
            due: BinaryHeap::new(),
            unanswered: BTreeSet::new(),
            given_up: 0,
            now: 0,
            confirmed: 0,
            healthy: 0,
            accepting: 0,
            awaited: 0,
            is_announced: false,
            is_master_ready: false,
            rollouts: Rollouts::new(policy.rollout, epoch),
            stop: None,
            has_closed_listeners: false,
            exits: VecDeque::new(),
            exits_forever: 0,
            was_healthy: false,
            first_healthy_at: Nanos::MAX,
            outcome: None,
            actions_in_a_row: 0,
            wake_at: None,
            rests: 0,
            policy,
        };
        observer.resize(observer.policy.slots.get(), 0);
        observer
    }

    /// Whether each slot serves, no other child is left and no rollout is in progress.
    pub(super) fn is_settled(&self) -> bool {
        let is_complete = self.healthy == self.wanted && self.awaited == self.wanted;
        let is_complete = is_complete && self.rollouts.is_idle();
        self.is_master_ready && self.stop.is_none() && is_complete
    }

    /// How many slots the fleet had at most.
    pub(super) fn most_slots(&self) -> usize {
        self.slots.len()
    }

    /// How many rollouts were accepted.
    pub(super) fn rollouts_accepted(&self) -> u64 {
        self.rollouts.times_accepted
    }

    /// How many slots the fleet has.
    pub(super) fn slots(&self) -> usize {
        self.wanted
    }

    pub(super) fn is_master_ready(&self) -> bool {
        self.is_master_ready
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    // Events.

    /// Reads whether time has made the child healthy.
    ///
    /// The order of what is due at one instant is not a promise. So while the supervisor has more
    /// to do, only the supervisor knows.
    pub(super) fn before_event(
        &mut self,
        supervisor: &Supervisor,
        mut event: Event,
    ) -> Result<(), Broken> {
        let id = child_of(&mut event).copied();
        let Some((id, child)) = id.and_then(|id| Some((id, self.children.get(&id)?))) else {
            return Ok(());
        };
        if self.in_place(id).is_none() {
            return Ok(());
        }
        let location = supervisor.fleet().child(id).map(|child| child.location);
        let is_serving = match location {
            Some(ChildLocation::Successor(successor)) => successor.state.is_serving(),
            _ => supervisor.fleet().slot(SlotId(child.slot)).is_serving(),
        };
        let may_serve = child.may_be_healthy()
            && child.readiness == Readiness::Assumed
            && child.healthy_at(&self.policy) <= self.now;
        if is_serving && may_serve {
            self.become_healthy(id);
        }
        let child = &self.children[&id];
        let expected = child.is_healthy && child.serves();
        check(
            is_serving == expected,
            "a child serves if it proved that it is healthy, and only then",
            || format!("{id:?}"),
        )
    }

    pub(super) fn after_event(
        &mut self,
        supervisor: &Supervisor,
        event: Event,
        at: Nanos,
    ) -> Result<(), Broken> {
        self.actions_in_a_row = 0;
        self.wake_at = None;
        self.apply(supervisor, event, at);
        self.check_stop(supervisor, at)?;
        let mut event = event;
        if let Some(&mut id) = child_of(&mut event) {
            self.check_child(supervisor, id)?;
        }
        check(
            self.outcome.as_ref() == supervisor.outcome(),
            "the outcome does not change",
            || format!("{:?}", supervisor.outcome()),
        )
    }

    fn apply(&mut self, supervisor: &Supervisor, event: Event, at: Nanos) {
        match event {
            Event::Started { child, readiness } => self.started(child, readiness, at),
            Event::StartFailed { child, failure } => {
                self.start_failed(supervisor, child, failure, at);
            }
            Event::Ready { child } => {
                if self.in_place(child).is_some_and(Child::may_be_healthy) {
                    self.become_healthy(child);
                }
            }
            Event::Readiness { child, readiness } => {
                if self.in_place(child).is_some_and(Child::may_be_healthy) {
                    self.expect_health(child, readiness);
                }
            }
            Event::MainEnded { child } => self.main_ended(child, at),
            Event::Closed { child } => {
                if let Some(record) = self.children.get_mut(&child) {
                    let was_accepting = record.accepts();
                    record.has_closed = true;
                    self.accepting -= usize::from(was_accepting);
                }
            }
            Event::Violation { child } => self.violated(child, at),
            Event::Exited { child } => {
                if self.children.get(&child).is_some_and(Child::is_unstarted) {
                    self.start_failed(supervisor, child, StartFailure::Transient, at);
                } else if let Some(successor) = self.succeeds(child) {
                    let (slot, stage) = (successor.slot, successor.stage());
                    self.remove(child);
                    self.refuse(stage, Some((SlotId(slot), child)), at);
                } else {
                    self.leave(child, at);
                    self.remove(child);
                }
            }
            Event::MasterReady => self.master_ready(at),
            Event::HookFailed => self.begin_stop(StopCause::HookFailed, at),
            Event::ListenerLost => self.begin_stop(StopCause::ListenerLost, at),
            Event::Resize { slots } => self.resize(slots.get(), at),
            Event::RolloutRequested if self.stop.is_none() => self.rollouts.requested(),
            Event::RolloutRequested => {}
            Event::ProgramOpened { program } => {
                let deadline = self.rollouts.opened(program, self.wanted, at);
                self.expect_rollout(deadline);
            }
            Event::ProgramFailed => {
                let programs = self.programs();
                self.rollouts.open_failed(&programs);
            }
            Event::StopRequested { urgency } => {
                self.begin_stop(StopCause::Requested, at);
                if urgency == StopMode::Immediate && self.outcome.is_none() {
                    self.stop_at_once(at);
                }
            }
        }
    }

    /// The child, if it fills its slot.
    fn fills(&self, id: ChildId) -> Option<&Child> {
        let child = self.children.get(&id)?;
        (self.slots[child.slot].child == Some(id)).then_some(child)
    }

    /// The child, if it is the successor of its slot.
    fn succeeds(&self, id: ChildId) -> Option<&Child> {
        let child = self.children.get(&id)?;
        let successor = self.rollouts.successors.get(&child.slot);
        (successor == Some(&id)).then_some(child)
    }

    /// The child, if it fills its slot or is its successor.
    fn in_place(&self, id: ChildId) -> Option<&Child> {
        self.fills(id).or_else(|| self.succeeds(id))
    }

    /// The program of the child of each slot.
    fn programs(&self) -> Vec<Option<ProgramId>> {
        let children = self.slots[..self.wanted].iter().map(|slot| slot.child);
        children
            .map(|child| child.map(|child| self.children[&child].program))
            .collect()
    }

    fn promise(&mut self, at: Nanos, promise: Promise) {
        self.due.push(Reverse((at, promise)));
    }

    fn expect_rollout(&mut self, deadline: Option<Nanos>) {
        if let Some(deadline) = deadline {
            self.promise(deadline, Promise::EndRollout(self.rollouts.deadlines));
        }
    }

    fn started(&mut self, id: ChildId, readiness: Readiness, at: Nanos) {
        let Some(child) = self
            .children
            .get_mut(&id)
            .filter(|child| child.is_unstarted())
        else {
            return;
        };
        child.started = Some(at);
        if let Some(kill_at) = child.kill_at {
            self.unanswered.remove(&id);
            self.promise(kill_at, Promise::Kill(id));
            return self.promise(at, Promise::Ask(id));
        }
        let slot = &mut self.slots[child.slot];
        if slot.child == Some(id) {
            self.confirmed += usize::from(!slot.is_confirmed);
            slot.is_confirmed = true;
        }
        self.expect_health(id, readiness);
    }

    /// The child has not yet proved that it is healthy.
    fn expect_health(&mut self, id: ChildId, readiness: Readiness) {
        let policy = &self.policy;
        let fills = self.fills(id).is_some();
        let child = self.children.get_mut(&id).expect("it was started");
        child.readiness = readiness;
        let (healthy_at, ready_by) = (child.healthy_at(policy), child.ready_by(policy));
        match readiness {
            Readiness::Notified => self.promise(ready_by, Promise::Ready(id)),
            Readiness::Assumed if policy.healthy_after.is_zero() => self.become_healthy(id),
            Readiness::Assumed => {
                if fills {
                    self.first_healthy_at = self.first_healthy_at.min(healthy_at);
                }
                self.promise(healthy_at, Promise::Healthy(id));
            }
        }
    }

    fn become_healthy(&mut self, id: ChildId) {
        let fills = self.fills(id).is_some();
        let child = self.children.get_mut(&id).expect("it is in place");
        child.is_healthy = true;
        if fills {
            self.healthy += 1;
            self.was_healthy = true;
        } else {
            self.promise(self.now, Promise::Serve(id));
        }
    }

    fn start_failed(
        &mut self,
        supervisor: &Supervisor,
        id: ChildId,
        failure: StartFailure,
        at: Nanos,
    ) {
        let Some(child) = self.children.get(&id).filter(|child| child.is_unstarted()) else {
            return;
        };
        let slot = child.slot;
        let fills = self.slots[slot].child == Some(id);
        let succeeds = self.succeeds(id).is_some();
        self.leave(id, at);
        self.remove(id);
        if succeeds && failure != StartFailure::Refused {
            return self.refuse(RefusalStage::Start, Some((SlotId(slot), id)), at);
        }
        let ends = match failure {
            StartFailure::Transient => !self.is_master_ready,
            StartFailure::Permanent if self.was_healthy => !self.is_master_ready,
            // A child may be healthy by time: only the supervisor knows at this moment.
            StartFailure::Permanent if self.first_healthy_at <= self.now => {
                !self.is_master_ready || supervisor.is_stopping()
            }
            StartFailure::Permanent | StartFailure::Refused => true,
        };
        if (fills || succeeds) && ends {
            let cause = StopCause::StartFailed {
                slot: SlotId(slot),
                child: id,
                failure,
            };
            self.begin_stop(cause, at);
        }
    }

    fn main_ended(&mut self, id: ChildId, at: Nanos) {
        let fills = self.fills(id).is_some();
        let policy = &self.policy;
        let exit = at.saturating_add(nanos(policy.exit_timeout.min(policy.shutdown_grace_period)));
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let is_new = child.main_ended.is_none() && !child.is_asked;
        if child.is_unstarted() || child.has_violated || child.killed.is_some() || !is_new {
            return;
        }
        let was_serving = child.is_healthy && child.serves();
        child.main_ended = Some(at);
        if fills {
            self.healthy -= usize::from(was_serving);
            self.promise(exit, Promise::Report(id));
        }
        self.fail(id, at);
    }

    fn violated(&mut self, id: ChildId, at: Nanos) {
        let fills = self.fills(id).is_some();
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        if child.is_unstarted() || child.killed.is_some() || child.is_given_up {
            return;
        }
        let was_serving = fills && child.is_healthy && child.serves();
        child.has_violated = true;
        self.healthy -= usize::from(was_serving);
        self.promise(at, Promise::Kill(id));
        self.fail(id, at);
    }

    /// The child does not serve any more. A rollout of its program is refused.
    fn fail(&mut self, id: ChildId, at: Nanos) {
        let child = &self.children[&id];
        let (slot, stage) = (SlotId(child.slot), child.stage());
        if self.succeeds(id).is_some() {
            self.drain_successor(id, at);
            self.refuse(stage, Some((slot, id)), at);
        } else if self.fills(id).is_some() && self.rollouts.rolls_out(child.program) {
            self.refuse(RefusalStage::Serve, Some((slot, id)), at);
        }
    }

    /// A successor is not needed any more.
    fn drain_successor(&mut self, id: ChildId, at: Nanos) {
        let slot = self.children[&id].slot;
        for older in self.slots[slot].older.clone() {
            self.cut_grace(older, at);
        }
        self.rollouts.successors.remove(&slot);
        self.drain(id, at);
    }

    /// Refuses the rollout, unless it was refused before.
    fn refuse(&mut self, stage: RefusalStage, child: Option<(SlotId, ChildId)>, at: Nanos) {
        if !self.rollouts.is_rolling_out() {
            return;
        }
        for id in self.rollouts.successors.clone().into_values() {
            self.drain_successor(id, at);
        }
        let accepted = self.rollouts.accepted;
        let programs = self.programs().into_iter().enumerate();
        let others = programs.filter(|(_, program)| program.is_some_and(|other| other != accepted));
        let others = others.map(|(slot, _)| slot).collect();
        let deadline = self.rollouts.refused(Refusal { stage, child }, others, at);
        self.expect_rollout(deadline);
    }

    /// The child leaves its slot, if it fills one: the slot is to be filled again.
    fn leave(&mut self, id: ChildId, at: Nanos) {
        let Some(child) = self.fills(id) else {
            return;
        };
        let (index, was_healthy, program) = (child.slot, child.is_healthy, child.program);
        self.healthy -= usize::from(was_healthy && child.serves());
        let slot = &mut self.slots[index];
        slot.child = None;
        slot.left = at;
        slot.reverts = program != self.rollouts.accepted;
        if !slot.reverts {
            slot.failures = if was_healthy { 0 } else { slot.failures + 1 };
        }
        slot.older.push(id);
        if self.is_master_ready {
            self.expect_replacement(index, at);
        }
        self.rollouts.slot_left(index);
        if self.rollouts.rolls_out(program) {
            self.refuse(RefusalStage::Serve, Some((SlotId(index), id)), at);
        }
    }

    fn expect_replacement(&mut self, index: usize, now: Nanos) {
        let slot = &self.slots[index];
        let starts = slot.starts;
        let [_, latest] = self.recovery_of(slot);
        self.promise(latest.max(now), Promise::Fill(index, starts));
    }

    /// The earliest and the latest time of the replacement.
    fn recovery_of(&self, slot: &Slot) -> [Nanos; 2] {
        if slot.reverts {
            return [slot.left; 2];
        }
        let backoff = self.policy.backoff;
        let nominal = match slot.failures {
            0 | 1 => Duration::ZERO,
            more => {
                let factor = 1 << (more - 2).min(31);
                backoff.first.saturating_mul(factor).min(backoff.max)
            }
        };
        [8, 12].map(|tenths| {
            let delay = nanos(nominal * tenths / 10).saturating_add(self.interval());
            slot.left.saturating_add(delay)
        })
    }

    fn interval(&self) -> Nanos {
        nanos(self.policy.recover_interval)
    }

    /// The child does not exist any more.
    fn remove(&mut self, id: ChildId) {
        if let Some(child) = self.children.remove(&id) {
            self.accepting -= usize::from(child.accepts());
            self.awaited -= usize::from(!child.is_given_up);
            self.unanswered.remove(&id);
            self.slots[child.slot].older.retain(|&older| older != id);
            let successors = &mut self.rollouts.successors;
            if successors.get(&child.slot) == Some(&id) {
                successors.remove(&child.slot);
            }
        }
    }

    fn master_ready(&mut self, at: Nanos) {
        if !self.is_announced || self.stop.is_some() || self.is_master_ready {
            return;
        }
        self.is_master_ready = true;
        for index in 0..self.wanted {
            let slot = &self.slots[index];
            if slot.child.is_none() && slot.last.is_some() {
                self.expect_replacement(index, at);
            }
        }
    }

    fn resize(&mut self, slots: usize, at: Nanos) {
        if self.stop.is_some() {
            return;
        }
        for index in slots..self.wanted {
            for older in self.end_older_if_filled(index) {
                self.cut_grace(older, at);
            }
            // Both drain, with all of their time: both may have connections.
            if let Some(&successor) = self.rollouts.successors.get(&index) {
                self.drain_successor(successor, at);
            }
            self.retire(index, at);
            self.rollouts.slot_removed(index);
            let slot = &mut self.slots[index];
            self.confirmed -= usize::from(slot.is_confirmed);
            slot.is_confirmed = false;
            (slot.last, slot.failures) = (None, 0);
        }
        let old = std::mem::replace(&mut self.wanted, slots);
        self.slots
            .resize(self.slots.len().max(slots), Slot::default());
        for index in old..slots {
            self.rollouts.slot_added(index);
            let starts = self.slots[index].starts;
            self.promise(at, Promise::Fill(index, starts));
        }
    }

    /// The older children of this slot, if another one begins to drain.
    fn end_older_if_filled(&self, index: usize) -> Vec<ChildId> {
        let slot = &self.slots[index];
        slot.child.map_or_else(Vec::new, |_| slot.older.clone())
    }

    /// The slot gets no other child. Its child drains.
    fn retire(&mut self, index: usize, at: Nanos) {
        if let Some(id) = self.slots[index].child.take() {
            let child = &self.children[&id];
            self.healthy -= usize::from(child.is_healthy && child.serves());
            self.drain(id, at);
        }
    }

    /// The child has left its slot, and has some time to exit.
    fn drain(&mut self, id: ChildId, at: Nanos) {
        let grace = nanos(self.policy.shutdown_grace_period);
        let child = self.children.get_mut(&id).expect("it was in place");
        self.slots[child.slot].older.push(id);
        let since = child.main_ended.map_or(at, |ended| ended.min(at));
        let kill_at = since.saturating_add(grace);
        child.kill_at = Some(kill_at);
        if child.started.is_some() {
            self.promise(at, Promise::Ask(id));
        } else {
            self.unanswered.insert(id);
            self.expect_answer(id);
        }
        self.promise(kill_at, Promise::Kill(id));
    }

    fn cut_grace(&mut self, id: ChildId, at: Nanos) {
        let child = self.children.get_mut(&id).expect("it drains");
        child.kill_at = child.kill_at.map(|kill_at| kill_at.min(at));
        self.promise(at, Promise::Kill(id));
        self.expect_answer(id);
    }

    fn expect_answer(&mut self, id: ChildId) {
        if self.unanswered.contains(&id) {
            self.promise(self.give_up_unanswered_at(id), Promise::Unanswered(id));
        }
    }

    /// When the supervisor no longer waits for the answer to a start.
    fn give_up_unanswered_at(&self, id: ChildId) -> Nanos {
        let kill_at = self.children[&id].kill_at.unwrap_or(Nanos::MAX);
        kill_at.saturating_add(nanos(self.policy.kill_timeout))
    }

    /// The supervisor no longer waits for these, and no action says so.
    fn give_up_unanswered(&mut self, supervisor: &Supervisor) {
        for id in self.unanswered.clone() {
            let is_over = self.give_up_unanswered_at(id) <= self.now;
            if is_over && !supervisor.snapshot().is_draining(id) {
                self.unanswered.remove(&id);
                self.given_up += 1;
                let child = self.children.get_mut(&id).expect("it has not exited");
                let was_accepting = child.accepts();
                child.is_given_up = true;
                self.accepting -= usize::from(was_accepting);
                self.awaited -= 1;
            }
        }
    }

    fn begin_stop(&mut self, cause: StopCause, at: Nanos) {
        if self.stop.is_some() {
            return;
        }
        let mode = StopMode::Graceful;
        self.stop = Some(Stop { cause, at, mode });
        self.rollouts.stopped();
        for id in std::mem::take(&mut self.rollouts.successors).into_values() {
            self.drain(id, at);
        }
        for index in 0..self.wanted {
            self.retire(index, at);
        }
    }

    fn stop_at_once(&mut self, at: Nanos) {
        if let Some(stop) = &mut self.stop {
            stop.mode = StopMode::Immediate;
        }
        let children: Vec<_> = self.children.keys().copied().collect();
        for id in children {
            self.cut_grace(id, at);
        }
    }

    // Actions.

    pub(super) fn asked(
        &mut self,
        supervisor: &Supervisor,
        action: Option<Action>,
        now: Nanos,
    ) -> Result<(), Broken> {
        self.now = now;
        self.check_stop(supervisor, now)?;
        let given_up = self.given_up;
        self.give_up_unanswered(supervisor);
        if self.given_up > given_up {
            self.wake_at = None;
        }
        // The order of what is due at one instant is not a promise.
        let is_late = self.rollouts.deadline().is_some_and(|at| at <= now);
        let refusal = match action {
            Some(Action::ReportVerdict(Verdict::Refused { refusal, .. })) => Some(refusal),
            _ => supervisor.rollouts().rolling_back(),
        };
        let is_refused = refusal.is_some_and(|refusal| refusal.stage == RefusalStage::Time);
        if is_late && is_refused && self.rollouts.is_rolling_out() {
            let slowest = self.rollouts.successors.iter().min_by_key(|&(_, id)| id);
            let slowest = slowest.map(|(&slot, &id)| (SlotId(slot), id));
            self.refuse(RefusalStage::Time, slowest, now);
        }
        let Some(action) = action else {
            return self.rested(supervisor);
        };
        self.actions_in_a_row += 1;
        let most = 4 * self.children.len() + self.wanted + 6;
        check(
            self.actions_in_a_row <= most,
            "`next_action` comes to an end",
            || format!("{most} actions without an event"),
        )?;
        check(
            self.outcome.is_none(),
            "no action follows the outcome",
            || format!("{action:?}"),
        )?;
        self.check_action(supervisor, action)
    }

    fn check_action(&mut self, supervisor: &Supervisor, action: Action) -> Result<(), Broken> {
        match action {
            Action::Start {
                slot,
                child,
                program,
                previous,
                gate,
            } => {
                self.check_new(slot, child)?;
                match gate {
                    Gate::Open => self.check_start(supervisor, slot, child, previous)?,
                    Gate::Closed => self.check_successor(slot, child, program, previous)?,
                }
                check(
                    gate == Gate::Closed || program == self.rollouts.accepted,
                    "a slot is filled with the program of the last rollout that was accepted",
                    || format!("{child:?} in {slot:?}: {program:?}"),
                )?;
                self.add(slot.0, child, program);
                Ok(())
            }
            Action::AnnounceMasterReady => {
                let all_started = self.confirmed == self.wanted && self.stop.is_none();
                check(
                    all_started && !std::mem::replace(&mut self.is_announced, true),
                    "the master is announced once, when the first child of each slot was started",
                    || format!("{} of {} slots", self.confirmed, self.wanted),
                )
            }
            Action::Terminate { child: id, kill_at } => {
                let kill_at = nanos(kill_at.saturating_duration_since(self.epoch));
                let now = self.now;
                check(
                    kill_at > now,
                    "a child that has no time left is killed without a request",
                    || format!("{id:?}, kill at {kill_at}"),
                )?;
                let child = self.child(id)?;
                let may_ask = child.must_be_asked() && child.kill_at == Some(kill_at);
                child.is_asked = true;
                check(
                    may_ask,
                    "a child is asked once to stop, when it leaves its slot, with its time",
                    || format!("{id:?}, kill at {kill_at}"),
                )
            }
            Action::Kill { child, reason } => self.check_kill(child, reason),
            Action::GiveUp { child: id } => {
                let (now, timeout) = (self.now, nanos(self.policy.kill_timeout));
                let child = self.child(id)?;
                let is_over = child.killed.is_some_and(|at| at + timeout <= now);
                let (was_given_up, was_accepting) = (child.is_given_up, child.accepts());
                child.is_given_up = true;
                check(
                    is_over && !was_given_up,
                    "a child is given up once, `kill_timeout` after its kill",
                    || format!("{id:?}"),
                )?;
                self.accepting -= usize::from(was_accepting);
                self.awaited -= 1;
                self.leave(id, now);
                Ok(())
            }
            Action::ReportRunning { child, kill_at } => self.check_report(child, kill_at),
            Action::OpenProgram => {
                self.rollouts.check_open(self.may_roll_out())?;
                self.rollouts.began(self.now);
                Ok(())
            }
            Action::Serve { child } => self.check_serve(child),
            Action::ReportReplaced {
                slot,
                child,
                previous,
            } => self.check_replaced(slot, child, previous),
            Action::ReportVerdict(verdict) => self.check_verdict(verdict),
            Action::CloseListeners => {
                let may_close = self.stop.is_some() && self.accepting == 0;
                check(
                    may_close && !std::mem::replace(&mut self.has_closed_listeners, true),
                    "the listeners are closed once, in a stop, when no child accepts any more",
                    || format!("{} children accept", self.accepting),
                )
            }
        }
    }

    fn child(&mut self, id: ChildId) -> Result<&mut Child, Broken> {
        self.children.get_mut(&id).ok_or_else(|| Broken {
            promise: "no action is about a child that is unknown or has exited",
            detail: format!("{id:?}"),
        })
    }

    fn may_roll_out(&self) -> bool {
        self.is_master_ready && self.stop.is_none()
    }

    fn check_successor(
        &mut self,
        slot: SlotId,
        id: ChildId,
        program: ProgramId,
        previous: Option<ChildId>,
    ) -> Result<(), Broken> {
        check(
            previous.is_none() && !self.rollouts.successors.contains_key(&slot.0),
            "a slot has at most one successor, which replaces no child that has exited",
            || format!("{id:?} in {slot:?}: {previous:?}"),
        )?;
        self.rollouts.check_start(slot.0, id, program, self.wanted)
    }

    fn check_serve(&mut self, id: ChildId) -> Result<(), Broken> {
        let (now, policy) = (self.now, self.policy.clone());
        let soak_until = now.saturating_add(self.rollouts.soak());
        let succeeds = self.succeeds(id).is_some();
        let child = self.child(id)?;
        // Time makes it healthy, and it serves at that moment.
        let is_assumed = child.readiness == Readiness::Assumed;
        let is_ready = child.is_healthy || is_assumed && child.healthy_at(&policy) <= now;
        child.is_healthy |= is_assumed;
        let may_serve = child.started.is_some() && child.serves() && child.soak_until.is_none();
        child.soak_until = Some(soak_until);
        check(
            succeeds && is_ready && may_serve,
            "the gate of a successor is opened once, when it is ready",
            || format!("{id:?}"),
        )?;
        self.promise(soak_until, Promise::Replace(id));
        Ok(())
    }

    fn check_replaced(
        &mut self,
        slot: SlotId,
        id: ChildId,
        previous: Option<ChildId>,
    ) -> Result<(), Broken> {
        let now = self.now;
        let has_soaked = self
            .succeeds(id)
            .filter(|child| SlotId(child.slot) == slot)
            .and_then(|child| child.soak_until)
            .is_some_and(|until| until <= now);
        check(
            has_soaked,
            "a successor replaces a child when it has served as long as it must",
            || format!("{id:?} in {slot:?}"),
        )?;
        check(
            previous == self.slots[slot.0].child,
            "a successor replaces the child that fills its slot",
            || format!("{id:?} in {slot:?}: {previous:?}"),
        )?;
        for older in self.end_older_if_filled(slot.0) {
            self.cut_grace(older, now);
        }
        self.retire(slot.0, now);
        self.rollouts.replaced(slot.0);
        self.fill(slot.0, id);
        self.slots[slot.0].failures = 0;
        self.healthy += 1;
        self.was_healthy = true;
        Ok(())
    }

    fn check_verdict(&mut self, verdict: Verdict) -> Result<(), Broken> {
        let (now, programs) = (self.now, self.programs());
        if let Verdict::Refused { .. } = verdict {
            for id in self.rollouts.successors.clone().into_values() {
                let is_over = self.rollouts.deadline().is_some_and(|at| at <= now);
                check(
                    is_over,
                    "a roll-back waits for its successors, until its time is over",
                    || format!("{id:?}"),
                )?;
                self.drain_successor(id, now);
            }
        }
        check(
            !matches!(verdict, Verdict::Accepted { .. }) || self.healthy == self.wanted,
            "a program is accepted only if its child serves in each slot",
            || format!("{} of {} slots", self.healthy, self.wanted),
        )?;
        self.rollouts.check_verdict(verdict, now, &programs)
    }

    /// Checks what holds for each child that is started.
    fn check_new(&mut self, slot: SlotId, id: ChildId) -> Result<(), Broken> {
        let detail = || format!("{id:?} in {slot:?}");
        check(self.stop.is_none(), "no child is started in a stop", detail)?;
        check(
            slot.0 < self.wanted,
            "no child is started in a removed slot",
            detail,
        )?;
        check(
            id.0 > self.last_id,
            "the id of a child is never used again",
            detail,
        )?;
        self.last_id = id.0;
        Ok(())
    }

    fn check_start(
        &mut self,
        supervisor: &Supervisor,
        slot: SlotId,
        id: ChildId,
        previous: Option<ChildId>,
    ) -> Result<(), Broken> {
        let detail = || format!("{id:?} in {slot:?}");
        let index = slot.0;
        check(
            self.slots[index].child.is_none(),
            "a slot never has two children",
            detail,
        )?;
        check(
            previous == self.slots[index].last,
            "a child replaces the last one of its slot",
            detail,
        )?;
        if self.slots[index].last.is_some() {
            check(
                self.is_master_ready,
                "no child is replaced before the master is ready",
                detail,
            )?;
            let [earliest, _] = self.recovery_of(&self.slots[index]);
            check(
                self.now >= earliest,
                "no child is replaced before `recover_interval` and its back-off have passed",
                || format!("{} at {}, not before {earliest}", detail(), self.now),
            )?;
        }
        if self.slots[index].last.is_some() && !self.slots[index].reverts {
            let exits = self.count_exit();
            let counted = supervisor.exits_counted();
            check(
                (exits[0]..=exits[1]).contains(&counted),
                "each exit counts, until it is as old as `recover_window`",
                || format!("{counted} instead of {exits:?}"),
            )?;
            check(
                exits[0] <= u64::from(self.policy.recover_threshold),
                "no more exits are replaced than the budget allows",
                || format!("{exits:?}"),
            )?;
        }
        self.fill(index, id);
        Ok(())
    }

    /// The child fills the slot from now on.
    fn fill(&mut self, index: usize, id: ChildId) {
        let slot = &mut self.slots[index];
        slot.starts += 1;
        (slot.child, slot.last) = (Some(id), Some(id));
    }

    fn add(&mut self, index: usize, id: ChildId, program: ProgramId) {
        self.accepting += 1;
        self.awaited += 1;
        let child = Child {
            slot: index,
            program,
            readiness: Readiness::Notified,
            started: None,
            is_healthy: false,
            has_violated: false,
            has_closed: false,
            main_ended: None,
            is_asked: false,
            killed: None,
            is_given_up: false,
            kill_at: None,
            soak_until: None,
        };
        self.children.insert(id, child);
    }

    /// Counts an exit, and returns the smallest and the largest number of exits that may count.
    ///
    /// They differ as long as only the supervisor knows whether a child was healthy.
    fn count_exit(&mut self) -> [u64; 2] {
        let now = self.now;
        let Window::Sliding(window) = self.policy.recover_window else {
            self.exits_forever += 1;
            return [self.exits_forever; 2];
        };
        let window = nanos(window);
        let is_old = |at: &Nanos| now.saturating_sub(*at) >= window;
        if self.was_healthy {
            while self.exits.front().is_some_and(is_old) {
                self.exits.pop_front();
            }
        }
        self.exits.push_back(now);
        let all = self.exits.len() as u64;
        if self.first_healthy_at <= now {
            let old = self.exits.iter().take_while(|at| is_old(at)).count() as u64;
            return [all - old, all];
        }
        [all; 2]
    }

    fn check_kill(&mut self, id: ChildId, reason: KillReason) -> Result<(), Broken> {
        let (now, in_place) = (self.now, self.in_place(id).is_some());
        let succeeds = self.succeeds(id).is_some();
        let policy = self.policy.clone();
        let child = self.child(id)?;
        let slot = SlotId(child.slot);
        let is_due = match reason {
            KillReason::NotReady => {
                in_place && child.must_be_ready() && child.ready_by(&policy) <= now
            }
            KillReason::Violation => child.has_violated,
            KillReason::OutOfTime => {
                !child.has_violated && child.kill_at.is_some_and(|at| at <= now)
            }
        };
        let is_alive = child.started.is_some() && child.killed.is_none();
        child.killed = Some(now);
        check(
            is_due && is_alive,
            "a child is killed once, and only for its reason",
            || format!("{id:?}: {reason:?}"),
        )?;
        if succeeds {
            self.drain_successor(id, now);
            self.refuse(RefusalStage::Ready, Some((slot, id)), now);
        }
        let give_up_at = now.saturating_add(nanos(policy.kill_timeout));
        self.promise(give_up_at, Promise::GiveUp(id));
        Ok(())
    }

    fn check_report(&mut self, id: ChildId, kill_at: Instant) -> Result<(), Broken> {
        let (now, fills) = (self.now, self.fills(id).is_some());
        let kill_at = nanos(kill_at.saturating_duration_since(self.epoch));
        let grace = nanos(self.policy.shutdown_grace_period);
        let wait = nanos(self.policy.exit_timeout).min(grace);
        let child = self.child(id)?;
        let is_due = child.main_ended.is_some_and(|ended| {
            ended.saturating_add(wait) <= now && kill_at == ended.saturating_add(grace)
        });
        let is_alive = child.killed.is_none() && !child.has_violated;
        child.kill_at = Some(kill_at);
        let slot = child.slot;
        check(
            fills && is_due && is_alive,
            "a process leaves its slot if it still runs `exit_timeout` after the end of `main`",
            || format!("{id:?}, kill at {kill_at}"),
        )?;
        for older in self.end_older_if_filled(slot) {
            self.cut_grace(older, now);
        }
        self.promise(kill_at, Promise::Kill(id));
        self.leave(id, now);
        Ok(())
    }

    // States.

    /// Compares the stop with that of the supervisor, which begins one itself if exits are too many.
    fn check_stop(&mut self, supervisor: &Supervisor, at: Nanos) -> Result<(), Broken> {
        let stop = supervisor.snapshot().stop();
        if let (Some(stop), None) = (stop, self.stop) {
            self.check_over_recovery(stop.cause)?;
            self.begin_stop(stop.cause, at);
        }
        let began = |at: Instant| nanos(at.saturating_duration_since(self.epoch));
        let stop = stop.map(|stop| (stop.cause, began(stop.began), stop.mode));
        let expected = self.stop.map(|stop| (stop.cause, stop.at, stop.mode));
        check(
            stop == expected,
            "a stop has one cause, the first, and does not end",
            || format!("{stop:?} instead of {expected:?}"),
        )
    }

    fn check_over_recovery(&mut self, cause: StopCause) -> Result<(), Broken> {
        let StopCause::OverRecovery {
            exits,
            threshold,
            window,
            was_healthy,
            slot,
            child,
        } = cause
        else {
            let detail = format!("{cause:?}");
            let promise = "a stop begins only for a reason";
            return Err(Broken { promise, detail });
        };
        let [least, most] = self.count_exit();
        let left = self.slots.get(slot.0).filter(|_| slot.0 < self.wanted);
        let is_due = left.is_some_and(|left| {
            let counts = !left.reverts;
            let [earliest, _] = self.recovery_of(left);
            let is_over = left.child.is_none() && earliest <= self.now;
            is_over && left.last == Some(child) && counts
        });
        let policy = &self.policy;
        let is_same = (threshold, window) == (policy.recover_threshold, policy.recover_window);
        let may_be_healthy = self.was_healthy || self.first_healthy_at <= self.now;
        let knows_health = (!self.was_healthy || was_healthy) && (!was_healthy || may_be_healthy);
        check(
            (least..=most).contains(&exits) && exits > u64::from(threshold),
            "the master stops for its exits only if they exceed the budget",
            || format!("{cause:?}, counted {least} to {most}"),
        )?;
        check(
            self.is_master_ready && is_due && is_same && knows_health,
            "a stop for too many exits names the last one, when its replacement is due",
            || format!("{cause:?}"),
        )
    }

    fn check_child(&self, supervisor: &Supervisor, id: ChildId) -> Result<(), Broken> {
        let child = self.children.get(&id);
        let slot = child.map(|child| SlotId(child.slot));
        // A child that was given up may count as a draining one or not.
        let in_place = self.in_place(id).is_some();
        let drains = child.filter(|child| !child.is_given_up).map(|_| !in_place);
        let found = drains.map(|_| supervisor.snapshot().is_draining(id));
        check(
            supervisor.slot_of(id) == slot && drains == found,
            "the supervisor knows each child until it exits, and whether it drains",
            || format!("{id:?}: {slot:?}, drains: {drains:?}"),
        )
    }

    /// Checks what must hold whenever the supervisor has no action.
    fn rested(&mut self, supervisor: &Supervisor) -> Result<(), Broken> {
        let is_idle = std::mem::take(&mut self.actions_in_a_row) == 0;
        let was_woken = is_idle && self.wake_at.is_some_and(|at| at <= self.now);
        let healthy = self.healthy;
        while let Some(&Reverse((at, promise))) = self.due.peek()
            && (at <= self.now || self.is_kept(at, promise))
        {
            self.due.pop();
            if at <= self.now && !self.is_kept(at, promise) {
                self.missed(promise)?;
            }
        }
        let has_just_stopped = self.stop.is_some_and(|stop| stop.at == self.now);
        check(
            !was_woken || self.healthy > healthy || has_just_stopped,
            "something is to be done at each deadline",
            || format!("at {}", self.now),
        )?;
        let first = self.due.peek().map(|&Reverse((at, _))| at);
        let deadline = supervisor.deadline();
        let deadline = deadline.map(|at| nanos(at.saturating_duration_since(self.epoch)));
        check(
            deadline.is_none_or(|at| at > self.now),
            "the deadline is in the future once there is no action",
            || format!("{deadline:?} at {}", self.now),
        )?;
        self.wake_at = deadline;
        check(
            first.is_none() || deadline.is_some_and(|at| Some(at) <= first),
            "the deadline is not later than the next thing to do",
            || format!("{deadline:?} at {}, due: {:?}", self.now, self.due.peek()),
        )?;
        check(
            self.stop.is_none() || self.has_closed_listeners || self.accepting > 0,
            "the listeners are closed as soon as no child accepts any more",
            String::new,
        )?;
        check(
            self.is_announced || self.confirmed < self.wanted || self.stop.is_some(),
            "the master is announced as soon as the first child of each slot was started",
            String::new,
        )?;
        self.rollouts.rested(self.may_roll_out(), self.wanted)?;
        let is_healthy = self.is_master_ready && self.healthy == self.wanted;
        check(
            supervisor.is_healthy() == (is_healthy && self.stop.is_none()),
            "the fleet is healthy exactly if the child of each slot is",
            || format!("{} of {} slots", self.healthy, self.wanted),
        )?;
        check(
            supervisor.snapshot().is_announced() == (self.is_announced && self.stop.is_none()),
            "the snapshot has whether the announcement was requested",
            String::new,
        )?;
        self.check_outcome(supervisor, deadline)?;
        self.rests += 1;
        let size = (self.children.len() + self.slots.len()) as u64;
        if self.rests.is_multiple_of(16 + 8 * size) {
            self.compare(supervisor)?;
        }
        Ok(())
    }

    /// Whether the promise is kept, or the reason for it is gone.
    fn is_kept(&self, at: Nanos, promise: Promise) -> bool {
        let alive = |id| {
            let child: Option<&Child> = self.children.get(&id);
            child.filter(|child| child.killed.is_none() && !child.is_given_up)
        };
        let is_open = match promise {
            Promise::Fill(index, starts) => {
                let slot = &self.slots[index];
                let is_wanted = self.stop.is_none() && index < self.wanted;
                is_wanted && slot.child.is_none() && slot.starts == starts
            }
            Promise::Ready(id) => self
                .in_place(id)
                .is_some_and(|child| child.must_be_ready() && child.ready_by(&self.policy) == at),
            Promise::Healthy(id) => self.in_place(id).is_some_and(|child| {
                let is_assumed = child.readiness == Readiness::Assumed;
                child.may_be_healthy() && is_assumed && child.healthy_at(&self.policy) == at
            }),
            Promise::Ask(id) => alive(id).is_some_and(Child::must_be_asked),
            Promise::Kill(id) => alive(id).is_some_and(|child| {
                let is_over = child.kill_at.is_some_and(|kill_at| kill_at <= at);
                child.started.is_some() && (child.has_violated || is_over)
            }),
            Promise::Report(id) => self.fills(id).is_some_and(|child| {
                child.main_ended.is_some() && child.killed.is_none() && !child.has_violated
            }),
            Promise::GiveUp(id) => self
                .children
                .get(&id)
                .is_some_and(|child| !child.is_given_up),
            Promise::Serve(id) => {
                let successor = self.succeeds(id);
                successor.is_some_and(|child| child.soak_until.is_none())
            }
            Promise::Unanswered(id) => {
                self.unanswered.contains(&id) && self.give_up_unanswered_at(id) == at
            }
            Promise::Replace(id) => self.succeeds(id).is_some(),
            Promise::EndRollout(number) => {
                number == self.rollouts.deadlines && self.rollouts.deadline().is_some()
            }
        };
        !is_open
    }

    /// Something was due and has not happened.
    fn missed(&mut self, promise: Promise) -> Result<(), Broken> {
        let promised = match promise {
            Promise::Healthy(id) if self.fills(id).is_some() => {
                self.become_healthy(id);
                return Ok(());
            }
            Promise::Fill(..) => "a slot is filled again when its delay is over",
            Promise::Ready(_) => "a child that is not ready in time is killed",
            Promise::Ask(_) => "a child that leaves its slot is asked to stop",
            Promise::Kill(_) => "a child is killed when its time is over or it broke the protocol",
            Promise::Report(_) => "a slot does not wait for a process whose `main` has ended",
            Promise::GiveUp(_) => "the supervisor does not wait for a child that cannot be killed",
            Promise::Healthy(_) | Promise::Serve(_) => "a successor serves as soon as it is ready",
            Promise::Unanswered(_) => "no stop waits for a start that is not answered",
            Promise::Replace(_) => "a successor that has soaked replaces the child of its slot",
            Promise::EndRollout(_) => "a rollout and a roll-back end within `rollout_timeout`",
        };
        check(false, promised, || format!("{promise:?} at {}", self.now))
    }

    fn check_outcome(
        &mut self,
        supervisor: &Supervisor,
        deadline: Option<Nanos>,
    ) -> Result<(), Broken> {
        let Some(outcome) = supervisor.outcome() else {
            return check(
                self.stop.is_none() || self.awaited > 0,
                "a stop ends when no child is left to wait for",
                String::new,
            );
        };
        if self.outcome.is_some() {
            return Ok(());
        }
        check(
            self.rollouts.is_idle(),
            "each rollout that began gets one verdict",
            String::new,
        )?;
        let mut left: Vec<_> = self.children.keys().copied().collect();
        left.sort_unstable();
        check(
            self.awaited == 0 && self.has_closed_listeners && deadline.is_none(),
            "the outcome is set when no child is left and the listeners are closed",
            || format!("{} children are left", self.awaited),
        )?;
        check(
            outcome.unkillable == left,
            "the outcome names the children that could not be killed",
            || format!("{:?} instead of {left:?}", outcome.unkillable),
        )?;
        self.outcome = Some(outcome.clone());
        Ok(())
    }

    /// Compares everything that the supervisor knows with what happened.
    fn compare(&self, supervisor: &Supervisor) -> Result<(), Broken> {
        assert_rested(supervisor, self.epoch + Duration::from_nanos(self.now));
        for &id in self.children.keys() {
            self.check_child(supervisor, id)?;
        }
        let known: BTreeSet<_> = self.children.keys().copied().collect();
        check(
            supervisor.children().into_iter().eq(known),
            "the supervisor forgets each child that has exited",
            String::new,
        )?;
        let successors = supervisor.fleet().successors().into_iter();
        let successors: BTreeSet<_> = successors.map(|(child, slot, _)| (slot.0, child)).collect();
        check(
            self.rollouts
                .successors
                .iter()
                .map(|(&slot, &child)| (slot, child))
                .eq(successors),
            "the supervisor knows each successor",
            String::new,
        )?;
        let last = |index: usize| self.slots[index].last.filter(|_| self.stop.is_none());
        let slots = (0..self.wanted).map(|index| (SlotId(index), last(index)));
        check(
            supervisor.snapshot().slots().eq(slots),
            "the snapshot has each slot with its last child",
            String::new,
        )?;
        let most = u64::from(self.policy.recover_threshold) + u64::from(self.stop.is_some());
        check(
            supervisor.exits_counted() <= most,
            "the recovery budget is never exceeded without a stop",
            || format!("{} exits", supervisor.exits_counted()),
        )
    }
}

impl Child {
    fn is_unstarted(&self) -> bool {
        self.started.is_none()
    }

    /// Nothing ended its life in the slot yet.
    fn serves(&self) -> bool {
        self.main_ended.is_none() && !self.has_violated && self.killed.is_none()
    }

    fn may_be_healthy(&self) -> bool {
        !self.is_healthy && self.started.is_some() && self.serves()
    }

    /// The stage at which a rollout is refused if this successor fails now.
    fn stage(&self) -> RefusalStage {
        self.soak_until
            .map_or(RefusalStage::Ready, |_| RefusalStage::Soak)
    }

    fn must_be_ready(&self) -> bool {
        self.may_be_healthy() && self.readiness == Readiness::Notified
    }

    fn must_be_asked(&self) -> bool {
        let has_left = self.kill_at.is_some() && self.started.is_some();
        has_left && self.serves() && !self.is_asked && !self.is_given_up
    }

    fn accepts(&self) -> bool {
        !self.has_closed && !self.is_given_up
    }

    fn healthy_at(&self, policy: &Policy) -> Nanos {
        after(self.started, policy.healthy_after)
    }

    fn ready_by(&self, policy: &Policy) -> Nanos {
        after(self.started, policy.ready_timeout)
    }
}

/// The child that an event is about.
pub(super) fn child_of(event: &mut Event) -> Option<&mut ChildId> {
    match event {
        Event::Started { child, .. }
        | Event::StartFailed { child, .. }
        | Event::Ready { child }
        | Event::Readiness { child, .. }
        | Event::MainEnded { child }
        | Event::Closed { child }
        | Event::Violation { child }
        | Event::Exited { child } => Some(child),
        Event::MasterReady
        | Event::HookFailed
        | Event::ListenerLost
        | Event::Resize { .. }
        | Event::RolloutRequested
        | Event::ProgramOpened { .. }
        | Event::ProgramFailed
        | Event::StopRequested { .. } => None,
    }
}

/// The end of a time limit. A limit that no clock can hold ends in 30 years.
fn after(start: Option<Nanos>, limit: Duration) -> Nanos {
    const FAR: Duration = Duration::from_hours(30 * 365 * 24);
    let limit = nanos(if limit == Duration::MAX { FAR } else { limit });
    start.map_or(Nanos::MAX, |start| start.saturating_add(limit))
}
