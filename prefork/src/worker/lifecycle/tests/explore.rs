//! Visits every state of a worker's lifecycle and checks the promises in each.
//!
//! The world is a lifecycle, its process with one listener and up to three connections, and the end
//! of the channel: frames arrive in their order, and the master can die between any two of them. The
//! worker can be a successor in a rollout, whose gate is closed at first.

mod pair;

use std::time::{Duration, Instant};

use super::super::{Action, Connections, Drain, EndCause, Event, Host, Lifecycle, Master, Orphan};
use super::super::{Backlog, DrainTimes, ReadinessReports, Stage};
use crate::explore::{Broken, Model, explore};

/// Every duration is a multiple of it.
const TICK: Duration = Duration::from_millis(250);
/// The budget of a `drain` frame, and the grace period.
const BUDGET: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_millis(1_500);
/// Less than half of the grace period.
const KEEPALIVE: Duration = Duration::from_millis(500);
/// The least time between two reports of readiness.
const INTERVAL: Duration = ReadinessReports::INTERVAL;

#[derive(Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "any combination can be explored"
)]
struct Worker {
    host: Host,
    has_master: bool,
    is_gated: bool,
    /// Responses announce that their connection closes.
    announces_close: bool,
    /// Whether it takes back its readiness.
    is_fickle: bool,
    /// The delay of a stop.
    delay: Duration,
    connections: u8,
    deepest: u32,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Ask,
    Pass,
    /// The monitor reads the next frame.
    ReadFrame,
    /// The monitor reads the end of the channel. The process of the master may still run.
    ReadEnd {
        is_process_gone: bool,
    },
    /// The monitor counts listeners and connections.
    Count,
    MasterSends(Frame),
    MasterDies,
    Tell(Event),
    ClientConnects,
    ClientSends,
    Accept,
    Read,
    /// A kept connection ends.
    ConnectionEnds,
    ListenerEnds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Serve,
    Drain,
    Terminate,
}

#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct World {
    lifecycle: Lifecycle,
    now: Instant,
    /// Frames that the worker has not read.
    frames: Vec<Frame>,
    is_master_alive: bool,
    has_read_end: bool,
    /// The worker knows that the process of the master has ended.
    is_master_gone: bool,
    has_read_serve: bool,
    is_gate_closed: bool,
    is_unready: bool,
    /// Whether the last report was that it is ready, and when it was sent.
    reported: Option<(bool, Instant)>,
    /// Connections in the queue, accepted and silent, accepted with bytes.
    queued: u8,
    silent: u8,
    readable: u8,
    /// Accepted and read. Counted only if responses announce that they close.
    kept: u8,
    announces_close: bool,
    is_listening: bool,
    is_count_due: bool,
    /// A check found no bytes since the last change.
    was_silent: bool,
    listener_ended: Option<Instant>,
    is_hook_running: bool,
    ran_hook: bool,
    was_terminated: bool,
    is_interrupted: bool,
    /// The delay of a stop, and until when the process serves on.
    delay: Duration,
    delay_until: Option<Instant>,
    is_announced: bool,
    /// The earliest deadline that was requested.
    must_end_by: Option<Instant>,
    /// `main` had ended, accept had failed, or the gate was closed when the worker had to stop.
    may_leave: bool,
    /// It was not ready when it had to stop, and is not alone.
    must_leave: bool,
    drain: Option<DrainFacts>,
    is_resolved: bool,
    sent_closed: bool,
    has_ended: bool,
}

/// What `Action::CloseListeners` contained.
#[derive(Clone, Copy)]
struct DrainFacts {
    /// The end of the closing phase, if responses announce it.
    closing_until: Option<Instant>,
    until: Instant,
    deadline: Instant,
    backlog: Backlog,
}

fn ensure(holds: bool, promise: &str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(promise.into()) }
}

impl Model for Worker {
    type State = World;
    type Move = Move;

