//! Visits every state of small fleets and checks the promises in each.
//!
//! The world is a supervisor, the processes that it believes in, and the facts that the promises
//! are about. Its moves are: ask the supervisor for an action and perform it; any event that a
//! master can report; one second passes. All durations of the policies are a few whole seconds.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::super::children::ChildLocation;
use super::super::draining::DrainState;
use super::super::phase::Phase;
use super::super::policy::after;
use super::super::schedule::DeadlineKey;
use super::super::slot::SlotState;
use super::super::{
    Action, Backoff, ChildId, Event, KillReason, NormalForm, Policy, Readiness, SlotId,
    StartFailure, StopCause, StopMode, Supervisor, Window,
};
use super::table;
use crate::explore::{Broken, Model, explore};

const TICK: Duration = Duration::from_secs(1);

/// A child that no supervisor has started.
const UNKNOWN: ChildId = ChildId(1_000_000);

/// What is explored, and how far.
#[derive(Clone, Debug)]
struct Scope {
    policy: Policy,
    answers: Answers,
    /// The numbers of slots that an operator sets.
    sizes: &'static [usize],
    /// States with more processes are visited, and not the states after them. `usize::MAX` if the
    /// budget limits the processes.
    most_processes: usize,
    /// The number of moves.
    deepest: u32,
}

/// When the mechanism answers a start or an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// Before any other event, like the master. A child sends nothing after a violation.
    AtOnce,
    /// At any time or never, and every event can come at any time.
    AnyTime,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Ask,
    Tell(Event),
    Pass,
}

#[derive(Clone)]
struct World {
    supervisor: Supervisor,
    now: Instant,
    /// Those that have not exited, in ascending order of their ids.
    processes: Vec<Process>,
    slots: Vec<SlotFacts>,
    announcement: Announcement,
    /// Replacements, by the time when each was started.
    replacements: Vec<Instant>,
    was_healthy: bool,
    stop: Option<StopFacts>,
    has_closed_listeners: bool,
    last_id: u64,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Process {
    id: ChildId,
    slot: usize,
    is_started: bool,
    fills_slot: bool,
    /// Its stop was requested, by a stop or because its slot was removed.
    must_leave: bool,
    readiness: Readiness,
    is_healthy: bool,
    has_closed: bool,
    has_violated: bool,
    has_main_ended: bool,
    was_terminated: bool,
    was_killed: bool,
    was_given_up: bool,
    /// When it must be ready, if it was started and is not ready yet.
    ready_by: Option<Instant>,
    /// When it counts as healthy without a report.
    healthy_at: Option<Instant>,
    /// When it must have left its slot.
    exit_by: Option<Instant>,
    /// When it is killed.
    kill_at: Option<Instant>,
    give_up_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct SlotFacts {
    /// Whether the first start was requested, and whether it was confirmed.
    was_requested: bool,
    was_confirmed: bool,
    /// When the next child is due.
    replace_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announcement {
    NotYet,
    Asked,
    Done,
}

#[derive(Clone, Copy, Debug)]
struct StopFacts {
    cause: StopCause,
    is_immediate: bool,
}

/// The world of a scope, and the cells of `TABLE.md` that its moves have used.
struct Fleets<'a> {
    scope: Scope,
    cells: Option<&'a mut Cells>,
}

/// A cell: its table, its row and its column.
type Cells = BTreeSet<(&'static str, &'static str, &'static str)>;

fn ensure(holds: bool, promise: &str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(promise.into()) }
}

impl Model for Fleets<'_> {
    type State = World;
    type Move = Move;

    fn start(&self) -> World {
        let now = Instant::now();
        let policy = self.scope.policy.clone();
        World {
            slots: vec![SlotFacts::default(); policy.slots.get()],
            supervisor: Supervisor::new(policy, now),
            now,
            processes: Vec::new(),
            announcement: Announcement::NotYet,
            replacements: Vec::new(),
            was_healthy: false,
            stop: None,
            has_closed_listeners: false,
            last_id: 0,
        }
    }

    fn normal_form(&self, world: &World) -> Vec<u8> {
        world.normal_form(&self.scope.policy)
    }

    fn moves(&self, world: &World) -> Vec<Move> {
        if world.processes.len() > self.scope.most_processes {
            return Vec::new();
        }
        let mut moves = Vec::new();
        let answers = self.answers(world);
        let is_busy = !answers.is_empty() && self.scope.answers == Answers::AtOnce;
        moves.extend(answers.into_iter().map(Move::Tell));
        if is_busy {
            return moves;
        }
        moves.push(Move::Ask);
        if world.rested(&self.scope.policy).is_some() {
            moves.push(Move::Pass);
        }
        for process in &world.processes {
            self.add_events(process, &mut moves);
        }
        let operator = [
            Event::HookFailed,
            Event::ListenerLost,
            Event::StopRequested {
                urgency: StopMode::Graceful,
            },
            Event::StopRequested {
                urgency: StopMode::Immediate,
            },
        ];
        moves.extend(operator.map(Move::Tell));
        let sizes = self.scope.sizes.iter();
        moves.extend(sizes.map(|&slots| {
            let slots = NonZeroUsize::new(slots).expect("a fleet has slots");
            Move::Tell(Event::Resize { slots })
        }));
        moves
    }

    fn apply(&mut self, world: &mut World, next: Move) -> Result<(), Broken> {
        let policy = &self.scope.policy;
        if let Some(cells) = &mut self.cells {
            world.note_cells(next, cells);
        }
        match next {
            Move::Ask => world.ask(policy).map(|_| ()),
            Move::Tell(event) => {
                world.tell(event, policy);
                if let Some(cells) = &mut self.cells {
                    world.note_question(event, policy, cells);
                }
                Ok(())
            }
            Move::Pass => world.pass(policy),
        }
    }

    fn check(&self, world: &World) -> Result<(), Broken> {
        let policy = &self.scope.policy;
        world.check_always()?;
        world.check_stale_events(policy)?;
        if let Some(rested) = world.rested(policy)
            && (self.scope.answers == Answers::AnyTime || self.answers(world).is_empty())
        {
            rested.check_rested()?;
        }
        world.check_end(policy)
    }

    fn line(&self, next: Move) -> String {
        match next {
            Move::Ask => "stage.supervisor.next_action(stage.now);".into(),
            Move::Tell(Event::Resize { slots }) => {
                format!("stage.tell(Event::Resize {{ slots: slots({slots}) }});")
            }
            Move::Tell(event) => format!("stage.tell(Event::{event:?});")
                .replace("readiness: ", "readiness: Readiness::")
                .replace("failure: ", "failure: StartFailure::")
                .replace("urgency: ", "urgency: StopMode::"),
            Move::Pass => "stage.pass(Duration::from_secs(1));".into(),
        }
    }
}

impl Fleets<'_> {
    /// The events that answer what the supervisor has asked for.
    fn answers(&self, world: &World) -> Vec<Event> {
        let mut answers = Vec::new();
        for process in world.processes.iter().filter(|process| !process.is_started) {
            let child = process.id;
            answers.extend(
                [Readiness::Notified, Readiness::Assumed]
                    .map(|readiness| Event::Started { child, readiness }),
            );
            let failures = [
                StartFailure::Transient,
                StartFailure::Permanent,
                StartFailure::Refused,
            ];
            answers.extend(failures.map(|failure| Event::StartFailed { child, failure }));
        }
        if world.announcement == Announcement::Asked && world.stop.is_none() {
            answers.extend([Event::MasterReady, Event::HookFailed]);
        } else if self.scope.answers == Answers::AnyTime {
            answers.push(Event::MasterReady);
        }
        answers
    }

