//! The promises, as checks of one world.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{Announcement, Begins, Process, UNKNOWN, World, child_events, ensure, socket_events};
use crate::explore::Broken;
use crate::supervisor::{Action, ChildId, Event, Policy, ProgramId, Readiness, SlotId, StopMode};

impl World {
    /// Checks what holds between any two calls.
    pub(super) fn check_always(&self) -> Result<(), Broken> {
        let [scan, index] = self.supervisor.fleet().scan_and_index();
        ensure(scan == index, "the index of deadlines equals the full scan")?;
        let ids: Vec<_> = self.processes.iter().map(|process| process.id).collect();
        ensure(
            self.supervisor.children() == ids,
            "the supervisor knows every process that has not exited",
        )?;
        for process in &self.processes {
            let fills = self.supervisor.child_in(SlotId(process.slot)) == Some(process.id);
            ensure(
                fills == process.fills_slot && self.is_in_its_slot(process),
                "a child fills its slot until it exits, is given up, outlives its main or drains",
            )?;
        }
        let snapshot = self.supervisor.snapshot();
        ensure(
            snapshot.slots().len() == self.slots.len(),
            "the fleet has as many slots as were requested",
        )?;
        ensure(
            self.supervisor.is_stopping() == self.stop.is_some(),
            "a stop has a cause and does not end without an outcome",
        )?;
        if let (Some(stop), Some(facts)) = (snapshot.stop(), self.stop) {
            ensure(stop.cause == facts.cause, "the first cause of a stop stays")?;
            let is_immediate = stop.mode == StopMode::Immediate;
            ensure(
                is_immediate == facts.is_immediate,
                "a stop is immediate once that was requested",
            )?;
        }
        Ok(())
    }

    pub(super) fn is_in_its_slot(&self, process: &Process) -> bool {
        self.supervisor.slot_of(process.id) == Some(SlotId(process.slot))
    }

    /// Checks that an event about a child that has exited or never existed changes nothing.
    pub(super) fn check_stale_events(&self, policy: &Policy) -> Result<(), Broken> {
        let mut world = self.clone();
        let exited = (1..=self.last_id).rev().map(ChildId);
        let exited = exited.filter(|&id| self.processes.iter().all(|process| process.id != id));
        for child in exited.chain([UNKNOWN]).take(1) {
            for event in child_events(child).into_iter().chain(socket_events(child)) {
                world.supervisor.handle(event, self.now);
            }
        }
        ensure(
            world.normal_form(policy) == self.normal_form(policy),
            "an event about a child that has exited changes nothing",
        )
    }

    /// Checks what holds when the supervisor has nothing to do at this moment.
    pub(super) fn check_rested(&self) -> Result<(), Broken> {
        let now = self.now;
        let deadline = self.supervisor.deadline();
        ensure(
            deadline.is_none_or(|at| at > now),
            "without an action, the deadline is in the future",
        )?;
        for process in &self.processes {
            process.check_rested(now)?;
        }
        for slot in 0..self.slots.len() {
            self.check_slot(slot)?;
        }
        self.check_standbys_rested()?;
        self.check_sockets()?;
        ensure(
            self.supervisor.is_healthy() == self.is_fleet_healthy(),
            "the fleet is healthy if the child of every slot is",
        )?;
        let confirmed = self.slots.iter().all(|slot| slot.was_confirmed);
        if self.stop.is_none() {
            ensure(
                !confirmed || self.announcement != Announcement::NotYet,
                "the master is announced as soon as every slot was started",
            )?;
        } else {
            let accepts = self.processes.iter().any(Process::accepts);
            ensure(
                self.has_closed_listeners || accepts,
                "in a stop the listeners are closed as soon as no child accepts",
            )?;
        }
        ensure(
            self.delay_until.is_none_or(|until| until > now),
            "a stop is delayed for drain_delay at most",
        )?;
        self.check_rollout_rested()?;
        self.check_outcome()
    }

