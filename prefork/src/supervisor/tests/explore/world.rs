//! The facts about a world: what events and actions mean, recorded in the simplest way.

use std::time::Instant;

use super::{Announcement, Process, SlotFacts, StopFacts, TICK, World, child_of, ensure};
use crate::explore::Broken;
use crate::supervisor::children::ChildLocation;
use crate::supervisor::draining::DrainState;
use crate::supervisor::policy::after;
use crate::supervisor::slot::SlotState;
use crate::supervisor::{
    Action, ChildId, Event, Gate, KillReason, NormalForm, Policy, ProgramId, Readiness,
    RefusalStage, SlotId, StartFailure, StopCause, StopMode, Window,
};

impl World {
    pub(super) fn normal_form(&self, policy: &Policy) -> Vec<u8> {
        let Self {
            supervisor,
            now,
            processes,
            slots,
            standbys,
            announcement,
            replacements,
            was_healthy,
            stop,
            delay_until,
            has_closed_listeners,
            rollouts,
            // The supervisor writes them.
            sockets: _,
            // Ids count by their order.
            last_id: _,
        } = self;
        let mut form = NormalForm::new(*now);
        supervisor.write_normal(&mut form);
        for process in processes {
            process.write_normal(&mut form);
            form.number(rollouts.rank(process.program));
        }
        for slot in slots.iter().chain(standbys) {
            let SlotFacts {
                program,
                was_requested,
                was_confirmed,
                replace_at,
                is_off,
            } = slot;
            form.number(rollouts.rank(*program));
            form.flag(*was_requested);
            form.flag(*was_confirmed);
            form.optional_time(*replace_at);
            form.flag(*is_off);
        }
        form.number(*announcement as u64);
        for at in self.counted(replacements, policy) {
            form.time(match policy.recover_window {
                Window::Sliding(window) => at + window,
                Window::Forever => *now,
            });
        }
        form.flag(*was_healthy);
        form.flag(stop.is_some_and(|stop| stop.is_immediate));
        form.flag(stop.is_some());
        form.optional_time(*delay_until);
        form.flag(*has_closed_listeners);
        rollouts.write_normal(&mut form);
        form.finish()
    }

    /// The replacements that count now.
    pub(super) fn counted(&self, replacements: &[Instant], policy: &Policy) -> Vec<Instant> {
        let counts = |at: &Instant| match policy.recover_window {
            Window::Sliding(window) => !self.was_healthy || self.now < *at + window,
            Window::Forever => true,
        };
        replacements.iter().copied().filter(counts).collect()
    }

    pub(super) fn process(&mut self, child: ChildId) -> Option<&mut Process> {
        self.processes
            .iter_mut()
            .find(|process| process.id == child)
    }

    pub(super) fn is_master_ready(&self) -> bool {
        self.announcement == Announcement::Done
    }

    /// This world after the supervisor had nothing to do at this moment.
    pub(super) fn rested(&self, policy: &Policy) -> Option<Self> {
        let mut world = self.clone();
        // The move `Ask` reports an error.
        matches!(world.ask(policy), Ok(None)).then_some(world)
    }

    // Events.

    pub(super) fn tell(&mut self, event: Event, policy: &Policy) {
        self.supervisor.handle(event, self.now);
        if child_of(event).is_some_and(|child| self.process(child).is_some()) {
            self.sockets.note(event);
        }
        self.note(event, policy);
        self.note_sockets();
    }

    /// Children that have left their slots close the sockets of other slots.
    fn note_sockets(&mut self) {
        let processes = &self.processes;
        let find = |id| processes.iter().find(|process| process.id == id);
        let fills = |id| find(id).is_some_and(|process| process.fills_slot);
        self.sockets.retain(fills, |id| find(id).is_some());
    }

