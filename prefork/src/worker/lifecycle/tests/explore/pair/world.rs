//! A master, its workers and their accept queue: what moves, events and actions mean.

use std::time::{Duration, Instant};

use super::super::super::super::{
    Action as WorkerAction, Backlog, Connections, EndCause, Event as WorkerEvent, Lifecycle,
};
use super::super::{DrainFacts, TICK, ensure};
use super::process::{Frame, Order, Process};
use super::promises::Program;
use super::{GRACE, Move, SECOND};
use crate::explore::Broken;
use crate::supervisor::{
    Action, ChildId, Event, KillReason, NormalForm, Policy, ProgramId, Readiness, Stop, Supervisor,
};

#[derive(Clone)]
pub(super) struct World {
    /// `None` once the master was killed.
    pub(super) master: Option<Supervisor>,
    pub(super) now: Instant,
    /// Whether the master holds the listening socket.
    pub(super) is_bound: bool,
    /// A worker has shut down the socket, so that the address is free.
    pub(super) is_shut: bool,
    pub(super) queued: u8,
    /// Those in the queue that came after the death of the master.
    late: u8,
    /// How many connections of the queue a drain has promised to accept.
    pub(super) promised: u8,
    /// For how many seconds a frame was unread or an action was due.
    pub(super) paused: u8,
    /// How many rollouts may still be requested.
    pub(super) rollouts: u8,
    /// How often a worker may still take back its readiness.
    pub(super) flips: u8,
    /// How many programs were opened.
    programs: usize,
    /// Those that the master has not reaped, in ascending order of their ids.
    pub(super) workers: Vec<Process>,
    /// Whether the master has killed a worker whose time was over. Only `check_end` reads it.
    pub(super) has_killed_late: bool,
}

impl World {
    pub(super) fn new(policy: &Policy, rollouts: u8, flips: u8) -> Self {
        let now = Instant::now();
        Self {
            master: Some(Supervisor::new(policy.clone(), now)),
            now,
            is_bound: true,
            is_shut: false,
            queued: 0,
            late: 0,
            promised: 0,
            paused: 0,
            rollouts,
            flips,
            programs: 0,
            workers: Vec::new(),
            has_killed_late: false,
        }
    }

    /// Starts a worker with one connection that is unread and one that is half read, and puts one
    /// in the queue.
    pub(super) fn make_busy(&mut self) -> Result<(), Broken> {
        self.settle(Program::Hangs)?;
        self.apply(Move::BecomesReady(0))?;
        self.settle(Program::Hangs)?;
        self.queued = 1;
        self.workers[0].silent = 1;
        self.workers[0].half_read = 1;
        Ok(())
    }

    /// As [`make_busy`](Self::make_busy). Then the master starts a successor, which is not ready.
    pub(super) fn make_rolling_out(&mut self) -> Result<(), Broken> {
        self.make_busy()?;
        self.apply(Move::RolloutRequested)?;
        self.settle(Program::Hangs)
    }

    /// As [`make_rolling_out`](Self::make_rolling_out). Then the successor serves for its soak.
    pub(super) fn make_replacing(&mut self) -> Result<(), Broken> {
        self.make_rolling_out()?;
        self.apply(Move::BecomesReady(1))?;
        self.settle(Program::Hangs)?;
        self.apply(Move::Pass)
    }

    pub(super) fn normal_form(&self) -> Vec<u8> {
        let Self {
            master,
            now,
            is_bound,
            is_shut,
            queued,
            late,
            promised,
            paused,
            rollouts,
            flips,
            // Only the order counts.
            programs: _,
            workers,
            has_killed_late: _,
        } = self;
        let mut form = NormalForm::new(*now);
        if let Some(master) = master {
            master.write_normal(&mut form);
        }
        let mut form = form.finish();
        form.extend([*queued, *late, *promised, *paused, *rollouts, *flips]);
        let flags = [master.is_some(), *is_bound, *is_shut];
        form.extend(flags.map(u8::from));
        for worker in workers {
            worker.write_normal(*now, &mut form);
        }
        form
    }

    // Questions.