    /// Checks which children hold the sockets of each slot.
    fn check_sockets(&self) -> Result<(), Broken> {
        let is_draining = self.stop.is_some() && self.delay_until.is_none();
        let width = self.supervisor.ring_width();
        if is_draining || width == 0 {
            return Ok(());
        }
        let is_complete = self.supervisor.fleet().ring.is_complete();
        ensure(
            is_complete || !self.supervisor.is_healthy(),
            "the ring is complete once each slot serves",
        )?;
        self.sockets
            .check_rested(&self.serving(), width, is_complete)?;
        Ok(())
    }

    /// Checks that a slot is filled, or will be.
    pub(super) fn check_slot(&self, slot: usize) -> Result<(), Broken> {
        let of_slot = self.processes.iter().filter(|process| process.slot == slot);
        let filling = of_slot.clone().filter(|process| process.fills_slot).count();
        let draining = of_slot.filter(|process| process.drains()).count();
        ensure(filling <= 1, "a slot has at most one serving child")?;
        // In a stop, an older child of the slot keeps what is left of its grace period.
        ensure(
            draining <= 1 || self.stop.is_some(),
            "a slot has at most one draining child",
        )?;
        if self.stop.is_some() || filling == 1 {
            return Ok(());
        }
        let replace_at = self.position(slot).and_then(|facts| facts.replace_at);
        ensure(
            replace_at.is_some_and(|at| !self.is_master_ready() || at > self.now),
            "an empty slot is filled as soon as its child is due",
        )
    }

    /// Checks that something will happen: a deadline, an awaited fact, or the outcome.
    pub(super) fn check_outcome(&self) -> Result<(), Broken> {
        let is_awaited = |process: &Process| !process.was_given_up;
        let awaits = self.processes.iter().any(is_awaited);
        let Some(outcome) = self.supervisor.outcome() else {
            let is_announcing = self.announcement == Announcement::Asked;
            let has_deadline = self.supervisor.deadline().is_some();
            ensure(
                has_deadline || (self.stop.is_none() && (awaits || is_announcing)),
                "a deadline or an awaited fact exists unless the master has ended",
            )?;
            return ensure(
                awaits || self.stop.is_none(),
                "a stop ends as soon as no child is left to wait for",
            );
        };
        ensure(
            !awaits && self.has_closed_listeners && self.stop.is_some(),
            "a fleet ends by a stop, without listeners, and waits for every child",
        )?;
        let left: BTreeSet<_> = self.processes.iter().map(|process| process.id).collect();
        ensure(self.supervisor.deadline().is_none(), "an outcome is final")?;
        ensure(
            left.iter().all(|child| outcome.unkillable.contains(child)),
            "the outcome names every child that did not exit",
        )
    }

    /// Checks where the world goes if no child does anything but what it was asked to.
    pub(super) fn check_end(&self, policy: &Policy) -> Result<(), Broken> {
        let mut world = self.clone();
        let grace = policy.drain_delay + policy.shutdown_grace_period;
        let mut longest = grace + policy.kill_timeout * 2;
        if world.rollouts.is_requested || world.rollouts.current.is_some() {
            // The current one, its roll-back, and the one that waits.
            longest += policy.rollout.timeout * 3;
        }
        let seconds = if world.stop.is_some() {
            longest.as_secs() + 1
        } else {
            longest.as_secs() + policy.recover_interval.as_secs() + 3
        };
        for _ in 0..=seconds {
            let is_stopping = world.stop.is_some();
            if !is_stopping {
                world.behave(policy);
            }
            world.settle(policy)?;
            if world.supervisor.outcome().is_some() {
                return Ok(());
            }
            if world.stop.is_none() {
                world.behave(policy);
                world.settle(policy)?;
                if world.supervisor.is_healthy() && world.rollouts.current.is_none() {
                    return Ok(());
                }
            } else if !is_stopping {
                return Ok(());
            }
            world.pass(policy)?;
        }
        Err(if self.stop.is_some() {
            "a stop ends within its budget, whatever the children do".into()
        } else {
            "every slot serves again once the children behave, or the master stops".into()
        })
    }