    /// The child of each slot, if it serves.
    pub(super) fn serving(&self) -> Vec<Option<ChildId>> {
        let mut serving = vec![None; self.slots.len()];
        for process in self.processes.iter().filter(|process| process.serves()) {
            if let Some(slot) = serving.get_mut(process.slot) {
                *slot = Some(process.id);
            }
        }
        serving
    }

    #[expect(clippy::too_many_lines, reason = "one arm per event")]
    pub(super) fn note(&mut self, event: Event, policy: &Policy) {
        let now = self.now;
        match event {
            Event::Started { child, readiness } => self.note_started(child, readiness, policy),
            Event::StartFailed { child, failure } => {
                let Some(process) = self.process(child).copied() else {
                    return;
                };
                // A start that was given up is answered too late.
                if process.is_started || process.was_given_up {
                    return;
                }
                self.note_gone(child, policy);
                let may_retry = match failure {
                    StartFailure::Transient => true,
                    StartFailure::Permanent => self.was_healthy,
                    StartFailure::Refused => false,
                };
                if process.is_successor {
                    self.note_failure(RefusalStage::Start, policy);
                }
                let is_refused_standby =
                    SlotId(process.slot).is_standby() && failure == StartFailure::Refused;
                if process.fills_slot && is_refused_standby {
                    *self.position_mut(process.slot) = SlotFacts {
                        is_off: true,
                        ..SlotFacts::new()
                    };
                }
                let may_continue = may_retry && self.is_master_ready() || is_refused_standby;
                let ends = process.fills_slot && !may_continue;
                if ends {
                    let slot = SlotId(process.slot);
                    let cause = StopCause::StartFailed {
                        slot,
                        child,
                        failure,
                    };
                    self.note_stop(cause, policy);
                }
            }
            Event::Ready { child } => {
                if let Some(process) = self.process(child)
                    && process.may_become_healthy()
                {
                    process.become_healthy();
                    let fills_slot = process.fills_slot;
                    self.was_healthy |= fills_slot;
                } else if let Some(process) = self.process(child) {
                    process.is_unready = false;
                }
            }
            Event::Unready { child } => self.note_unready(child, policy),
            Event::Readiness { child, readiness } => {
                let at_once = policy.healthy_after.is_zero();
                if let Some(process) = self.process(child)
                    && process.may_become_healthy()
                {
                    process.readiness = readiness;
                    if at_once && readiness == Readiness::Assumed {
                        process.become_healthy();
                        let fills_slot = process.fills_slot;
                        self.was_healthy |= fills_slot;
                    }
                }
            }
            Event::MainEnded { child } => {
                let kill_at = now + policy.shutdown_grace_period;
                if let Some(process) = self.process(child)
                    && process.is_started
                    && !process.was_killed
                    && !process.has_violated
                    && !process.has_main_ended
                {
                    process.has_main_ended = true;
                    process.ready_by = None;
                    process.healthy_at = None;
                    if process.fills_slot {
                        process.exit_by = Some(kill_at.min(now + policy.exit_timeout));
                        process.kill_at = Some(kill_at);
                        let slot = process.slot;
                        self.note_failure_in(slot, policy);
                    } else if process.is_successor {
                        let stage = process.stage();
                        process.is_successor = false;
                        process.kill_at = Some(kill_at);
                        self.note_older_has_no_time(child);
                        self.note_failure(stage, policy);
                    }
                }
            }
            Event::Closed { child } => {
                if let Some(process) = self.process(child) {
                    process.has_closed = true;
                }
            }
            Event::Violation { child } => {
                if let Some(process) = self.process(child)
                    && process.is_started
                    && !process.was_killed
                {
                    process.has_violated = true;
                    process.exit_by = None;
                    process.ready_by = None;
                    process.healthy_at = None;
                    if process.fills_slot {
                        let slot = process.slot;
                        self.note_failure_in(slot, policy);
                    } else if process.is_successor {
                        let stage = process.stage();
                        process.is_successor = false;
                        self.note_older_has_no_time(child);
                        self.note_failure(stage, policy);
                    }
                }
            }
            Event::Exited { child } => {
                let Some(process) = self.process(child).copied() else {
                    return;
                };
                self.note_gone(child, policy);
                if process.is_successor {
                    let stage = if process.is_started {
                        process.stage()
                    } else {
                        RefusalStage::Start
                    };
                    self.note_failure(stage, policy);
                }
                if process.fills_slot && !process.is_started && !self.is_master_ready() {
                    let cause = StopCause::StartFailed {
                        slot: SlotId(process.slot),
                        child,
                        failure: StartFailure::Transient,
                    };
                    self.note_stop(cause, policy);
                }
            }
            Event::MasterReady => {
                if self.announcement == Announcement::Asked && self.stop.is_none() {
                    self.announcement = Announcement::Done;
                }
            }
            // `Sockets` has noted them.
            Event::AdoptionOffered { .. }
            | Event::AdoptionFailed { .. }
            | Event::Suspended { .. }
            | Event::Resumed { .. } => {}
            Event::HookFailed => self.note_stop(StopCause::HookFailed, policy),
            Event::ListenerLost => self.note_stop(StopCause::ListenerLost, policy),
            Event::Resize { slots } => self.note_size(slots.get(), policy),
            Event::RolloutRequested => self.rollouts.is_requested |= self.stop.is_none(),
            Event::ProgramOpened { program } => self.note_program(Some(program), policy),
            Event::ProgramFailed => self.note_program(None, policy),
            Event::StopRequested { urgency } => {
                let may_wait = self.stop.is_none() && self.is_master_ready();
                let has_delay = !policy.drain_delay.is_zero();
                if may_wait && has_delay && urgency == StopMode::Graceful {
                    return self.note_delay(policy);
                }
                self.note_stop(StopCause::Requested, policy);
                if urgency == StopMode::Immediate && self.delay_until.is_some() {
                    self.note_drain(policy);
                }
                if self.supervisor.outcome().is_none()
                    && let (StopMode::Immediate, Some(stop)) = (urgency, &mut self.stop)
                {
                    stop.is_immediate = true;
                    for process in &mut self.processes {
                        process.has_no_time(now);
                    }
                }
            }
        }
    }