    pub(super) fn stop(&self) -> Option<Stop> {
        self.master.as_ref()?.snapshot().stop()
    }

    /// Whether both ends have to come to an end now.
    pub(super) fn must_end(&self) -> bool {
        self.master.is_none() || self.stop().is_some()
    }

    pub(super) fn is_over(&self) -> bool {
        let master = self.master.as_ref();
        self.workers.is_empty() && master.is_none_or(|master| master.outcome().is_some())
    }

    /// Whether nothing is left to read or to do at this moment.
    pub(super) fn is_quiet(&self) -> bool {
        let mut master = self.master.clone();
        let next = master
            .as_mut()
            .and_then(|master| master.next_action(self.now));
        next.is_none() && self.workers.iter().all(|worker| self.is_at_rest(worker))
    }

    fn is_at_rest(&self, worker: &Process) -> bool {
        let next = || worker.lifecycle.clone().next_action(self.now);
        !worker.has_exited
            && worker.to_master.is_empty()
            && !self.is_wake_due(worker)
            && next().is_none()
    }

    pub(super) fn is_wake_due(&self, worker: &Process) -> bool {
        let is_end_due = self.master.is_none() && !worker.has_read_end;
        let is_frame_due = worker.is_serve_due || worker.order.is_some();
        worker.is_change_due || worker.is_signaled || is_frame_due || is_end_due
    }

    pub(super) fn may_connect(&self) -> bool {
        self.is_held() && !self.is_shut
    }

    /// Whether a process holds the listening socket.
    fn is_held(&self) -> bool {
        self.is_bound || self.workers.iter().any(|worker| worker.is_listening)
    }

    pub(super) fn open_connections(&self) -> u8 {
        let accepted = |worker: &Process| worker.silent + worker.readable + worker.half_read;
        self.queued + self.workers.iter().map(accepted).sum::<u8>()
    }

    pub(super) fn moves_of(&self, index: usize) -> Vec<Move> {
        let worker = &self.workers[index];
        let is_read = self.master.is_some();
        let alive = !worker.has_exited;
        let all = [
            (
                is_read && !worker.to_master.is_empty(),
                Move::MasterReads(index),
            ),
            (is_read && worker.has_exited, Move::MasterReaps(index)),
            (alive && self.is_wake_due(worker), Move::WorkerWakes(index)),
            (alive, Move::WorkerActs(index)),
            (alive, Move::WorkerDies(index)),
            (
                alive && worker.must_end_by.is_none() && !worker.is_signaled,
                Move::WorkerSignaled(index),
            ),
            (
                alive && (!worker.is_ready || worker.is_unready) && !worker.has_main_ended,
                Move::BecomesReady(index),
            ),
            (
                alive && worker.is_ready && !worker.is_unready && self.flips > 0,
                Move::TakesBack(index),
            ),
            (self.may_accept(worker), Move::Accepts(index)),
            (worker.silent > 0, Move::ClientSends(index)),
            (worker.readable > 0, Move::Reads(index)),
            (worker.half_read > 0, Move::Finishes(index)),
            (
                worker.must_close(self.now, self.queued),
                Move::ListenerEnds(index),
            ),
            (alive && worker.is_accepting(), Move::AcceptFails(index)),
            (alive && !worker.has_main_ended, Move::MainEnds(index)),
            (alive && worker.has_main_ended, Move::Exits(index)),
        ];
        let possible = all.into_iter().filter(|(is_possible, _)| *is_possible);
        possible.map(|(_, next)| next).collect()
    }

    pub(super) fn may_accept(&self, worker: &Process) -> bool {
        let is_open = worker.is_accepting() && !self.is_shut;
        is_open && self.queued > 0 && !worker.must_close(self.now, self.queued)
    }

    // Moves.