    fn start(&self) -> World {
        let times = DrainTimes {
            delay: self.delay,
            grace: GRACE,
            keepalive_grace: if self.announces_close {
                KEEPALIVE
            } else {
                Duration::ZERO
            },
        };
        let lifecycle = Lifecycle::new(self.host, self.has_master, times);
        World {
            lifecycle: if self.is_gated {
                lifecycle.gated()
            } else {
                lifecycle
            },
            now: Instant::now(),
            frames: Vec::new(),
            is_master_alive: self.has_master,
            has_read_end: !self.has_master,
            is_master_gone: false,
            has_read_serve: false,
            is_gate_closed: self.is_gated,
            is_unready: false,
            reported: None,
            queued: 0,
            silent: 0,
            readable: 0,
            kept: 0,
            announces_close: self.announces_close,
            is_listening: true,
            is_count_due: false,
            was_silent: false,
            listener_ended: None,
            is_hook_running: false,
            ran_hook: false,
            was_terminated: false,
            is_interrupted: false,
            delay: self.delay,
            delay_until: None,
            is_announced: false,
            must_end_by: None,
            may_leave: false,
            must_leave: false,
            drain: None,
            is_resolved: false,
            sent_closed: false,
            has_ended: false,
        }
    }

    fn normal_form(&self, world: &World) -> Vec<u8> {
        world.normal_form()
    }

    fn moves(&self, world: &World) -> Vec<Move> {
        if world.has_ended {
            return Vec::new();
        }
        let mut moves = vec![Move::Ask];
        if world.rested().is_some() {
            moves.push(Move::Pass);
        }
        if world.is_count_due {
            moves.push(Move::Count);
        }
        if !world.frames.is_empty() {
            moves.push(Move::ReadFrame);
        } else if !world.is_master_alive && !world.has_read_end {
            moves.extend([true, false].map(|is_process_gone| Move::ReadEnd { is_process_gone }));
        }
        if world.is_master_alive {
            moves.push(Move::MasterDies);
            if world.frames.iter().all(|&frame| frame == Frame::Serve) {
                moves.extend([Frame::Drain, Frame::Terminate].map(Move::MasterSends));
            }
            if world.frames.is_empty() && world.is_gate_closed && !world.has_read_serve {
                moves.push(Move::MasterSends(Frame::Serve));
            }
        }
        let events = [
            Event::Terminated,
            Event::Interrupted,
            Event::MainEnded,
            Event::AcceptFailed,
        ];
        moves.extend(events.map(Move::Tell));
        if self.is_fickle {
            let is_ready = world.is_unready;
            moves.push(Move::Tell(Event::ReadinessChanged { is_ready }));
        }
        if world.is_hook_running {
            moves.push(Move::Tell(Event::HookFinished));
        }
        if world.queued + world.silent + world.readable + world.kept < self.connections {
            moves.push(Move::ClientConnects);
        }
        if world.is_listening && !world.is_held() && world.queued > 0 {
            moves.push(Move::Accept);
        }
        if world.silent > 0 {
            moves.push(Move::ClientSends);
        }
        if world.readable > 0 {
            moves.push(Move::Read);
        }
        if world.kept > 0 {
            moves.push(Move::ConnectionEnds);
        }
        if world.is_listening {
            moves.push(Move::ListenerEnds);
        }
        moves
    }

    fn apply(&mut self, world: &mut World, next: Move) -> Result<(), Broken> {
        match next {
            Move::Ask => world.ask(self.host).map(|_| ()),
            Move::Pass => world.pass(self.host),
            Move::ReadFrame => {
                match world.frames.remove(0) {
                    Frame::Serve => {
                        world.has_read_serve = true;
                        world.tell(Event::GateOpened);
                    }
                    Frame::Drain => world.tell(Event::DrainRequested { budget: BUDGET }),
                    Frame::Terminate => world.tell(Event::Terminated),
                }
                Ok(())
            }
            Move::ReadEnd { is_process_gone } => {
                world.has_read_end = true;
                world.is_master_gone = is_process_gone;
                world.tell(Event::MasterDied { is_process_gone });
                Ok(())
            }
            Move::Count => {
                world.count();
                Ok(())
            }
            Move::MasterSends(frame) => {
                world.frames.push(frame);
                Ok(())
            }
            Move::MasterDies => {
                world.is_master_alive = false;
                Ok(())
            }
            Move::Tell(event) => {
                world.tell(event);
                Ok(())
            }
            Move::ClientConnects => {
                world.queued += 1;
                Ok(())
            }
            Move::ClientSends => {
                world.silent -= 1;
                world.readable += 1;
                Ok(())
            }
            Move::Accept => {
                world.queued -= 1;
                world.silent += 1;
                world.is_count_due = true;
                ensure(
                    !self.is_gated || world.has_read_serve,
                    "a worker accepts no connection while its gate is closed",
                )
            }
            Move::Read => {
                world.readable -= 1;
                world.kept += u8::from(self.announces_close);
                world.is_count_due = true;
                Ok(())
            }
            Move::ConnectionEnds => {
                world.kept -= 1;
                world.is_count_due = true;
                Ok(())
            }
            Move::ListenerEnds => {
                world.is_listening = false;
                world.is_count_due = true;
                Ok(())
            }
        }
    }