    fn note_unready(&mut self, child: ChildId, policy: &Policy) {
        let now = self.now;
        let Some(process) = self.process(child) else {
            return;
        };
        if process.may_become_healthy() {
            // It can report its readiness.
            process.readiness = Readiness::Notified;
        } else if process.serves() {
            process.is_unready = true;
        } else if process.is_successor && process.is_healthy {
            let stage = process.stage();
            process.leave(now, policy);
            self.note_older_has_no_time(child);
            self.note_failure(stage, policy);
        }
    }

    pub(super) fn note_started(&mut self, child: ChildId, readiness: Readiness, policy: &Policy) {
        let now = self.now;
        let Some(process) = self.process(child) else {
            return;
        };
        if process.is_started {
            return;
        }
        process.is_started = true;
        process.give_up_at = None;
        if !process.fills_slot && !process.is_successor {
            return;
        }
        process.readiness = readiness;
        process.ready_by = Some(after(now, policy.ready_timeout));
        process.healthy_at = Some(now + policy.healthy_after);
        let (slot, fills_slot) = (process.slot, process.fills_slot);
        let is_healthy = readiness == Readiness::Assumed && policy.healthy_after.is_zero();
        if is_healthy {
            process.become_healthy();
        }
        self.was_healthy |= is_healthy && fills_slot;
        self.position_mut(slot).was_confirmed |= fills_slot;
    }

    pub(super) fn note_gone(&mut self, child: ChildId, policy: &Policy) {
        let Some(index) = self
            .processes
            .iter()
            .position(|process| process.id == child)
        else {
            return;
        };
        let process = self.processes.remove(index);
        if process.fills_slot && self.stop.is_none() {
            self.note_empty(process.slot, policy);
        }
    }

