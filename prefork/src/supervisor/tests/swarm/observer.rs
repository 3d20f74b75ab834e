//! What the supervisor promises, checked at every call.
//!
//! The observer knows what a caller knows: the events and the actions. It keeps for each promise
//! the time by which it must be kept, so a step costs the same in a large fleet as in a small one.
//! A full comparison with the supervisor follows from time to time.

mod actions;
mod child;
mod standbys;
mod states;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::super::super::children::ChildLocation;
use super::super::super::{
    Action, ChildId, Event, FleetOutcome, Policy, ProgramId, Readiness, Refusal, RefusalStage,
    SlotId, StartFailure, StopCause, StopMode, Supervisor,
};
use super::super::sockets::Sockets;
use super::broken::{Broken, check};
use super::plan::{Nanos, nanos};
use super::rollouts::Rollouts;
use child::Child;

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Observer {
    policy: Policy,
    epoch: Instant,
    /// Also those that were removed.
    slots: Vec<Slot>,
    /// The positions of the standbys. Empty until each slot has served.
    standbys: Vec<Slot>,
    /// The slots that wait for a replacement.
    waiting: BTreeSet<usize>,
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
    /// How many slots have a child that was healthy and has taken back its readiness.
    unready: usize,
    accepting: usize,
    awaited: usize,
    is_announced: bool,
    is_master_ready: bool,
    rollouts: Rollouts,
    sockets: Sockets,
    stop: Option<Stop>,
    /// Until when the children of the slots serve on in the stop, and when that ended.
    delay_until: Option<Nanos>,
    delay_ended: Option<Nanos>,
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
    /// The master rejected the start of a standby: no other one is due.
    is_off: bool,
    /// Children that have left the slot and have not exited.
    older: Vec<ChildId>,
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
    /// Asked the children to stop after the delay of the stop.
    EndDelay,
}