    /// All children do what they should, and starts succeed.
    pub(super) fn behave(&mut self, policy: &Policy) {
        let program = ProgramId(self.rollouts.last_program + 1);
        self.tell(Event::ProgramOpened { program }, policy);
        let processes = self.processes.clone();
        for process in processes {
            let child = process.id;
            let readiness = Readiness::Notified;
            if !process.is_started {
                self.tell(Event::Started { child, readiness }, policy);
            }
            let is_over = process.has_violated || process.was_killed || process.has_main_ended;
            let has_role = process.fills_slot || process.is_successor;
            if is_over || process.was_terminated || !has_role {
                self.tell(Event::Exited { child }, policy);
            } else {
                self.tell(Event::Ready { child }, policy);
            }
        }
        self.tell(Event::MasterReady, policy);
    }

    /// Brings an empty fleet into the first state of a scope.
    pub(super) fn begin(&mut self, begins: Begins, policy: &Policy) -> Result<(), Broken> {
        if begins == Begins::Empty {
            return Ok(());
        }
        self.settle(policy)?;
        self.behave(policy);
        self.settle(policy)?;
        if begins == Begins::Serving {
            return Ok(());
        }
        self.tell(Event::RolloutRequested, policy);
        self.ask(policy)?;
        let program = ProgramId(1);
        self.tell(Event::ProgramOpened { program }, policy);
        let last = SlotId(self.slots.len() - 1);
        for _ in 0..20 {
            match self.ask(policy)? {
                Some(Action::Start { slot, .. }) if slot == last => return Ok(()),
                Some(_) => {}
                None => self.behave(policy),
            }
        }
        Err("a rollout comes to the last slot".into())
    }

    /// Asks until there is no action. Outside of a stop, starts succeed.
    pub(super) fn settle(&mut self, policy: &Policy) -> Result<(), Broken> {
        let sockets = self.supervisor.ring_width() * self.slots.len();
        let most = 8 + 8 * (self.slots.len() + self.processes.len() + sockets);
        for _ in 0..most {
            match self.ask(policy)? {
                None => return Ok(()),
                Some(Action::Start { child, .. }) => {
                    let readiness = Readiness::Notified;
                    self.tell(Event::Started { child, readiness }, policy);
                }
                Some(Action::AnnounceMasterReady) => self.tell(Event::MasterReady, policy),
                Some(Action::OpenProgram) => {
                    let program = ProgramId(self.rollouts.last_program + 1);
                    self.tell(Event::ProgramOpened { program }, policy);
                }
                Some(_) => {}
            }
        }
        Err("no action repeats for ever".into())
    }
}

impl Process {
    pub(super) fn check_rested(&self, now: Instant) -> Result<(), Broken> {
        let is_later = |at: Option<Instant>| at.is_none_or(|at| at > now);
        if self.was_given_up {
            return Ok(());
        }
        if !self.is_started {
            return ensure(
                is_later(self.give_up_at),
                "no stop waits for a start that is not answered",
            );
        }
        if self.was_killed {
            return ensure(
                is_later(self.give_up_at),
                "no slot and no stop waits for a child that cannot be killed",
            );
        }
        ensure(
            !self.has_violated,
            "a child that violates the protocol is killed",
        )?;
        ensure(
            is_later(self.kill_at),
            "a child is killed when its grace period is over",
        )?;
        ensure(
            is_later(self.exit_by),
            "a process fills its slot for exit_timeout after its main has ended",
        )?;
        let must_report = self.readiness == Readiness::Notified && self.may_become_healthy();
        ensure(
            !must_report || is_later(self.ready_by),
            "a child that is not ready in time is killed",
        )?;
        ensure(
            !self.is_healthy_by_time(now),
            "a child that cannot report readiness is healthy after healthy_after",
        )?;
        ensure(
            !self.must_leave || self.was_terminated || self.has_main_ended,
            "a child that must leave is asked to stop",
        )
    }
}