    /// The child of this slot has left it unexpectedly.
    fn note_empty(&mut self, slot: usize, policy: &Policy) {
        let (now, accepted) = (self.now, self.rollouts.accepted);
        let facts = self.position_mut(slot);
        if facts.program == accepted {
            facts.replace_at = Some(now + policy.recover_interval);
        } else {
            facts.replace_at = Some(now);
            self.note_failure_in(slot, policy);
        }
    }

    pub(super) fn note_size(&mut self, size: usize, policy: &Policy) {
        if self.stop.is_some() {
            return;
        }
        let now = self.now;
        let is_removed = |slot| slot >= size && !SlotId(slot).is_standby();
        let removed = |process: &Process| is_removed(process.slot) && process.fills_slot;
        let slots: Vec<_> = self
            .processes
            .iter()
            .filter(|process| removed(process))
            .collect();
        let slots: Vec<_> = slots.iter().map(|process| process.slot).collect();
        for process in &mut self.processes {
            let has_role = process.fills_slot || process.is_successor;
            if has_role && is_removed(process.slot) {
                process.leave(now, policy);
            } else if slots.contains(&process.slot) && !process.fills_slot {
                // A younger child of the slot begins to drain.
                process.has_no_time(now);
            }
        }
        self.slots.resize(size, SlotFacts::new());
    }

    pub(super) fn note_stop(&mut self, cause: StopCause, policy: &Policy) {
        if self.stop.is_some() {
            return;
        }
        let is_immediate = false;
        self.stop = Some(StopFacts {
            cause,
            is_immediate,
        });
        for slot in self.slots.iter_mut().chain(&mut self.standbys) {
            slot.replace_at = None;
        }
        self.note_drain(policy);
    }

    /// All children that have a role leave.
    fn note_drain(&mut self, policy: &Policy) {
        for process in &mut self.processes {
            if process.fills_slot || process.is_successor {
                process.leave(self.now, policy);
            }
        }
        self.rollouts.is_requested = false;
        self.delay_until = None;
    }

    /// A stop begins, and the children of the slots serve on.
    fn note_delay(&mut self, policy: &Policy) {
        self.stop = Some(StopFacts {
            cause: StopCause::Requested,
            is_immediate: false,
        });
        for slot in self.slots.iter_mut().chain(&mut self.standbys) {
            slot.replace_at = None;
        }
        // In a stop, an older child of the slot keeps what is left of its grace period.
        for process in &mut self.processes {
            if process.is_successor || (process.is_standby() && process.fills_slot) {
                process.leave(self.now, policy);
            }
        }
        self.rollouts.is_requested = false;
        self.delay_until = Some(self.now + policy.drain_delay);
    }

    /// The supervisor ended the delay of a stop by itself.
    fn note_end_of_delay(&mut self, policy: &Policy) -> Result<(), Broken> {
        let Some(until) = self.delay_until else {
            return Ok(());
        };
        if self.supervisor.snapshot().delayed_until().is_some() {
            return Ok(());
        }
        let accepts = self.processes.iter().any(Process::accepts);
        ensure(
            until <= self.now || !accepts,
            "children serve on for drain_delay, unless none accepts any more",
        )?;
        self.note_drain(policy);
        Ok(())
    }

    /// Records what is true because time has passed.
    ///
    /// The order of what is due at one moment is not defined, so it is read from the supervisor.
    pub(super) fn note_time(&mut self) {
        let now = self.now;
        for process in &mut self.processes {
            let slot = self.supervisor.fleet().slot(SlotId(process.slot));
            let location = self.supervisor.fleet().child(process.id);
            let location = location.map(|child| child.location);
            let serves = match location {
                Some(ChildLocation::Successor(successor)) => successor.state.is_serving(),
                _ => matches!(slot, SlotState::Serving { child, .. } if child == process.id),
            };
            if serves && process.is_healthy_by_time(now) {
                process.become_healthy();
                self.was_healthy |= process.fills_slot;
            }
            let is_given_up =
                location == Some(ChildLocation::DrainingChild(DrainState::Unkillable));
            let is_over = process.give_up_at.is_some_and(|at| at <= now);
            if is_over && is_given_up && !process.is_started {
                process.was_given_up = true;
            }
        }
    }