    fn check(&self, world: &World) -> Result<(), Broken> {
        if world.has_ended {
            return Ok(());
        }
        ensure(
            world.lifecycle.draining().is_some() == world.drain.is_some(),
            "a worker drains once its listeners were asked to close",
        )?;
        let is_over = self.host == Host::Test && world.has_read_end && world.is_resolved;
        ensure(
            world.lifecycle.is_over() == is_over,
            "only the thread of a test ends, after its master and the drain",
        )?;
        if let Some(rested) = world.rested() {
            rested.check_rested(self.host)?;
        }
        world.check_end(self.host)
    }

    fn line(&self, next: Move) -> String {
        format!("{next:?}")
    }
}

impl World {
    fn normal_form(&self) -> Vec<u8> {
        let Self {
            lifecycle,
            now,
            frames,
            is_master_alive,
            has_read_end,
            is_master_gone,
            has_read_serve,
            is_gate_closed,
            is_unready,
            reported,
            queued,
            silent,
            readable,
            kept,
            announces_close: _,
            is_listening,
            is_count_due,
            was_silent,
            listener_ended,
            is_hook_running,
            ran_hook,
            was_terminated,
            is_interrupted,
            delay: _,
            delay_until,
            is_announced,
            must_end_by,
            may_leave,
            must_leave,
            drain,
            is_resolved,
            sent_closed,
            has_ended,
        } = self;
        let ticks = |at: Instant| {
            let left = at.saturating_duration_since(*now).as_millis() / TICK.as_millis();
            u8::try_from(left).expect("durations are short")
        };
        let mut form = lifecycle.normal_form(ticks);
        form.extend([*queued, *silent, *readable, *kept]);
        let ended = listener_ended.map(|at| ticks(at + TICK));
        form.extend([u8::from(ended.is_some()), ended.unwrap_or(0)]);
        if let Some((is_ready, at)) = reported {
            form.extend([u8::from(*is_ready), ticks(*at + INTERVAL)]);
        }
        form.extend(must_end_by.map(ticks));
        form.push(delay_until.map_or(u8::MAX, ticks));
        if let Some(DrainFacts {
            closing_until,
            until,
            deadline,
            backlog,
        }) = drain
        {
            form.extend([ticks(*until), ticks(*deadline)]);
            form.push(u8::from(*backlog == Backlog::Leave));
            form.extend(closing_until.map(ticks));
        }
        let flags = [
            *is_master_alive,
            *has_read_end,
            *is_master_gone,
            *has_read_serve,
            *is_gate_closed,
            *is_unready,
            reported.is_some(),
            *is_listening,
            *is_count_due,
            *was_silent,
            *is_hook_running,
            *ran_hook,
            *was_terminated,
            *is_interrupted,
            must_end_by.is_some(),
            *is_announced,
            *may_leave,
            *must_leave,
            drain.is_some(),
            *is_resolved,
            *sent_closed,
            *has_ended,
        ];
        form.extend(flags.map(u8::from));
        form.extend(frames.iter().map(|&frame| frame as u8));
        form
    }