    pub(super) fn apply(&mut self, next: Move) -> Result<(), Broken> {
        match next {
            Move::MasterActs => self.master_acts().map(|_| ()),
            Move::MasterReads(index) => self.master_reads(index),
            Move::MasterReaps(index) => self.master_reaps(index),
            Move::MasterDies => {
                self.master = None;
                self.is_bound = false;
                self.workers.retain(|worker| !worker.has_exited);
                for worker in &mut self.workers {
                    worker.to_master.clear();
                }
                self.close_queue()
            }
            Move::StopRequested(urgency) => {
                self.tell_master(Event::StopRequested { urgency });
                Ok(())
            }
            Move::RolloutRequested => {
                self.rollouts -= 1;
                self.tell_master(Event::RolloutRequested);
                Ok(())
            }
            Move::Pass => self.pass(),
            Move::WorkerWakes(index) => self.wake(index),
            Move::WorkerActs(index) => self.worker_acts(index).map(|_| ()),
            Move::ClientConnects => {
                self.queued += 1;
                self.late += u8::from(self.master.is_none());
                Ok(())
            }
            Move::Accepts(index) => {
                self.queued -= 1;
                self.late = self.late.min(self.queued);
                self.promised = self.promised.saturating_sub(1);
                let worker = &mut self.workers[index];
                worker.quota = worker.quota.map(|left| left.saturating_sub(1));
                worker.silent += 1;
                ensure(
                    worker.may_serve,
                    "a worker accepts no connection while its gate is closed",
                )
            }
            Move::ListenerEnds(index) => self.end_listener(index),
            Move::MainEnds(index) => {
                self.report_end(index);
                let worker = &mut self.workers[index];
                // The program drops them. It may: its `main` decides when it ends.
                (worker.silent, worker.readable, worker.half_read) = (0, 0, 0);
                worker.is_listening = false;
                self.note_death(index)
            }
            Move::WorkerDies(index) | Move::Exits(index) => self.exit(index),
            Move::WorkerSignaled(_)
            | Move::BecomesReady(_)
            | Move::TakesBack(_)
            | Move::ClientSends(_)
            | Move::Reads(_)
            | Move::Finishes(_)
            | Move::AcceptFails(_) => {
                self.change(next);
                Ok(())
            }
        }
    }

    /// Makes a move that changes only one worker.
    fn change(&mut self, next: Move) {
        let (Move::WorkerSignaled(index)
        | Move::BecomesReady(index)
        | Move::TakesBack(index)
        | Move::ClientSends(index)
        | Move::Reads(index)
        | Move::Finishes(index)
        | Move::AcceptFails(index)) = next
        else {
            return;
        };
        let is_read = self.master.is_some();
        let worker = &mut self.workers[index];
        match next {
            Move::WorkerSignaled(_) => worker.is_signaled = true,
            Move::TakesBack(_) => {
                self.flips -= 1;
                (worker.was_unready, worker.is_unready) = (true, true);
                worker.is_change_due = true;
            }
            Move::BecomesReady(_) if worker.is_unready => {
                worker.is_unready = false;
                worker.is_change_due = true;
            }
            Move::BecomesReady(_) => {
                worker.is_ready = true;
                worker.to_master.extend(is_read.then_some(Frame::Ready));
            }
            Move::ClientSends(_) => {
                worker.silent -= 1;
                worker.readable += 1;
            }
            Move::Reads(_) => {
                worker.readable -= 1;
                worker.half_read += 1;
                worker.is_change_due |= worker.drain.is_some();
            }
            Move::Finishes(_) => worker.half_read -= 1,
            Move::AcceptFails(_) => {
                worker.has_failed = true;
                worker.is_change_due = true;
                // A queue that cannot be served is not promised.
                self.promised = 0;
            }
            _ => {}
        }
    }

    fn pass(&mut self) -> Result<(), Broken> {
        if !self.is_quiet() {
            self.paused += 1;
            self.now += SECOND;
            return Ok(());
        }
        ensure(
            self.master_acts()?.is_none(),
            "time passes when nothing is left to do",
        )?;
        for index in 0..self.workers.len() {
            self.worker_acts(index)?;
        }
        self.now += SECOND;
        Ok(())
    }

    /// The last process closes the listening socket, or one shuts it down.
    fn close_queue(&mut self) -> Result<(), Broken> {
        if self.is_held() && !self.is_shut {
            return Ok(());
        }
        ensure(
            self.promised == 0,
            "a queue is offered for half of the budget, unless its worker dies",
        )?;
        (self.queued, self.late) = (0, 0);
        Ok(())
    }