    pub(super) fn pass(&mut self, policy: &Policy) -> Result<(), Broken> {
        let action = self.ask(policy)?;
        ensure(action.is_none(), "time passes when nothing is left to do")?;
        self.replacements = self.counted(&self.replacements, policy);
        self.now += TICK;
        Ok(())
    }

    // Actions.

    pub(super) fn ask(&mut self, policy: &Policy) -> Result<Option<Action>, Broken> {
        let was_stopping = self.supervisor.is_stopping();
        let had_ended = self.supervisor.outcome().is_some();
        let was_healthy = self.is_fleet_healthy();
        let action = self.supervisor.next_action(self.now);
        self.note_end_of_delay(policy)?;
        self.note_time();
        self.note_standbys(was_healthy, policy)?;
        self.note_rollout_time(action, policy);
        if self.supervisor.is_stopping() && !was_stopping {
            self.note_over_recovery(policy)?;
        }
        if let (false, Some(outcome)) = (had_ended, self.supervisor.outcome()) {
            let left = self.processes.iter().map(|process| process.id);
            ensure(
                left.eq(outcome.unkillable.iter().copied()),
                "the outcome names the children that did not exit, and no other",
            )?;
        }
        if let Some(action) = action {
            self.perform(action, policy)?;
        }
        self.note_sockets();
        self.check_refusal()?;
        Ok(action)
    }

    /// The supervisor began a stop by itself.
    pub(super) fn note_over_recovery(&mut self, policy: &Policy) -> Result<(), Broken> {
        let now = self.now;
        let is_due = |slot: &SlotFacts| slot.replace_at.is_some_and(|at| at <= now);
        let mut positions = self.slots.iter().chain(&self.standbys);
        let mut processes = self.processes.iter();
        let by_time = processes.any(|other| other.is_standby() && other.is_healthy_by_time(now));
        let is_due = positions.any(is_due) || self.has_ready_standby() || by_time;
        let is_due = self.is_master_ready() && is_due;
        let mut processes = self.processes.iter();
        let may_be_healthy = processes.any(|process| process.is_healthy_by_time(now));
        let stop = self.supervisor.snapshot().stop();
        let cause = stop.expect("a stop has begun").cause;
        if let StopCause::OverRecovery { was_healthy, .. } = cause {
            self.was_healthy |= was_healthy && may_be_healthy;
        }
        let exits = self.counted(&self.replacements, policy).len() as u64 + 1;
        let threshold = u64::from(policy.recover_threshold);
        ensure(
            is_due && exits > threshold,
            "the master ends by itself only at an exit beyond recover_threshold",
        )?;
        let is_named = matches!(cause, StopCause::OverRecovery { exits: e, .. } if e == exits);
        ensure(
            is_named,
            "a stop because of recovery contains how many exits counted",
        )?;
        self.note_stop(cause, policy);
        Ok(())
    }