    fn rested(&self) -> Option<Self> {
        let mut world = self.clone();
        world
            .lifecycle
            .next_action(world.now)
            .is_none()
            .then_some(world)
    }

    /// Whether accepts wait for the gate, or find that the drain leaves the queue.
    fn is_held(&self) -> bool {
        let leaves = |drain: DrainFacts| drain.backlog == Backlog::Leave;
        (self.is_gate_closed || self.is_unready) && self.drain.is_none_or(leaves)
    }

    fn tell(&mut self, event: Event) {
        self.lifecycle.handle(event, self.now);
        let is_single = self.lifecycle.master == Master::None;
        if event == Event::Terminated && self.must_end_by.is_none() && !self.delay.is_zero() {
            self.delay_until.get_or_insert(self.now + self.delay);
            return;
        }
        let budget = match event {
            Event::DrainRequested { budget } => budget,
            Event::MasterDied { .. } | Event::Terminated | Event::AcceptFailed => GRACE,
            Event::MainEnded if !is_single => GRACE,
            Event::Interrupted => {
                self.is_interrupted = true;
                return;
            }
            Event::HookFinished => {
                self.is_hook_running = false;
                return;
            }
            Event::ReadinessChanged { is_ready } => {
                self.is_unready = !is_ready;
                return;
            }
            // A single process serves on after its `main`.
            Event::MainEnded
            | Event::GateOpened
            | Event::Changed(_)
            | Event::ReadableChecked { .. } => return,
        };
        if self.must_end_by.is_none() {
            let is_held = self.is_gate_closed && !self.has_read_serve;
            let has_master = self.lifecycle.master == Master::Alive;
            self.must_leave = self.is_unready && has_master;
            self.may_leave = is_held
                || self.must_leave
                || matches!(event, Event::MainEnded | Event::AcceptFailed);
        }
        let by = self.now + budget;
        self.must_end_by = Some(self.must_end_by.map_or(by, |earlier| earlier.min(by)));
    }

    fn count(&mut self) {
        self.is_count_due = false;
        self.was_silent = false;
        if self.drain.is_some() && !self.is_listening {
            self.listener_ended.get_or_insert(self.now);
        }
        self.tell(Event::Changed(Connections {
            listeners: usize::from(self.is_listening),
            are_sockets_closed: !self.is_listening,
            streams: usize::from(self.silent + self.readable + self.kept),
            announces_close: self.announces_close,
            unread: usize::from(self.silent + self.readable),
            last_activity: None,
        }));
    }

    fn pass(&mut self, host: Host) -> Result<(), Broken> {
        let action = self.ask(host)?;
        ensure(action.is_none(), "time passes when nothing is left to do")?;
        self.now += TICK;
        Ok(())
    }

    fn ask(&mut self, host: Host) -> Result<Option<Action>, Broken> {
        let action = self.lifecycle.next_action(self.now);
        let is_delayed = self.delay_until.is_some() && self.must_end_by.is_none();
        if is_delayed && self.lifecycle.current_drain().is_some() {
            ensure(
                self.is_announced && self.delay_until.is_some_and(|until| until <= self.now),
                "a process serves on for the whole delay of a stop",
            )?;
            self.must_end_by = Some(self.now + GRACE);
        }
        if let Some(action) = action {
            self.perform(action, host)?;
        }
        Ok(action)
    }