    /// What a worker has promised ends with it.
    fn note_death(&mut self, index: usize) -> Result<(), Broken> {
        if self.workers[index].quota.is_some_and(|left| left > 0) {
            self.promised = 0;
        }
        self.close_queue()
    }

    fn end_listener(&mut self, index: usize) -> Result<(), Broken> {
        let worker = &mut self.workers[index];
        worker.is_listening = false;
        worker.is_change_due = true;
        let is_late = worker.is_late(self.now);
        self.is_shut |= worker.frees_address && (self.queued == 0 || is_late);
        if is_late {
            self.promised = 0;
        }
        self.close_queue()
    }

    fn report_end(&mut self, index: usize) {
        let is_read = self.master.is_some();
        let worker = &mut self.workers[index];
        if !worker.has_main_ended {
            worker.has_main_ended = true;
            worker.to_master.extend(is_read.then_some(Frame::Ended));
        }
        worker.is_change_due = true;
    }

    fn exit(&mut self, index: usize) -> Result<(), Broken> {
        let worker = &mut self.workers[index];
        worker.has_exited = true;
        worker.is_listening = false;
        (worker.silent, worker.readable, worker.half_read) = (0, 0, 0);
        let result = self.note_death(index);
        if self.master.is_none() {
            self.workers.remove(index);
        }
        result
    }

    // The master.

    fn tell_master(&mut self, event: Event) {
        if let Some(master) = &mut self.master {
            master.handle(event, self.now);
        }
        self.note_followed();
    }

    /// At most one child of a slot drains: the older one has no time left. A stop ends all of them
    /// within its budget.
    fn note_followed(&mut self) {
        let Some(master) = self.master.as_ref().filter(|master| !master.is_stopping()) else {
            return;
        };
        let mut is_followed = false;
        for worker in self.workers.iter_mut().rev() {
            if master.snapshot().is_draining(worker.id) {
                worker.is_followed |= is_followed;
                is_followed = true;
            }
        }
    }

    pub(super) fn master_acts(&mut self) -> Result<Option<Action>, Broken> {
        let now = self.now;
        let master = self.master.as_mut();
        let action = master.and_then(|master| master.next_action(now));
        self.note_followed();
        if let Some(action) = action {
            self.perform(action)?;
        }
        Ok(action)
    }

    pub(super) fn master_reads(&mut self, index: usize) -> Result<(), Broken> {
        let worker = &mut self.workers[index];
        let child = worker.id;
        let event = match worker.to_master.remove(0) {
            Frame::Ready => Event::Ready { child },
            Frame::Unready => Event::Unready { child },
            Frame::Ended => Event::MainEnded { child },
            Frame::Closed => Event::Closed { child },
        };
        self.check_crossing(event)?;
        self.tell_master(event);
        Ok(())
    }

    pub(super) fn master_reaps(&mut self, index: usize) -> Result<(), Broken> {
        while !self.workers[index].to_master.is_empty() {
            self.master_reads(index)?;
        }
        let child = self.workers.remove(index).id;
        self.tell_master(Event::Exited { child });
        Ok(())
    }

    /// Checks a frame that the worker may have sent before it got the request to stop.
    fn check_crossing(&self, event: Event) -> Result<(), Broken> {
        let Some(mut master) = self.master.clone().filter(Supervisor::is_stopping) else {
            return Ok(());
        };
        if master.next_action(self.now).is_some() {
            return Ok(());
        }
        let before = master.deadline();
        master.handle(event, self.now);
        ensure(
            master.deadline() <= before,
            "a frame that crosses the request to stop gives a worker no more time",
        )
    }

    fn find(&self, child: ChildId) -> Option<usize> {
        self.workers.iter().position(|worker| worker.id == child)
    }