    #[expect(clippy::too_many_lines, reason = "one arm per action")]
    pub(super) fn perform(&mut self, action: Action, policy: &Policy) -> Result<(), Broken> {
        let now = self.now;
        let is_stopping = self.stop.is_some();
        let grace = policy.shutdown_grace_period;
        match action {
            Action::Start {
                slot,
                child,
                program,
                gate,
                ..
            } => match gate {
                Gate::Open if slot.is_standby() => Err("the gate of a standby is closed".into()),
                Gate::Open => self.start_process(slot.0, child, program, policy),
                Gate::Closed if slot.is_standby() => {
                    self.start_process(slot.0, child, program, policy)
                }
                Gate::Closed => {
                    self.check_successor(slot.0, program, policy)?;
                    ensure(child.0 > self.last_id, "an id is never used twice")?;
                    self.last_id = child.0;
                    self.processes.push(Process {
                        fills_slot: false,
                        is_successor: true,
                        ..Process::new(child, slot.0, program)
                    });
                    Ok(())
                }
            },
            Action::ReportHealthy { child } => {
                let process = self.process(child).ok_or("healthy after its exit")?;
                let has_role = process.fills_slot || process.is_successor;
                ensure(
                    process.is_healthy && has_role && !process.was_reported,
                    "a child that has lived for healthy_after is reported once",
                )?;
                process.was_reported = true;
                Ok(())
            }
            Action::AnnounceMasterReady => {
                let all = self.slots.iter().all(|slot| slot.was_confirmed);
                ensure(
                    all && !is_stopping && self.announcement == Announcement::NotYet,
                    "the master is announced once, when every slot was started, before a stop",
                )?;
                self.announcement = Announcement::Asked;
                Ok(())
            }
            Action::Terminate { child, kill_at } => {
                let process = self.process(child).ok_or("asked to stop after its exit")?;
                let is_first = process.is_started && !process.was_terminated;
                ensure(
                    is_first && !process.was_killed && !process.has_main_ended,
                    "a child is asked to stop once, after its start and before its end",
                )?;
                ensure(
                    process.must_leave,
                    "a child is asked to stop only if it must leave",
                )?;
                ensure(
                    process.kill_at == Some(kill_at) && kill_at > now,
                    "a child that is asked to stop has the grace period",
                )?;
                process.was_terminated = true;
                Ok(())
            }
            Action::Kill { child, reason } => {
                let process = self.process(child).ok_or("killed after its exit")?;
                ensure(
                    process.is_started && !process.was_killed,
                    "a child is killed once, after its start",
                )?;
                let holds = match reason {
                    KillReason::NotReady => {
                        process.readiness == Readiness::Notified
                            && process.may_become_healthy()
                            && process.ready_by.is_some_and(|at| at <= now)
                    }
                    KillReason::Violation => process.has_violated,
                    KillReason::OutOfTime => process.kill_at.is_some_and(|at| at <= now),
                };
                ensure(holds, "a child is killed for a reason that is true")?;
                process.was_killed = true;
                process.ready_by = None;
                process.healthy_at = None;
                process.exit_by = None;
                process.kill_at = None;
                process.give_up_at = Some(now + policy.kill_timeout);
                if process.is_successor {
                    process.is_successor = false;
                    self.note_older_has_no_time(child);
                    self.note_failure(RefusalStage::Ready, policy);
                }
                Ok(())
            }
            Action::GiveUp { child } => {
                let process = self.process(child).ok_or("given up after its exit")?;
                let is_due = process.give_up_at.is_some_and(|at| at <= now);
                ensure(
                    process.was_killed && is_due && !process.was_given_up,
                    "a child is given up once, kill_timeout after its kill",
                )?;
                process.was_given_up = true;
                process.give_up_at = None;
                self.leave_slot(child, policy);
                Ok(())
            }
            Action::ReportRunning { child, kill_at } => {
                let process = self.process(child).ok_or("reported after its exit")?;
                ensure(
                    process.has_main_ended
                        && process.fills_slot
                        && !process.has_violated
                        && process.exit_by.is_some_and(|at| at <= now),
                    "a process leaves its slot exit_timeout after its main has ended",
                )?;
                ensure(
                    process.kill_at == Some(kill_at) && kill_at <= now + grace,
                    "the grace period counts from the end of main",
                )?;
                let slot = process.slot;
                for process in &mut self.processes {
                    let drains = !process.fills_slot && !process.is_successor;
                    if process.slot == slot && drains {
                        process.has_no_time(now);
                    }
                }
                self.leave_slot(child, policy);
                Ok(())
            }
            Action::Promote {
                slot,
                child,
                previous,
            } => self.promote(slot, child, previous, policy),
            Action::Adopt { .. } | Action::Release { .. } => {
                let is_draining = is_stopping && self.delay_until.is_none();
                ensure(!is_draining, "no socket is passed once all children drain")?;
                let serving = self.serving();
                let slot_of = |id| serving.iter().position(|&child| child == Some(id));
                self.sockets.perform(action, serving.len(), slot_of)?;
                Ok(())
            }
            Action::OpenProgram
            | Action::Serve { .. }
            | Action::ReportReplaced { .. }
            | Action::ReportVerdict(_) => self.perform_rollout(action, policy),
            Action::CloseListeners => {
                ensure(
                    is_stopping && !self.has_closed_listeners,
                    "the listeners are closed once, in a stop",
                )?;
                self.has_closed_listeners = true;
                let accepts = self.processes.iter().any(Process::accepts);
                ensure(
                    !accepts,
                    "the queue is kept while a child may accept from it",
                )
            }
        }
    }