    fn perform(&mut self, action: Action, host: Host) -> Result<(), Broken> {
        let now = self.now;
        match action {
            Action::OpenGate => {
                ensure(
                    self.has_read_serve && self.is_gate_closed && self.drain.is_none(),
                    "the gate opens once, when the master opens it, and not in a drain",
                )?;
                self.is_gate_closed = false;
            }
            Action::AnnounceStop => {
                ensure(
                    self.delay_until.is_some() && !self.is_announced && self.drain.is_none(),
                    "a stop with a delay is announced once, before the drain",
                )?;
                self.is_announced = true;
            }
            Action::ReportReadiness { is_ready } => self.report_readiness(is_ready)?,
            Action::RunHook => {
                ensure(
                    self.has_read_end && !self.ran_hook && host == Host::Process,
                    "on_master_death runs once, after the death of the master",
                )?;
                self.ran_hook = true;
                self.is_hook_running = true;
            }
            Action::CloseListeners {
                deadline,
                until,
                backlog,
                frees_address,
            } => {
                ensure(
                    self.must_end_by.is_some() && self.drain.is_none(),
                    "a drain begins once, when it was requested",
                )?;
                ensure(
                    until < deadline,
                    "a drain ends within its budget, and its listeners within half of it",
                )?;
                ensure(
                    !frees_address || self.is_master_gone,
                    "the address is freed only after the end of the master's process",
                )?;
                self.check_queue(backlog, frees_address)?;
                let closing_until = now + KEEPALIVE;
                self.drain = Some(DrainFacts {
                    closing_until: self.announces_close.then_some(closing_until),
                    until,
                    deadline,
                    backlog,
                });
                self.count();
            }
            Action::Shorten { deadline, until } => {
                let drain = self.drain.as_mut().ok_or("shortened before a drain")?;
                ensure(
                    deadline < drain.deadline && until <= drain.until,
                    "a later request only shortens a drain",
                )?;
                (drain.deadline, drain.until) = (deadline, until);
            }
            Action::Terminate => {
                let is_half = self.drain.is_some_and(|drain| now >= drain.until);
                ensure(
                    self.ran_hook && !self.was_terminated && (!self.is_hook_running || is_half),
                    "SIGTERM is sent once, after the hook or at half of the budget",
                )?;
                self.was_terminated = true;
            }
            Action::CheckReadable => {
                let has_readable = self.readable > 0;
                self.was_silent = !has_readable;
                self.tell(Event::ReadableChecked { has_readable });
            }
            Action::Resolve => self.resolve()?,
            Action::SendClosed => {
                ensure(
                    !self.is_listening && !self.sent_closed && !self.has_read_end,
                    "a worker reports once that its listeners are closed, to a living master",
                )?;
                self.sent_closed = true;
            }
            Action::EndProcess(cause) => self.end_process(cause, host)?,
        }
        Ok(())
    }

    fn resolve(&mut self) -> Result<(), Broken> {
        let drain = self.drain.ok_or("resolved before a drain")?;
        ensure(!self.is_resolved, "shutdown() resolves once")?;
        let unread = self.silent + self.readable;
        let silent_wait = self.listener_ended.is_some_and(|at| self.now >= at + TICK);
        let all_read = !self.is_listening && unread == 0;
        let is_silent = !self.is_listening && silent_wait && self.was_silent;
        ensure(
            self.now >= drain.until || all_read || is_silent,
            "no accepted connection is dropped unread while the budget lasts",
        )?;
        ensure(
            !self.is_closing(),
            "kept connections may end by themselves within keepalive_grace",
        )?;
        self.is_resolved = true;
        // The listeners that were not taken are closed.
        self.is_listening = false;
        self.count();
        Ok(())
    }

    fn report_readiness(&mut self, is_ready: bool) -> Result<(), Broken> {
        let now = self.now;
        ensure(
            self.drain.is_none() && is_ready != self.is_unready,
            "a report of readiness is true, and none comes in a drain",
        )?;
        let may_report = self
            .reported
            .is_none_or(|(last, at)| last != is_ready && now >= at + INTERVAL);
        ensure(
            may_report,
            "a worker reports what has changed, once in a second",
        )?;
        self.reported = Some((is_ready, now));
        Ok(())
    }

    fn end_process(&mut self, cause: EndCause, host: Host) -> Result<(), Broken> {
        ensure(
            host == Host::Process,
            "the process of a test is never ended",
        )?;
        let margin = if self.has_read_end {
            Duration::ZERO
        } else {
            Lifecycle::MASTER_KILL_MARGIN
        };
        let is_late = self
            .drain
            .is_some_and(|drain| self.now >= drain.deadline + margin);
        let is_interrupted = cause == EndCause::Interrupted && self.is_interrupted;
        ensure(
            is_interrupted || is_late,
            "a process is ended when its time is over, after its master, or interrupted",
        )?;
        self.has_ended = true;
        Ok(())
    }