    fn perform(&mut self, action: Action) -> Result<(), Broken> {
        let now = self.now;
        match action {
            Action::Start { child, gate, .. } => {
                ensure(!self.is_shut && self.is_bound, "a worker gets a socket")?;
                self.workers.push(Process::new(child, gate));
                let readiness = Readiness::Notified;
                self.tell_master(Event::Started { child, readiness });
                Ok(())
            }
            Action::AnnounceMasterReady => {
                self.tell_master(Event::MasterReady);
                Ok(())
            }
            Action::Terminate { child, kill_at } => {
                let index = self.find(child).ok_or("asked to stop after its exit")?;
                let worker = &mut self.workers[index];
                ensure(worker.kill_at.is_none(), "a worker is asked to stop once")?;
                worker.kill_at = Some(kill_at);
                if !worker.has_exited {
                    let budget = kill_at.saturating_duration_since(now);
                    worker.order = Some(Order { budget, sent: now });
                    worker.is_signaled = true;
                }
                Ok(())
            }
            Action::Kill { child, reason } => {
                let index = self.find(child).ok_or("killed after its exit")?;
                self.check_kill(&self.workers[index], reason)?;
                self.has_killed_late |= reason == KillReason::OutOfTime;
                if self.workers[index].has_exited {
                    return Ok(());
                }
                self.exit(index)
            }
            Action::ReportRunning { child, kill_at } => {
                let index = self.find(child).ok_or("reported after its exit")?;
                self.workers[index].kill_at = Some(kill_at);
                Ok(())
            }
            // No worker in this world has other slots than its own.
            Action::Adopt { .. } | Action::Release { .. } => Err("there is one slot".into()),
            // No worker in this world is healthy by time.
            Action::ReportHealthy { .. } => Err("healthy by time".into()),
            Action::GiveUp { .. } => ensure(
                self.paused > 0,
                "a master that reads in time gives up no worker that has exited",
            ),
            Action::OpenProgram => {
                self.programs += 1;
                let program = ProgramId(self.programs);
                self.tell_master(Event::ProgramOpened { program });
                Ok(())
            }
            Action::Serve { child } | Action::Promote { child, .. } => {
                let index = self.find(child).ok_or("its gate opens after its exit")?;
                let worker = &mut self.workers[index];
                ensure(
                    !worker.may_serve && worker.is_ready && worker.kill_at.is_none(),
                    "the master opens the gate of a ready successor once, and not in its drain",
                )?;
                worker.may_serve = true;
                worker.is_serve_due = !worker.has_exited;
                Ok(())
            }
            Action::ReportReplaced { child, .. } => {
                let index = self
                    .find(child)
                    .ok_or("it replaces a child after its exit")?;
                ensure(
                    self.workers[index].may_serve,
                    "a successor replaces a child only if it may accept",
                )
            }
            Action::ReportVerdict(_) => Ok(()),
            Action::CloseListeners => {
                ensure(
                    self.stop().is_some() && self.workers.iter().all(|worker| !worker.is_listening),
                    "the master closes the listeners in a stop, when no worker accepts",
                )?;
                self.is_bound = false;
                self.close_queue()
            }
        }
    }

    fn check_kill(&self, worker: &Process, reason: KillReason) -> Result<(), Broken> {
        let now = self.now;
        // What follows is about a worker that can lose connections.
        let is_immediate = self.stop().is_some_and(Stop::is_immediate);
        if worker.has_exited || worker.has_main_ended || worker.is_followed || is_immediate {
            return Ok(());
        }
        if reason == KillReason::NotReady {
            let is_unread = worker.to_master.contains(&Frame::Ready);
            return ensure(
                !worker.is_ready || is_unread,
                "a worker whose report of readiness was read is not killed for it",
            );
        }
        let is_asked = worker.kill_at.is_some() && worker.order.is_none();
        let is_unaware = !is_asked && self.paused > 0;
        ensure(
            is_unaware || worker.must_end_by.is_some_and(|at| at <= now + worker.late),
            "the master kills a worker only when the budget that it sent is over",
        )?;
        ensure(
            worker.is_resolved || self.paused > 0,
            "shutdown() has resolved before the master kills a worker",
        )
    }

    // A worker.