    pub(super) fn leave_slot(&mut self, child: ChildId, policy: &Policy) {
        let is_stopping = self.stop.is_some();
        let Some(process) = self.process(child) else {
            return;
        };
        let filled = std::mem::replace(&mut process.fills_slot, false);
        process.exit_by = None;
        let slot = process.slot;
        if filled && !is_stopping {
            self.note_empty(slot, policy);
        }
    }

    pub(super) fn start_process(
        &mut self,
        slot: usize,
        id: ChildId,
        program: ProgramId,
        policy: &Policy,
    ) -> Result<(), Broken> {
        ensure(
            program == self.rollouts.accepted,
            "recovery starts the accepted program",
        )?;
        ensure(self.stop.is_none(), "no child is started once a stop began")?;
        ensure(id.0 > self.last_id, "an id is never used twice")?;
        self.last_id = id.0;
        let facts = self.position(slot).copied();
        let facts = facts.ok_or("a child is started only in a slot that exists")?;
        let mut others = self.processes.iter();
        let is_free = others.all(|other| other.slot != slot || !other.fills_slot);
        ensure(is_free, "a slot has at most one serving child")?;
        if facts.was_requested {
            let is_due = facts.replace_at.is_some_and(|at| at <= self.now);
            ensure(
                is_due && self.is_master_ready(),
                "a child is replaced after recover_interval, when the master is ready",
            )?;
            if facts.program == self.rollouts.accepted {
                self.count_exit(policy)?;
            }
            ensure(
                SlotId(slot).is_standby() || !self.has_ready_standby(),
                "a slot is filled by a standby if one is ready",
            )?;
        }
        ensure(
            !SlotId(slot).is_standby() || facts.replace_at.is_some_and(|at| at <= self.now),
            "a standby is started when it is due",
        )?;
        let facts = self.position_mut(slot);
        facts.program = program;
        facts.was_requested = true;
        facts.replace_at = None;
        self.processes.push(Process::new(id, slot, program));
        Ok(())
    }

    /// A child that left its slot unexpectedly is replaced.
    pub(super) fn count_exit(&mut self, policy: &Policy) -> Result<(), Broken> {
        self.replacements = self.counted(&self.replacements, policy);
        self.replacements.push(self.now);
        ensure(
            self.replacements.len() as u64 <= u64::from(policy.recover_threshold),
            "no more children are replaced than recover_threshold",
        )
    }
}

impl Process {
    pub(super) fn new(id: ChildId, slot: usize, program: ProgramId) -> Self {
        Self {
            id,
            slot,
            program,
            is_started: false,
            fills_slot: true,
            is_successor: false,
            soak_until: None,
            must_leave: false,
            readiness: Readiness::Notified,
            is_healthy: false,
            is_unready: false,
            was_reported: false,
            has_closed: false,
            has_violated: false,
            has_main_ended: false,
            was_terminated: false,
            was_killed: false,
            was_given_up: false,
            ready_by: None,
            healthy_at: None,
            exit_by: None,
            kill_at: None,
            give_up_at: None,
        }
    }