    /// The events about a process that can come now.
    fn add_events(&self, process: &Process, moves: &mut Vec<Move>) {
        let child = process.id;
        let is_silent = process.has_violated || !process.is_started;
        let events = child_events(child);
        if self.scope.answers == Answers::AnyTime {
            // Those of a start that is not answered yet are among the answers.
            let is_answer = |event: &Event| !process.is_started && is_answer(event);
            let events = events.into_iter().filter(|event| !is_answer(event));
            return moves.extend(events.map(Move::Tell));
        }
        if !is_silent {
            let frames = events.into_iter().filter(|event| !is_answer(event));
            return moves.extend(frames.map(Move::Tell));
        }
        moves.push(Move::Tell(Event::Exited { child }));
    }
}

// The facts, recorded in the simplest way.

impl World {
    fn normal_form(&self, policy: &Policy) -> Vec<u8> {
        let Self {
            supervisor,
            now,
            processes,
            slots,
            announcement,
            replacements,
            was_healthy,
            stop,
            has_closed_listeners,
            // Ids count by their order.
            last_id: _,
        } = self;
        let mut form = NormalForm::new(*now);
        supervisor.write_normal(&mut form);
        for process in processes {
            process.write_normal(&mut form);
        }
        for slot in slots {
            let SlotFacts {
                was_requested,
                was_confirmed,
                replace_at,
            } = slot;
            form.flag(*was_requested);
            form.flag(*was_confirmed);
            form.optional_time(*replace_at);
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
        form.flag(*has_closed_listeners);
        form.finish()
    }

    /// The replacements that count now.
    fn counted(&self, replacements: &[Instant], policy: &Policy) -> Vec<Instant> {
        let counts = |at: &Instant| match policy.recover_window {
            Window::Sliding(window) => !self.was_healthy || self.now < *at + window,
            Window::Forever => true,
        };
        replacements.iter().copied().filter(counts).collect()
    }

    fn process(&mut self, child: ChildId) -> Option<&mut Process> {
        self.processes
            .iter_mut()
            .find(|process| process.id == child)
    }

    fn is_master_ready(&self) -> bool {
        self.announcement == Announcement::Done
    }

    /// This world after the supervisor had nothing to do at this moment.
    fn rested(&self, policy: &Policy) -> Option<Self> {
        let mut world = self.clone();
        // The move `Ask` reports an error.
        matches!(world.ask(policy), Ok(None)).then_some(world)
    }

    // Events.

    fn tell(&mut self, event: Event, policy: &Policy) {
        self.supervisor.handle(event, self.now);
        self.note(event, policy);
    }

    #[expect(clippy::too_many_lines, reason = "one arm per event")]
    fn note(&mut self, event: Event, policy: &Policy) {
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
                if process.fills_slot && !(may_retry && self.is_master_ready()) {
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
                    self.was_healthy = true;
                }
            }
            Event::Readiness { child, readiness } => {
                let at_once = policy.healthy_after.is_zero();
                if let Some(process) = self.process(child)
                    && process.may_become_healthy()
                {
                    process.readiness = readiness;
                    if at_once && readiness == Readiness::Assumed {
                        process.become_healthy();
                        self.was_healthy = true;
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
                }
            }
            Event::Exited { child } => {
                let Some(process) = self.process(child).copied() else {
                    return;
                };
                self.note_gone(child, policy);
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
            Event::HookFailed => self.note_stop(StopCause::HookFailed, policy),
            Event::ListenerLost => self.note_stop(StopCause::ListenerLost, policy),
            Event::Resize { slots } => self.note_size(slots.get(), policy),
            Event::StopRequested { urgency } => {
                self.note_stop(StopCause::Requested, policy);
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

    fn note_started(&mut self, child: ChildId, readiness: Readiness, policy: &Policy) {
        let now = self.now;
        let Some(process) = self.process(child) else {
            return;
        };
        if process.is_started {
            return;
        }
        process.is_started = true;
        process.give_up_at = None;
        if !process.fills_slot {
            return;
        }
        process.readiness = readiness;
        process.ready_by = Some(after(now, policy.ready_timeout));
        process.healthy_at = Some(now + policy.healthy_after);
        let slot = process.slot;
        let is_healthy = readiness == Readiness::Assumed && policy.healthy_after.is_zero();
        if is_healthy {
            process.become_healthy();
        }
        self.was_healthy |= is_healthy;
        self.slots[slot].was_confirmed = true;
    }

    fn note_gone(&mut self, child: ChildId, policy: &Policy) {
        let now = self.now;
        let Some(index) = self
            .processes
            .iter()
            .position(|process| process.id == child)
        else {
            return;
        };
        let process = self.processes.remove(index);
        if process.fills_slot && self.stop.is_none() {
            self.slots[process.slot].replace_at = Some(now + policy.recover_interval);
        }
    }

    fn note_size(&mut self, size: usize, policy: &Policy) {
        if self.stop.is_some() {
            return;
        }
        let now = self.now;
        let removed = |process: &Process| process.slot >= size && process.fills_slot;
        let slots: Vec<_> = self
            .processes
            .iter()
            .filter(|process| removed(process))
            .collect();
        let slots: Vec<_> = slots.iter().map(|process| process.slot).collect();
        for process in &mut self.processes {
            if process.fills_slot && process.slot >= size {
                process.leave(now, policy);
            } else if slots.contains(&process.slot) && !process.fills_slot {
                // A younger child of the slot begins to drain.
                process.has_no_time(now);
            }
        }
        self.slots.resize(size, SlotFacts::default());
    }

    fn note_stop(&mut self, cause: StopCause, policy: &Policy) {
        if self.stop.is_some() {
            return;
        }
        let is_immediate = false;
        self.stop = Some(StopFacts {
            cause,
            is_immediate,
        });
        for slot in &mut self.slots {
            slot.replace_at = None;
        }
        for process in &mut self.processes {
            if process.fills_slot {
                process.leave(self.now, policy);
            }
        }
    }

    /// Records what is true because time has passed.
    ///
    /// The order of what is due at one moment is not defined, so it is read from the supervisor.
    fn note_time(&mut self) {
        let now = self.now;
        for process in &mut self.processes {
            let slot = self.supervisor.fleet().slot(SlotId(process.slot));
            let serves = matches!(slot, SlotState::Serving { child, .. } if child == process.id);
            if serves && process.is_healthy_by_time(now) {
                process.become_healthy();
                self.was_healthy = true;
            }
            let location = self.supervisor.fleet().child(process.id);
            let location = location.map(|child| child.location);
            let is_given_up =
                location == Some(ChildLocation::DrainingChild(DrainState::Unkillable));
            let is_over = process.give_up_at.is_some_and(|at| at <= now);
            if is_over && is_given_up && !process.is_started {
                process.was_given_up = true;
            }
        }
    }

    fn pass(&mut self, policy: &Policy) -> Result<(), Broken> {
        let action = self.ask(policy)?;
        ensure(action.is_none(), "time passes when nothing is left to do")?;
        self.replacements = self.counted(&self.replacements, policy);
        self.now += TICK;
        Ok(())
    }

    // Actions.

    fn ask(&mut self, policy: &Policy) -> Result<Option<Action>, Broken> {
        let was_stopping = self.supervisor.is_stopping();
        let action = self.supervisor.next_action(self.now);
        self.note_time();
        if self.supervisor.is_stopping() && !was_stopping {
            self.note_over_recovery(policy)?;
        }
        if let Some(action) = action {
            self.perform(action, policy)?;
        }
        Ok(action)
    }

    /// The supervisor began a stop by itself.
    fn note_over_recovery(&mut self, policy: &Policy) -> Result<(), Broken> {
        let now = self.now;
        let is_due = |slot: &SlotFacts| slot.replace_at.is_some_and(|at| at <= now);
        let is_due = self.is_master_ready() && self.slots.iter().any(is_due);
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
    fn perform(&mut self, action: Action, policy: &Policy) -> Result<(), Broken> {
        let now = self.now;
        let is_stopping = self.stop.is_some();
        let grace = policy.shutdown_grace_period;
        match action {
            Action::Start { slot, child, .. } => self.start_process(slot.0, child, policy),
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
                    if process.slot == slot && !process.fills_slot {
                        process.has_no_time(now);
                    }
                }
                self.leave_slot(child, policy);
                Ok(())
            }
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

    fn leave_slot(&mut self, child: ChildId, policy: &Policy) {
        let (now, is_stopping) = (self.now, self.stop.is_some());
        let Some(process) = self.process(child) else {
            return;
        };
        let filled = std::mem::replace(&mut process.fills_slot, false);
        process.exit_by = None;
        let slot = process.slot;
        if filled && !is_stopping {
            self.slots[slot].replace_at = Some(now + policy.recover_interval);
        }
    }

    fn start_process(&mut self, slot: usize, id: ChildId, policy: &Policy) -> Result<(), Broken> {
        ensure(self.stop.is_none(), "no child is started once a stop began")?;
        ensure(id.0 > self.last_id, "an id is never used twice")?;
        self.last_id = id.0;
        let facts = self.slots.get(slot).copied();
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
            self.replacements = self.counted(&self.replacements, policy);
            self.replacements.push(self.now);
            ensure(
                self.replacements.len() as u64 <= u64::from(policy.recover_threshold),
                "no more children are replaced than recover_threshold",
            )?;
        }
        let facts = &mut self.slots[slot];
        facts.was_requested = true;
        facts.replace_at = None;
        self.processes.push(Process::new(id, slot));
        Ok(())
    }

    // Checks of one state.

    /// Checks what holds between any two calls.
    fn check_always(&self) -> Result<(), Broken> {
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

    fn is_in_its_slot(&self, process: &Process) -> bool {
        self.supervisor.slot_of(process.id) == Some(SlotId(process.slot))
    }

    /// Checks that an event about a child that has exited or never existed changes nothing.
    fn check_stale_events(&self, policy: &Policy) -> Result<(), Broken> {
        let mut world = self.clone();
        let exited = (1..=self.last_id).rev().map(ChildId);
        let exited = exited.filter(|&id| self.processes.iter().all(|process| process.id != id));
        for child in exited.chain([UNKNOWN]).take(1) {
            for event in child_events(child) {
                world.supervisor.handle(event, self.now);
            }
        }
        ensure(
            world.normal_form(policy) == self.normal_form(policy),
            "an event about a child that has exited changes nothing",
        )
    }

    /// Checks what holds when the supervisor has nothing to do at this moment.
    fn check_rested(&self) -> Result<(), Broken> {
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
        let is_healthy = self.is_master_ready()
            && self.stop.is_none()
            && (0..self.slots.len()).all(|slot| {
                let mut processes = self.processes.iter();
                processes.any(|process| process.slot == slot && process.serves())
            });
        ensure(
            self.supervisor.is_healthy() == is_healthy,
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
        self.check_outcome()
    }

    /// Checks that a slot is filled, or will be.
    fn check_slot(&self, slot: usize) -> Result<(), Broken> {
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
        let replace_at = self.slots[slot].replace_at;
        ensure(
            replace_at.is_some_and(|at| !self.is_master_ready() || at > self.now),
            "an empty slot is filled as soon as its child is due",
        )
    }

    /// Checks that something will happen: a deadline, an awaited fact, or the outcome.
    fn check_outcome(&self) -> Result<(), Broken> {
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
        let mut named = outcome.unkillable.iter();
        ensure(
            named.all(|child| *child < UNKNOWN) && self.supervisor.deadline().is_none(),
            "an outcome is final",
        )?;
        ensure(
            left.iter().all(|child| outcome.unkillable.contains(child)),
            "the outcome names every child that did not exit",
        )
    }

    /// Checks where the world goes if no child does anything but what it was asked to.
    fn check_end(&self, policy: &Policy) -> Result<(), Broken> {
        let mut world = self.clone();
        let longest = policy.shutdown_grace_period + policy.kill_timeout * 2;
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
                if world.supervisor.is_healthy() {
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
    fn behave(&mut self, policy: &Policy) {
        let processes = self.processes.clone();
        for process in processes {
            let child = process.id;
            let readiness = Readiness::Notified;
            if !process.is_started {
                self.tell(Event::Started { child, readiness }, policy);
            }
            let is_over = process.has_violated || process.was_killed || process.has_main_ended;
            if is_over || process.was_terminated || !process.fills_slot {
                self.tell(Event::Exited { child }, policy);
            } else {
                self.tell(Event::Ready { child }, policy);
            }
        }
        self.tell(Event::MasterReady, policy);
    }

    /// Asks until there is no action. Outside of a stop, starts succeed.
    fn settle(&mut self, policy: &Policy) -> Result<(), Broken> {
        let most = 4 + 4 * (self.slots.len() + self.processes.len());
        for _ in 0..most {
            match self.ask(policy)? {
                None => return Ok(()),
                Some(Action::Start { child, .. }) => {
                    let readiness = Readiness::Notified;
                    self.tell(Event::Started { child, readiness }, policy);
                }
                Some(Action::AnnounceMasterReady) => self.tell(Event::MasterReady, policy),
                Some(_) => {}
            }
        }
        Err("no action repeats for ever".into())
    }
}

impl Process {
    fn new(id: ChildId, slot: usize) -> Self {
        Self {
            id,
            slot,
            is_started: false,
            fills_slot: true,
            must_leave: false,
            readiness: Readiness::Notified,
            is_healthy: false,
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

    fn write_normal(&self, form: &mut NormalForm) {
        let Self {
            // Ids count by their order.
            id: _,
            slot,
            is_started,
            fills_slot,
            must_leave,
            readiness,
            is_healthy,
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
        form.number(*slot as u64);
        form.flag(*is_started);
        form.flag(*fills_slot);
        form.flag(*must_leave);
        form.flag(*readiness == Readiness::Notified);
        form.flag(*is_healthy);
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

    fn may_become_healthy(&self) -> bool {
        let is_over = self.has_violated || self.has_main_ended || self.was_killed;
        self.is_started && self.fills_slot && !self.is_healthy && !is_over
    }

    fn is_healthy_by_time(&self, now: Instant) -> bool {
        let is_observed = self.readiness == Readiness::Notified;
        let is_due = self.healthy_at.is_some_and(|at| at <= now);
        is_due && !is_observed && self.may_become_healthy()
    }

    fn become_healthy(&mut self) {
        self.is_healthy = true;
        self.ready_by = None;
        self.healthy_at = None;
        self.readiness = Readiness::Notified;
    }

    /// It leaves its slot and drains.
    fn leave(&mut self, now: Instant, policy: &Policy) {
        self.fills_slot = false;
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
    fn has_no_time(&mut self, now: Instant) {
        if let Some(kill_at) = self.kill_at {
            let left = kill_at.saturating_duration_since(now);
            self.kill_at = Some(kill_at.min(now));
            if !self.is_started {
                self.give_up_at = self.give_up_at.map(|at| at - left);
            }
        }
    }

    fn accepts(&self) -> bool {
        !self.has_closed && !self.was_given_up
    }

    fn serves(&self) -> bool {
        let is_over = self.has_violated || self.was_killed || self.has_main_ended;
        self.fills_slot && self.is_healthy && !is_over
    }

    /// Whether it drains in its grace period.
    fn drains(&self) -> bool {
        self.is_started && !self.fills_slot && !self.was_killed && !self.was_given_up
    }

    fn check_rested(&self, now: Instant) -> Result<(), Broken> {
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

fn child_events(child: ChildId) -> [Event; 12] {
    let failed = |failure| Event::StartFailed { child, failure };
    let started = |readiness| Event::Started { child, readiness };
    let readiness = |readiness| Event::Readiness { child, readiness };
    [
        started(Readiness::Notified),
        started(Readiness::Assumed),
        failed(StartFailure::Transient),
        failed(StartFailure::Permanent),
        failed(StartFailure::Refused),
        Event::Ready { child },
        readiness(Readiness::Notified),
        readiness(Readiness::Assumed),
        Event::MainEnded { child },
        Event::Closed { child },
        Event::Violation { child },
        Event::Exited { child },
    ]
}

// The cells of `TABLE.md`.

const SLOT_EVENT: &str = "Slot × event";
const SLOT_TIME: &str = "Slot × time";
const DRAINING_EVENT: &str = "Draining child × event";
const DRAINING_TIME: &str = "Draining child × time";
const FLEET_EVENT: &str = "Fleet × event";

impl World {
    /// Notes the cells that a move uses.
    fn note_cells(&self, next: Move, cells: &mut Cells) {
        match next {
            Move::Tell(event) => match child_of(event) {
                Some(child) => self.note_child(child, row(event), cells),
                None => self.note_all(event, cells),
            },
            Move::Ask => {
                cells.insert((FLEET_EVENT, "asked, nothing new", self.phase()));
                if let Some(due) = self.supervisor.fleet().due(self.now) {
                    self.note_deadline(due, cells);
                }
                // `check_stale_events` sends these in every state.
                for event in child_events(UNKNOWN) {
                    self.note_stale(row(event), cells);
                }
            }
            Move::Pass => {
                let fleet = self.supervisor.fleet();
                for slot in fleet.slot_ids() {
                    let state = fleet.slot(slot);
                    if state.deadline().is_none() {
                        cells.insert((SLOT_TIME, table::slot_name(&state), ""));
                    }
                }
                for (_, state) in self.draining() {
                    if state.deadline().is_none() {
                        cells.insert((DRAINING_TIME, table::drain_state_name(&state), ""));
                    }
                }
            }
        }
    }

    fn note_child(&self, child: ChildId, row: &'static str, cells: &mut Cells) {
        let fleet = self.supervisor.fleet();
        match fleet.child(child).map(|child| (child.slot, child.location)) {
            Some((slot, ChildLocation::Slot)) => {
                cells.insert((SLOT_EVENT, row, table::slot_name(&fleet.slot(slot))));
            }
            Some((_, ChildLocation::DrainingChild(state))) => {
                cells.insert((DRAINING_EVENT, row, table::drain_state_name(&state)));
            }
            Some((_, ChildLocation::Successor)) | None => {}
        }
        cells.insert((FLEET_EVENT, row, self.phase()));
    }

    fn note_all(&self, event: Event, cells: &mut Cells) {
        let fleet = self.supervisor.fleet();
        for slot in fleet.slot_ids() {
            let row = row_for(event, slot.0);
            cells.insert((SLOT_EVENT, row, table::slot_name(&fleet.slot(slot))));
        }
        let row = row_for(event, self.slots.len() - 1);
        for (_, state) in self.draining() {
            cells.insert((DRAINING_EVENT, row, table::drain_state_name(&state)));
        }
        cells.insert((FLEET_EVENT, row, self.phase()));
    }

    fn note_stale(&self, row: &'static str, cells: &mut Cells) {
        let fleet = self.supervisor.fleet();
        let states = fleet.slot_ids().map(|slot| fleet.slot(slot));
        for state in states.filter(|state| state.child().is_none()) {
            cells.insert((SLOT_EVENT, row, table::slot_name(&state)));
        }
        cells.insert((FLEET_EVENT, row, self.phase()));
    }

    fn note_deadline(&self, due: DeadlineKey, cells: &mut Cells) {
        let fleet = self.supervisor.fleet();
        match due {
            DeadlineKey::Slot(slot) => {
                cells.insert((SLOT_TIME, table::slot_name(&fleet.slot(slot)), ""));
            }
            DeadlineKey::Child(child) => {
                let mut draining = self.draining().into_iter();
                if let Some((_, state)) = draining.find(|&(id, _)| id == child) {
                    let row = match table::drain_state_name(&state) {
                        "NotYetAsked" if !table::has_time(&state, self.now) => {
                            "NotYetAsked, no time left"
                        }
                        name => name,
                    };
                    cells.insert((DRAINING_TIME, row, ""));
                }
            }
        }
    }

    /// Notes the rows about questions that follow an event.
    fn note_question(&self, event: Event, policy: &Policy, cells: &mut Cells) {
        let mut note = |row| cells.insert((FLEET_EVENT, row, self.phase()));
        if let Event::Exited { .. } = event {
            note("asked, after an exit");
            let exits = self.counted(&self.replacements, policy).len() as u64;
            if exits >= u64::from(policy.recover_threshold) {
                note("asked, after one exit too many");
            }
        }
        if !self.processes.iter().any(Process::accepts) {
            note("asked, all have closed");
        }
        if self.processes.iter().all(|process| process.was_given_up) {
            note("asked, all are gone");
        }
    }

    fn phase(&self) -> &'static str {
        match self.supervisor.phase() {
            Phase::StartingUp { .. } => "StartingUp",
            Phase::AllStarted => "AllStarted",
            Phase::Announcing => "Announcing",
            Phase::Running => "Running",
            Phase::Stopping { .. } => "Stopping",
            Phase::Ended(_) => "Ended",
        }
    }

    fn draining(&self) -> Vec<(ChildId, DrainState)> {
        let fleet = self.supervisor.fleet();
        let state = |child| match fleet.child(child)?.location {
            ChildLocation::DrainingChild(state) => Some((child, state)),
            ChildLocation::Slot | ChildLocation::Successor => None,
        };
        fleet.child_ids().into_iter().filter_map(state).collect()
    }
}

fn child_of(event: Event) -> Option<ChildId> {
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
        | Event::StopRequested { .. } => None,
    }
}

fn is_answer(event: &Event) -> bool {
    matches!(event, Event::Started { .. } | Event::StartFailed { .. })
}

/// The row of an event in the tables, for a slot.
fn row_for(event: Event, slot: usize) -> &'static str {
    match event {
        Event::Resize { slots } if slot >= slots.get() => "`Resize`, slot removed",
        other => row(other),
    }
}

/// The row of an event in the tables.
fn row(event: Event) -> &'static str {
    match event {
        Event::Started { readiness, .. } => match readiness {
            Readiness::Notified => "`Started`, notified",
            Readiness::Assumed => "`Started`, assumed",
        },
        Event::StartFailed { failure, .. } => match failure {
            StartFailure::Transient => "`StartFailed`, transient",
            StartFailure::Permanent => "`StartFailed`, permanent",
            StartFailure::Refused => "`StartFailed`, refused",
        },
        Event::Ready { .. } => "`Ready`",
        Event::Readiness { readiness, .. } => match readiness {
            Readiness::Notified => "`Readiness`, notified",
            Readiness::Assumed => "`Readiness`, assumed",
        },
        Event::MainEnded { .. } => "`MainEnded`",
        Event::Closed { .. } => "`Closed`",
        Event::Violation { .. } => "`Violation`",
        Event::Exited { .. } => "`Exited`",
        Event::MasterReady => "`MasterReady`",
        Event::HookFailed => "`HookFailed`",
        Event::ListenerLost => "`ListenerLost`",
        Event::Resize { .. } => "`Resize`, slot kept",
        Event::StopRequested { urgency } => match urgency {
            StopMode::Graceful => "`StopRequested`, graceful",
            StopMode::Immediate => "`StopRequested`, immediate",
        },
    }
}

/// Prints the cells that no move has used, and compares them with those that none can use.
fn check_cells(cells: &Cells) {
    let mut all = 0;
    let mut missing = Vec::new();
    for title in [
        SLOT_EVENT,
        SLOT_TIME,
        DRAINING_EVENT,
        DRAINING_TIME,
        FLEET_EVENT,
    ] {
        let header = table::header(title);
        for row in table::rows(title) {
            let columns = match title {
                SLOT_TIME | DRAINING_TIME => vec![String::new()],
                _ => header[1..].to_vec(),
            };
            let name = match title {
                SLOT_TIME | DRAINING_TIME => row[0].replace('`', ""),
                _ => row[0].clone(),
            };
            for column in columns {
                all += 1;
                let column = column.trim_matches('`');
                let is_used = cells.iter().any(|&cell| cell == (title, &*name, column));
                if !is_used {
                    missing.push(format!("{title}: {name}: {column}"));
                }
            }
        }
    }
    println!("{} of {all} cells of TABLE.md", all - missing.len());
    assert_eq!(missing, UNUSED, "cells that no move has used");
}

/// The cells that no world can use, each with the reason.
const UNUSED: [&str; 0] = [];

// The scopes.

/// Set for the long form: more slots, more replacements, more policies.
const LONG: &str = "PREFORK_TESTS_EXPLORE";

fn is_long() -> bool {
    std::env::var_os(LONG).is_some()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(slots: usize, recover_threshold: u32) -> Policy {
    Policy {
        slots: NonZeroUsize::new(slots).expect("a fleet has slots"),
        recover_threshold,
        recover_window: Window::Forever,
        recover_interval: seconds(1),
        healthy_after: seconds(2),
        ready_timeout: seconds(3),
        shutdown_grace_period: seconds(2),
        exit_timeout: seconds(1),
        kill_timeout: seconds(1),
        // The jitter would make the times of states differ. `properties.rs` tests the back-off.
        backoff: Backoff {
            first: Duration::ZERO,
            max: Duration::ZERO,
        },
        jitter_seed: 1,
    }
}

/// A policy whose waits are as short as they can be. It has the fewest states.
fn short(slots: usize, recover_threshold: u32) -> Policy {
    Policy {
        recover_interval: Duration::ZERO,
        healthy_after: seconds(1),
        ready_timeout: seconds(1),
        shutdown_grace_period: seconds(1),
        ..policy(slots, recover_threshold)
    }
}

/// Policies that take other branches.
fn variants(recover_threshold: u32) -> [(&'static str, Policy); 6] {
    let policy = || policy(1, recover_threshold);
    [
        (
            "without grace",
            Policy {
                shutdown_grace_period: Duration::ZERO,
                ..policy()
            },
        ),
        (
            "healthy at once",
            Policy {
                healthy_after: Duration::ZERO,
                ..policy()
            },
        ),
        (
            "unlimited ready_timeout",
            Policy {
                ready_timeout: Duration::MAX,
                ..policy()
            },
        ),
        (
            "grace beyond all other times",
            Policy {
                shutdown_grace_period: seconds(5),
                recover_interval: Duration::ZERO,
                ..policy()
            },
        ),
        (
            "exit_timeout beyond the grace",
            Policy {
                exit_timeout: seconds(3),
                ..policy()
            },
        ),
        (
            "window of 3 s",
            Policy {
                recover_window: Window::Sliding(seconds(3)),
                ..policy()
            },
        ),
    ]
}

fn run(name: &str, scope: Scope, cells: Option<&mut Cells>) {
    let policy = format!("{:?}", scope.policy);
    let mut fleets = Fleets { scope, cells };
    let deepest = fleets.scope.deepest;
    match explore(&mut fleets, deepest) {
        Ok(explored) => println!("{name}: {explored}"),
        Err(report) => panic!("{name}: {report}\nwith {policy}"),
    }
}

/// A scope in which the master answers at once, and nothing but the budget limits the processes.
fn master(policy: Policy) -> Scope {
    Scope {
        policy,
        answers: Answers::AtOnce,
        sizes: &[],
        most_processes: usize::MAX,
        deepest: u32::MAX,
    }
}

/// A scope of which the short form leaves out all states that need more moves.
fn up_to(deepest: u32, scope: Scope) -> Scope {
    let deepest = if is_long() { u32::MAX } else { deepest };
    Scope { deepest, ..scope }
}

#[test]
fn every_promise_holds_in_every_state_and_every_cell_of_the_tables_is_used() {
    let mut cells = Cells::new();
    let any_time = Scope {
        answers: Answers::AnyTime,
        // It changes nothing.
        sizes: &[1],
        ..master(policy(1, 0))
    };
    run(
        "1 slot, threshold 0, events in any order",
        any_time,
        Some(&mut cells),
    );
    let two = up_to(7, master(short(2, 0)));
    run("2 slots, threshold 0", two, Some(&mut cells));
    let smaller = Scope {
        sizes: &[1],
        ..master(short(2, 0))
    };
    let unanswered = Scope {
        answers: Answers::AnyTime,
        ..smaller.clone()
    };
    run("2 slots, then 1", up_to(10, smaller), Some(&mut cells));
    let name = "2 slots, then 1, events in any order";
    run(name, up_to(7, unanswered), Some(&mut cells));
    check_cells(&cells);
}

#[test]
fn every_promise_holds_while_children_are_replaced() {
    run("1 slot, threshold 1", up_to(11, master(policy(1, 1))), None);
    let leaves_at_once = Policy {
        exit_timeout: Duration::ZERO,
        recover_interval: Duration::ZERO,
        ..policy(1, 1)
    };
    let name = "1 slot, threshold 1, without exit_timeout";
    run(name, up_to(10, master(leaves_at_once)), None);
    if is_long() {
        let any_time = Scope {
            answers: Answers::AnyTime,
            ..master(policy(1, 1))
        };
        run("1 slot, threshold 1, events in any order", any_time, None);
        run("1 slot, threshold 2", master(policy(1, 2)), None);
        let two = Scope {
            deepest: 14,
            ..master(short(2, 1))
        };
        run("2 slots, threshold 1", two, None);
        let three = Scope {
            deepest: 12,
            ..master(short(3, 0))
        };
        run("3 slots, threshold 0", three, None);
    }
}

#[test]
fn every_promise_holds_with_other_policies() {
    let threshold = u32::from(is_long());
    for (name, policy) in variants(threshold) {
        let scope = Scope {
            most_processes: 3,
            ..master(policy)
        };
        let name = format!("1 slot, threshold {threshold}, {name}");
        run(&name, up_to(9, scope), None);
    }
}

#[test]
fn every_promise_holds_while_slots_are_added_and_removed() {
    let scope = |sizes, most_processes| Scope {
        sizes,
        most_processes,
        ..master(short(1, 0))
    };
    run("1 or 2 slots", up_to(7, scope(&[1, 2], 3)), None);
    if is_long() {
        let three = Scope {
            deepest: 12,
            ..scope(&[1, 2, 3], 3)
        };
        run("1 to 3 slots", three, None);
    }
}