    /// Checks what a drain that begins does with the queue.
    fn check_queue(&self, backlog: Backlog, frees_address: bool) -> Result<(), Broken> {
        ensure(
            !frees_address || self.has_read_end,
            "the address is freed only after the death of the master",
        )?;
        ensure(
            !frees_address || backlog == Backlog::Serve,
            "a worker that leaves the queue does not end it",
        )?;
        ensure(
            backlog == Backlog::Serve || self.may_leave,
            "a worker leaves the queue only if its main cannot accept or its gate is closed",
        )?;
        ensure(
            !self.must_leave || backlog == Backlog::Leave,
            "a worker that is not ready leaves the queue to others",
        )?;
        ensure(
            !self.is_gate_closed || self.has_read_serve || backlog == Backlog::Leave,
            "a worker whose gate is closed leaves the queue",
        )
    }

    fn check_rested(&self, host: Host) -> Result<(), Broken> {
        let deadline = self.lifecycle.deadline(self.now);
        ensure(
            deadline.is_none_or(|at| at > self.now),
            "without an action, the deadline is in the future",
        )?;
        ensure(
            self.drain.map(|drain| drain.deadline) == self.must_end_by,
            "a drain begins as soon as it is requested, and has the earliest requested deadline",
        )?;
        ensure(
            !self.is_gate_closed || !self.has_read_serve || self.drain.is_some(),
            "the gate opens as soon as the master opens it",
        )?;
        let (reported, at) = self.reported.unwrap_or((true, self.now));
        let is_wrong = reported == self.is_unready && self.must_end_by.is_none();
        ensure(
            !is_wrong || self.reported.is_some() && self.now < at + INTERVAL,
            "the last report of readiness is true, or less than a second old",
        )?;
        ensure(
            !self.has_read_end || !self.ran_hook || self.is_hook_running || self.was_terminated,
            "a worker without a master gets SIGTERM when the hook has finished",
        )?;
        ensure(
            !(self.is_interrupted && host == Host::Process),
            "an interrupted process ends at once",
        )?;
        let has_counted = self.drain.is_some() && !self.is_count_due && !self.is_listening;
        ensure(
            !has_counted || self.sent_closed || self.has_read_end,
            "the master learns that the listeners are closed",
        )?;
        let is_read = self.silent + self.readable == 0;
        ensure(
            !has_counted || !is_read || self.is_closing() || self.is_resolved,
            "shutdown() resolves as soon as all is closed and read",
        )
    }

    /// Whether a drain waits for kept connections.
    fn is_closing(&self) -> bool {
        let ends = |drain: DrainFacts| Some(drain.closing_until?.min(drain.until));
        let is_early = self.drain.and_then(ends).is_some_and(|at| self.now < at);
        is_early && self.kept > 0
    }

    /// Checks that a drain comes to its end if nothing happens any more.
    fn check_end(&self, host: Host) -> Result<(), Broken> {
        if self.must_end_by.is_none() && self.delay_until.is_none() {
            return Ok(());
        }
        let mut world = self.clone();
        let longest = self.delay + GRACE + Lifecycle::MASTER_KILL_MARGIN;
        for _ in 0..=longest.as_millis() / TICK.as_millis() {
            for actions in 0.. {
                ensure(actions < 10, "no action repeats for ever")?;
                if world.has_ended || world.ask(host)?.is_none() {
                    break;
                }
            }
            if world.has_ended {
                return Ok(());
            }
            if host == Host::Test && world.is_resolved {
                return Ok(());
            }
            world.pass(host)?;
        }
        Err("a drain ends within its budget, whatever the clients do".into())
    }
}