    /// As `Monitor::handle_events` does.
    pub(super) fn wake(&mut self, index: usize) -> Result<(), Broken> {
        if std::mem::take(&mut self.workers[index].is_change_due) {
            if self.workers[index].was_unready {
                let is_ready = !self.workers[index].is_unready;
                self.tell(index, WorkerEvent::ReadinessChanged { is_ready })?;
            }
            if self.workers[index].has_main_ended {
                self.request(index, WorkerEvent::MainEnded)?;
            }
            let worker = &self.workers[index];
            if worker.has_failed && !worker.lifecycle.has_failed() {
                self.report_end(index);
                self.request(index, WorkerEvent::AcceptFailed)?;
            }
            self.count(index)?;
        }
        self.read_frames(index)?;
        if std::mem::take(&mut self.workers[index].is_signaled) {
            self.request(index, WorkerEvent::Terminated)?;
        }
        Ok(())
    }

    fn read_frames(&mut self, index: usize) -> Result<(), Broken> {
        if std::mem::take(&mut self.workers[index].is_serve_due) {
            self.workers[index].has_read_serve = true;
            self.tell(index, WorkerEvent::GateOpened)?;
        }
        let worker = &mut self.workers[index];
        if let Some(Order { budget, sent }) = worker.order.take() {
            self.request(index, WorkerEvent::DrainRequested { budget })?;
            self.workers[index].late = self.now - sent;
        }
        let worker = &mut self.workers[index];
        if self.master.is_none() && !worker.has_read_end {
            worker.has_read_end = true;
            let is_process_gone = true;
            let event = WorkerEvent::MasterDied { is_process_gone };
            self.request(index, event)?;
        }
        Ok(())
    }

    /// Passes an event that begins a drain, or shortens it.
    fn request(&mut self, index: usize, event: WorkerEvent) -> Result<(), Broken> {
        let pauses = SECOND * u32::from(self.paused);
        let worker = &mut self.workers[index];
        let budget = match event {
            WorkerEvent::DrainRequested { budget } => budget,
            _ => GRACE,
        };
        if worker.must_end_by.is_none() {
            // The worker may have handled the cause that late.
            worker.late = pauses;
            worker.may_leave = !worker.has_read_serve || worker.is_unready;
        }
        let by = self.now + budget;
        if worker.must_end_by.is_none_or(|earlier| by < earlier) {
            let until = self.now + budget / 2;
            let earlier = worker.offers_until.unwrap_or(until);
            worker.must_end_by = Some(by);
            worker.offers_until = Some(until.min(earlier));
        }
        self.tell(index, event)
    }

    fn tell(&mut self, index: usize, event: WorkerEvent) -> Result<(), Broken> {
        let worker = &mut self.workers[index];
        let before = worker.budget();
        worker.lifecycle.handle(event, self.now);
        let by = worker.offers_until.zip(worker.must_end_by);
        ensure(
            before.is_none() || worker.budget() == by,
            "an event that crosses a drain does not extend it, and only a shorter request shortens it",
        )
    }

    fn count(&mut self, index: usize) -> Result<(), Broken> {
        let worker = &mut self.workers[index];
        worker.was_silent = false;
        if worker.drain.is_some() && !worker.is_listening {
            worker.listener_ended.get_or_insert(self.now);
        }
        let connections = Connections {
            listeners: usize::from(worker.is_listening),
            are_sockets_closed: !worker.is_listening,
            streams: usize::from(worker.silent + worker.readable),
            announces_close: false,
            unread: usize::from(worker.silent + worker.readable),
            last_activity: None,
        };
        self.tell(index, WorkerEvent::Changed(connections))
    }

    pub(super) fn worker_acts(&mut self, index: usize) -> Result<Option<WorkerAction>, Broken> {
        let action = self.workers[index].lifecycle.next_action(self.now);
        if let Some(action) = action {
            self.perform_in_worker(index, action)?;
        }
        Ok(action)
    }