    pub(super) fn write_normal(&self, form: &mut NormalForm) {
        let Self {
            // Ids count by their order.
            id: _,
            slot,
            // It is written with the facts about rollouts.
            program: _,
            is_started,
            fills_slot,
            is_successor,
            soak_until,
            must_leave,
            readiness,
            is_healthy,
            is_unready,
            // One that is not healthy by time is never reported.
            was_reported: _,
            has_closed,
            has_violated,
            has_main_ended,
            was_terminated,
            was_killed,
            was_given_up,
            ready_by,
            healthy_at,
            exit_by,
            kill_at,
            give_up_at,
        } = self;
        let standby = SlotId(*slot).standby_number();
        form.number(standby.map_or(*slot, |number| 100 + number) as u64);
        form.flag(*is_started);
        form.flag(*fills_slot);
        form.flag(*is_successor);
        form.optional_time(*soak_until);
        form.flag(*must_leave);
        form.flag(*readiness == Readiness::Notified);
        form.flag(*is_healthy);
        form.flag(*is_unready);
        form.flag(*has_closed);
        form.flag(*has_violated);
        form.flag(*has_main_ended);
        form.flag(*was_terminated);
        form.flag(*was_killed);
        form.flag(*was_given_up);
        form.optional_time(*ready_by);
        form.optional_time(*healthy_at);
        form.optional_time(*exit_by);
        form.optional_time(*kill_at);
        form.optional_time(*give_up_at);
    }

    pub(super) fn may_become_healthy(&self) -> bool {
        let is_over = self.has_violated || self.has_main_ended || self.was_killed;
        let has_role = self.fills_slot || self.is_successor;
        self.is_started && has_role && !self.is_healthy && !is_over
    }

    pub(super) fn is_healthy_by_time(&self, now: Instant) -> bool {
        let is_observed = self.readiness == Readiness::Notified;
        let is_due = self.healthy_at.is_some_and(|at| at <= now);
        is_due && !is_observed && self.may_become_healthy()
    }

    pub(super) fn become_healthy(&mut self) {
        self.is_healthy = true;
        self.ready_by = None;
        self.healthy_at = None;
        self.readiness = Readiness::Notified;
    }

    /// It leaves its slot and drains.
    pub(super) fn leave(&mut self, now: Instant, policy: &Policy) {
        self.fills_slot = false;
        self.is_successor = false;
        self.is_unready = false;
        self.soak_until = None;
        self.must_leave = true;
        self.ready_by = None;
        self.healthy_at = None;
        self.exit_by = None;
        self.readiness = Readiness::Notified;
        if !self.was_killed {
            let kill_at = now + policy.shutdown_grace_period;
            self.kill_at = Some(self.kill_at.map_or(kill_at, |at| at.min(kill_at)));
        }
        if !self.is_started {
            self.give_up_at = self.kill_at.map(|at| at + policy.kill_timeout);
        }
    }

    /// The rest of its grace period is removed.
    pub(super) fn has_no_time(&mut self, now: Instant) {
        if let Some(kill_at) = self.kill_at {
            let left = kill_at.saturating_duration_since(now);
            self.kill_at = Some(kill_at.min(now));
            if !self.is_started {
                self.give_up_at = self.give_up_at.map(|at| at - left);
            }
        }
    }

    pub(super) fn accepts(&self) -> bool {
        !self.has_closed && !self.was_given_up
    }

    pub(super) fn serves(&self) -> bool {
        let is_over = self.has_violated || self.was_killed || self.has_main_ended;
        self.fills_slot && self.is_healthy && !self.is_unready && !is_over
    }

    /// Whether it drains in its grace period.
    pub(super) fn drains(&self) -> bool {
        let has_role = self.fills_slot || self.is_successor;
        self.is_started && !has_role && !self.was_killed && !self.was_given_up
    }
}