impl Lifecycle {
    /// The times are written by `ticks`.
    fn normal_form(&self, ticks: impl Fn(Instant) -> u8) -> Vec<u8> {
        let Lifecycle {
            host: _,
            master,
            times: _,
            stage,
            readiness,
            shown_deadline,
            has_failed,
            is_interrupted: must_end,
            is_closed_sent,
        } = self;
        let mut form = vec![
            match master {
                Master::None => 0,
                Master::Alive => 1,
                Master::Dead(Orphan::MustRunHook) => 2,
                Master::Dead(Orphan::HookRunning) => 3,
                Master::Dead(Orphan::MustTerminate) => 4,
                Master::Dead(Orphan::Terminated) => 5,
            },
            u8::from(*has_failed),
            u8::from(*must_end),
            u8::from(*is_closed_sent),
        ];
        // It is that of the drain, or a later one.
        let is_shown = *shown_deadline == self.current_drain().map(|drain| drain.deadline);
        form.push(u8::from(is_shown));
        let (stage, of_stage) = match stage {
            Stage::Gated => (4, None),
            Stage::MustOpenGate => (5, None),
            Stage::Serving => (0, None),
            Stage::Delaying {
                until,
                is_announced,
            } => {
                form.extend([ticks(*until), u8::from(*is_announced)]);
                (6, None)
            }
            Stage::MustDrain {
                drain,
                backlog,
                frees_address,
            } => {
                form.push(u8::from(*backlog == Backlog::Leave));
                form.push(u8::from(*frees_address));
                (1, Some(drain))
            }
            Stage::Draining(drain) => (2, Some(drain)),
            Stage::Resolved(drain) => (3, Some(drain)),
        };
        form.push(stage);
        form.extend(readiness.normal_form(&ticks));
        form.extend(
            of_stage
                .map(|drain| drain.normal_form(&ticks))
                .into_iter()
                .flatten(),
        );
        form
    }
}

impl Drain {
    fn normal_form(&self, ticks: impl Fn(Instant) -> u8) -> Vec<u8> {
        let times = [self.half, self.deadline, self.keepalive_until].map(&ticks);
        let mut form = times.to_vec();
        form.push(self.readable as u8);
        let ended = self.listeners_ended().map(|at| ticks(at + TICK));
        form.extend([u8::from(ended.is_some()), ended.unwrap_or(0)]);
        if let Some(Connections {
            listeners,
            are_sockets_closed,
            streams,
            announces_close: _,
            unread,
            last_activity: _,
        }) = self.connections
        {
            form.push(1 + u8::from(are_sockets_closed));
            form.extend([listeners, streams, unread].map(|n| u8::try_from(n).expect("few")));
        }
        form
    }
}

fn run(name: &str, mut worker: Worker) {
    let deepest = worker.deepest;
    match explore(&mut worker, deepest) {
        Ok(explored) => println!("{name}: {explored}"),
        Err(report) => panic!("{name}: {report}"),
    }
}

#[test]
fn every_promise_holds_in_every_state_of_a_worker() {
    let is_long = std::env::var_os("PREFORK_TESTS_EXPLORE").is_some();
    let (connections, deepest) = if is_long { (3, u32::MAX) } else { (1, 8) };
    let worker = Worker {
        host: Host::Process,
        has_master: true,
        is_gated: false,
        announces_close: false,
        is_fickle: false,
        delay: Duration::ZERO,
        connections,
        deepest,
    };
    let gated = Worker {
        is_gated: true,
        ..worker
    };
    let single = Worker {
        has_master: false,
        ..worker
    };
    let in_test = Worker {
        host: Host::Test,
        ..worker
    };
    let announcing = |worker| Worker {
        announces_close: true,
        ..worker
    };
    let delayed = |worker| Worker {
        delay: 2 * TICK,
        ..worker
    };
    // The states of its reports multiply the others.
    let fickle = |worker| Worker {
        is_fickle: true,
        connections: 1,
        ..worker
    };
    for (name, worker) in [
        ("worker", worker),
        ("gated worker", gated),
        ("fickle worker", fickle(worker)),
        ("fickle gated worker", fickle(gated)),
        ("worker that announces", announcing(worker)),
        ("worker in the process of a test", in_test),
        ("single process", single),
        ("single process with a delay", delayed(single)),
        ("fickle single process", fickle(single)),
        ("single process that announces", announcing(single)),
        (
            "single process with a delay that announces",
            announcing(delayed(single)),
        ),
    ] {
        let connections = worker.connections;
        run(&format!("{name}, {connections} connections"), worker);
    }
}