    fn perform_in_worker(&mut self, index: usize, action: WorkerAction) -> Result<(), Broken> {
        let (now, queued) = (self.now, self.queued);
        // After the death of the master, the first worker that has accepted its part of the queue
        // ends it, also for the others.
        let is_shared = self.workers.iter().filter(|one| one.is_listening).count() > 1;
        let kept = queued - if is_shared { self.late } else { 0 };
        let is_read = self.master.is_some();
        let worker = &mut self.workers[index];
        match action {
            WorkerAction::OpenGate => {
                worker.is_gated = false;
                Ok(())
            }
            // A master delays the stop, not the worker.
            WorkerAction::AnnounceStop => Err("a worker delayed a stop".into()),
            WorkerAction::ReportReadiness { is_ready } => {
                let frame = if is_ready {
                    Frame::Ready
                } else {
                    Frame::Unready
                };
                worker.to_master.extend(is_read.then_some(frame));
                Ok(())
            }
            WorkerAction::RunHook => self.tell(index, WorkerEvent::HookFinished),
            WorkerAction::CloseListeners {
                deadline,
                until,
                backlog,
                frees_address,
            } => {
                ensure(
                    worker.must_end_by == Some(deadline),
                    "a drain has the shortest time that was requested",
                )?;
                ensure(
                    worker.offers_until == Some(until),
                    "a worker offers the queue for half of its budget",
                )?;
                ensure(
                    backlog == Backlog::Serve || worker.has_main_ended || worker.may_leave,
                    "a worker leaves the queue only if its main cannot accept or its gate is closed",
                )?;
                ensure(
                    backlog == Backlog::Serve || !frees_address,
                    "a worker that leaves the queue does not end it",
                )?;
                worker.drain = Some(DrainFacts {
                    closing_until: None,
                    until,
                    deadline,
                    backlog,
                });
                worker.frees_address = frees_address;
                let serves = backlog == Backlog::Serve && worker.is_listening;
                let quota = if serves { queued } else { 0 };
                worker.quota = Some(quota);
                if !worker.has_failed {
                    self.promised = self.promised.max(quota.min(kept));
                }
                self.count(index)
            }
            WorkerAction::Shorten { deadline, until } => {
                let drain = worker.drain.as_mut().ok_or("shortened before a drain")?;
                ensure(
                    worker.must_end_by == Some(deadline) && worker.offers_until == Some(until),
                    "a drain has the shortest time that was requested",
                )?;
                (drain.deadline, drain.until) = (deadline, until);
                Ok(())
            }
            WorkerAction::Terminate => {
                worker.is_signaled = true;
                Ok(())
            }
            WorkerAction::CheckReadable => {
                let has_readable = worker.readable > 0;
                worker.was_silent = !has_readable;
                self.tell(index, WorkerEvent::ReadableChecked { has_readable })
            }
            WorkerAction::Resolve => {
                let drain = worker.drain.ok_or("resolved before a drain")?;
                let is_all_read = worker.silent + worker.readable == 0;
                let ended = worker.listener_ended;
                let has_waited = ended.is_some_and(|at| now >= at + TICK) && worker.was_silent;
                let may_drop = is_all_read || has_waited;
                ensure(
                    now >= drain.until || (!worker.is_listening && may_drop),
                    "no accepted connection is dropped unread while the budget lasts",
                )?;
                worker.is_resolved = true;
                self.count(index)
            }
            WorkerAction::SendClosed => {
                ensure(
                    !worker.is_listening && !worker.sent_closed,
                    "a worker reports once that its listeners are closed",
                )?;
                worker.sent_closed = true;
                worker.to_master.extend(is_read.then_some(Frame::Closed));
                Ok(())
            }
            WorkerAction::EndProcess(cause) => self.end_worker(index, cause),
        }
    }

    fn end_worker(&mut self, index: usize, cause: EndCause) -> Result<(), Broken> {
        let (now, worker) = (self.now, &self.workers[index]);
        let margin = if worker.has_read_end {
            Duration::ZERO
        } else {
            Lifecycle::MASTER_KILL_MARGIN
        };
        // The worker may not have shown a shorter deadline yet.
        let by = worker.must_end_by.ok_or("ended before a drain")?;
        ensure(
            now >= by + margin && cause != EndCause::Interrupted,
            "a worker ends itself only when its budget is over, after its master",
        )?;
        self.exit(index)
    }
}