impl Observer {
    pub(super) fn new(policy: Policy, epoch: Instant) -> Self {
        let mut observer = Self {
            epoch,
            slots: Vec::new(),
            standbys: Vec::new(),
            waiting: BTreeSet::new(),
            wanted: 0,
            children: HashMap::new(),
            last_id: 0,
            due: BinaryHeap::new(),
            unanswered: BTreeSet::new(),
            given_up: 0,
            now: 0,
            confirmed: 0,
            healthy: 0,
            unready: 0,
            accepting: 0,
            awaited: 0,
            is_announced: false,
            is_master_ready: false,
            rollouts: Rollouts::new(policy.rollout, policy.ring_width, epoch),
            sockets: Sockets::default(),
            stop: None,
            delay_until: None,
            delay_ended: None,
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

    /// How many actions about sockets can follow one event.
    fn most_sockets(&self) -> usize {
        4 * self.policy.ring_width * self.slots.len()
    }

    /// The child of each slot, if it serves.
    fn serving(&self) -> Vec<Option<ChildId>> {
        let ready = |id: &ChildId| self.children.get(id).is_some_and(Child::is_ready);
        let slots = self.slots[..self.wanted].iter();
        slots.map(|slot| slot.child.filter(ready)).collect()
    }

    /// Whether each slot serves, no other child is left and no rollout is in progress.
    pub(super) fn is_settled(&self) -> bool {
        let off = self.standbys.iter().filter(|slot| slot.is_off).count();
        let standbys = self.policy.standbys - off;
        let is_complete = self.healthy == self.wanted && self.ready_standbys() == standbys;
        let is_complete = is_complete && self.awaited == self.wanted + standbys;
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
        if self.with_role(id).is_none() {
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
        let expected = child.is_healthy && !child.is_unready && child.serves();
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
                if self.with_role(child).is_some_and(Child::may_be_healthy) {
                    self.become_healthy(child);
                } else {
                    self.set_unready(child, false);
                }
            }
            Event::Unready { child } => self.unready(child, at),
            Event::Readiness { child, readiness } => {
                if self.with_role(child).is_some_and(Child::may_be_healthy) {
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
            Event::AdoptionOffered { child }
            | Event::AdoptionFailed { child }
            | Event::Suspended { child }
            | Event::Resumed { child } => {
                if self.children.contains_key(&child) {
                    self.sockets.note(event);
                }
            }
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
                self.rollouts.open_failed();
            }
            Event::StopRequested { urgency } => {
                let may_wait = self.stop.is_none() && self.is_master_ready;
                let has_delay = !self.policy.drain_delay.is_zero();
                if may_wait && has_delay && urgency == StopMode::Graceful {
                    return self.delay_stop(at);
                }
                self.begin_stop(StopCause::Requested, at);
                if urgency == StopMode::Immediate && self.outcome.is_none() {
                    self.end_delay(at);
                    self.stop_at_once(at);
                }
            }
        }
    }

    /// The child, if it fills its slot.
    fn fills(&self, id: ChildId) -> Option<&Child> {
        let child = self.children.get(&id)?;
        (self.slot(child.slot).child == Some(id)).then_some(child)
    }

    /// The child, if it is the successor of its slot.
    fn succeeds(&self, id: ChildId) -> Option<&Child> {
        let child = self.children.get(&id)?;
        let successor = self.rollouts.successors.get(&child.slot);
        (successor == Some(&id)).then_some(child)
    }

    /// The child, if it fills its slot or is its successor.
    fn with_role(&self, id: ChildId) -> Option<&Child> {
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
        let index = child.slot;
        if !SlotId(index).is_standby() && self.slots[index].child == Some(id) {
            let slot = &mut self.slots[index];
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
        let child = self.children.get_mut(&id).expect("it has a role");
        child.is_healthy = true;
        if child.is_standby() {
            // It waits behind its gate. `rested` checks that no slot waits then.
        } else if fills {
            self.healthy += 1;
            self.was_healthy = true;
        } else {
            self.promise(self.now, Promise::Serve(id));
        }
    }

    /// It takes back its readiness: a successor fails, another child keeps its slot.
    fn unready(&mut self, id: ChildId, at: Nanos) {
        if self.with_role(id).is_some_and(Child::may_be_healthy) {
            return self.expect_health(id, Readiness::Notified);
        }
        let serves = |child: &Child| child.is_healthy && child.serves();
        if self.succeeds(id).is_some_and(serves) {
            self.fail(id, at);
        }
        self.set_unready(id, true);
    }

    fn set_unready(&mut self, id: ChildId, is_unready: bool) {
        let serves = |child: &Child| child.is_healthy && child.serves();
        if !self.fills(id).is_some_and(serves) {
            return;
        }
        let child = self.children.get_mut(&id).expect("it fills a slot");
        let was_unready = std::mem::replace(&mut child.is_unready, is_unready);
        if was_unready != is_unready && !child.is_standby() {
            self.healthy -= usize::from(is_unready);
            self.unready -= usize::from(!is_unready);
            self.healthy += usize::from(!is_unready);
            self.unready += usize::from(is_unready);
        }
    }

    /// The child of a slot serves no more: it has failed, or leaves its slot.
    fn count_out(&mut self, id: ChildId) {
        let child = &self.children[&id];
        if child.is_healthy && child.serves() && !child.is_standby() {
            self.healthy -= usize::from(!child.is_unready);
            self.unready -= usize::from(child.is_unready);
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
        let fills = self.slot(slot).child == Some(id);
        let succeeds = self.succeeds(id).is_some();
        self.leave(id, at);
        self.remove(id);
        if succeeds {
            return self.refuse(RefusalStage::Start, Some((SlotId(slot), id)), at);
        }
        if fills && failure == StartFailure::Refused && SlotId(slot).is_standby() {
            self.turn_off(slot);
        }
        let ends = match failure {
            StartFailure::Transient => !self.is_master_ready,
            StartFailure::Permanent if self.was_healthy => !self.is_master_ready,
            // A child may be healthy by time: only the supervisor knows at this moment.
            StartFailure::Permanent if self.first_healthy_at <= self.now => {
                !self.is_master_ready || supervisor.is_stopping()
            }
            StartFailure::Refused => !SlotId(slot).is_standby(),
            StartFailure::Permanent => true,
        };
        if fills && ends {
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
        if fills {
            self.count_out(id);
            self.promise(exit, Promise::Report(id));
        }
        if let Some(child) = self.children.get_mut(&id) {
            child.main_ended = Some(at);
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
        if fills {
            self.count_out(id);
        }
        if let Some(child) = self.children.get_mut(&id) {
            child.has_violated = true;
        }
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
        for older in self.slot(slot).older.clone() {
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
        let is_standby = child.is_standby();
        self.count_out(id);
        let accepted = self.rollouts.accepted;
        let slot = self.slot_mut(index);
        slot.child = None;
        slot.left = at;
        slot.reverts = program != accepted;
        if !slot.reverts {
            // A standby has not served.
            let has_served = was_healthy && !is_standby;
            slot.failures = if has_served { 0 } else { slot.failures + 1 };
        }
        slot.older.push(id);
        if self.is_master_ready {
            self.expect_replacement(index, at);
            if !is_standby && self.stop.is_none() {
                self.waiting.insert(index);
            }
        }
        self.rollouts.slot_left(index);
        if self.rollouts.rolls_out(program) {
            self.refuse(RefusalStage::Serve, Some((SlotId(index), id)), at);
        }
    }

    fn expect_replacement(&mut self, index: usize, now: Nanos) {
        let slot = self.slot(index);
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
            self.slot_mut(child.slot).older.retain(|&older| older != id);
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
                self.waiting.insert(index);
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
        let slot = self.slot(index);
        slot.child.map_or_else(Vec::new, |_| slot.older.clone())
    }

    /// The slot gets no other child. Its child drains.
    fn retire(&mut self, index: usize, at: Nanos) {
        self.waiting.remove(&index);
        if let Some(id) = self.slot_mut(index).child.take() {
            self.count_out(id);
            self.drain(id, at);
        }
    }

    /// The child has left its slot, and has some time to exit.
    fn drain(&mut self, id: ChildId, at: Nanos) {
        let grace = nanos(self.policy.shutdown_grace_period);
        let child = self.children.get_mut(&id).expect("it had a role");
        let since = child.main_ended.map_or(at, |ended| ended.min(at));
        let kill_at = since.saturating_add(grace);
        child.kill_at = Some(kill_at);
        let (slot, is_started) = (child.slot, child.started.is_some());
        self.slot_mut(slot).older.push(id);
        if is_started {
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
        self.note_stop(cause, at);
        for index in 0..self.wanted {
            self.retire(index, at);
        }
    }

    fn note_stop(&mut self, cause: StopCause, at: Nanos) {
        let mode = StopMode::Graceful;
        self.stop = Some(Stop { cause, at, mode });
        self.rollouts.stopped();
        for id in std::mem::take(&mut self.rollouts.successors).into_values() {
            self.drain(id, at);
        }
        for index in self.standby_ids() {
            self.retire(index, at);
        }
    }

    /// A stop begins, and the children of the slots serve on.
    fn delay_stop(&mut self, at: Nanos) {
        self.note_stop(StopCause::Requested, at);
        let until = at.saturating_add(nanos(self.policy.drain_delay));
        self.delay_until = Some(until);
        self.promise(until, Promise::EndDelay);
    }

    /// The children of the slots drain, if the stop was delayed.
    fn end_delay(&mut self, at: Nanos) {
        if self.delay_until.take().is_some() {
            self.delay_ended = Some(at);
            for index in 0..self.wanted {
                self.retire(index, at);
            }
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

    // Questions.

    /// Ends a rollout or a roll-back whose time is over.
    ///
    /// That comes before all else that is due: a program that was not accepted in time replaces no
    /// child.
    fn end_late_rollout(&mut self, now: Nanos) {
        if self.rollouts.deadline().is_none_or(|at| at > now) {
            return;
        }
        if self.rollouts.is_rolling_out() {
            let slowest = self.rollouts.successors.iter().min_by_key(|&(_, id)| id);
            let slowest = slowest.map(|(&slot, &id)| (SlotId(slot), id));
            return self.refuse(RefusalStage::Time, slowest, now);
        }
        for id in self.rollouts.successors.clone().into_values() {
            self.drain_successor(id, now);
        }
        self.rollouts.roll_back_ended();
    }

    pub(super) fn asked(
        &mut self,
        supervisor: &Supervisor,
        action: Option<Action>,
        now: Nanos,
    ) -> Result<(), Broken> {
        self.now = now;
        self.end_late_rollout(now);
        let given_up = self.given_up;
        self.give_up_unanswered(supervisor);
        if self.given_up > given_up {
            self.wake_at = None;
        }
        // After that: a delayed stop continues as soon as no child accepts.
        self.check_stop(supervisor, now)?;
        self.expect_standbys(supervisor)?;
        let Some(action) = action else {
            return self.rested(supervisor);
        };
        self.actions_in_a_row += 1;
        let most = 4 * self.children.len() + self.wanted + 6 + self.most_sockets();
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
}

/// The child that an event is about.
pub(super) fn child_of(event: &mut Event) -> Option<&mut ChildId> {
    match event {
        Event::Started { child, .. }
        | Event::StartFailed { child, .. }
        | Event::Ready { child }
        | Event::Unready { child }
        | Event::Readiness { child, .. }
        | Event::MainEnded { child }
        | Event::Closed { child }
        | Event::Violation { child }
        | Event::AdoptionOffered { child }
        | Event::AdoptionFailed { child }
        | Event::Suspended { child }
        | Event::Resumed { child }
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
