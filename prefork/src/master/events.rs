//! Handles what the kernel reports: passes events to the supervisor and emits notices.
//!
//! Knows the sources of events and their meaning; makes no decisions about children.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::child::{ChildProcess, ReportedReadiness};
use super::commands::{Command, CommandReceiver};
use super::exit_history::LastExit;
use super::notice::{EndedBy, StopStep, UnreapedCause, WorkerProcess, WorkerRole};
use super::poller::{EventSource, ListenerSocket};
use super::rollout::{NeedsRestart, SuccessorFailure};
use super::traced_child::TracedExit;
use super::{LogLine, Master, Notice, hooks, teardown};
use crate::channel::{FromChild, FromMaster, PROTOCOL, ReceivedFrame as Frame};
use crate::error::{Error, Shortage};
use crate::stop_signals::{STOP_SIGNALS, StopSignal};
use crate::supervisor::{ChildId, Event, Readiness, Stop, StopMode};
use crate::sys::exit_status::ExitStatus;
use crate::sys::signals::{ReceivedSignal, SignalReceiver};

/// The number of frames read from one child before other sources get their turn.
const FRAMES_PER_TURN: usize = 16;

impl Master {
    pub(super) fn handle_source(&mut self, source: EventSource) {
        match source {
            EventSource::Signals => self.on_signals(),
            EventSource::Commands => self.on_commands(),
            EventSource::Listener(socket) => self.on_lost_listener(socket),
            EventSource::Channel(child) => self.on_channel(child),
            EventSource::Stderr(child) => self.rollout.stderr.read(child, &self.poller),
            EventSource::Exit(child) => self.on_exit(child),
        }
    }

    /// Passes an event from a source to the supervisor.
    pub(super) fn notify_heard(&mut self, event: Event) {
        self.notify_at(event, self.events_seen_until);
    }

    /// Passes the result of an action, which may have taken time, to the supervisor.
    pub(super) fn notify(&mut self, event: Event) {
        self.notify_at(event, Instant::now());
    }

    fn notify_at(&mut self, event: Event, now: Instant) {
        self.supervisor.handle(event, now);
        self.note_stop();
    }

    /// Notices the beginning of a stop, and records its time in `stop_signals`.
    ///
    /// The meaning of SIGINT depends on that time, and many events can begin a stop.
    pub(super) fn note_stop(&mut self) {
        let stop = self.supervisor.snapshot().stop();
        if stop.is_some_and(|stop| self.stop_signals.stop_began(stop.began)) {
            self.rollout.stop();
            let delay = self.drain_delay_left();
            if !delay.is_zero() {
                self.announce_stop();
            }
            let grace = self.limits.shutdown_grace_period;
            self.emit(&Notice::StopBegan { delay, grace });
        }
    }

    /// How long the workers serve on although a stop was requested.
    fn drain_delay_left(&self) -> Duration {
        let until = self.supervisor.snapshot().delayed_until();
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(self.events_seen_until)
        })
    }

    /// Tells all workers that a stop was requested, although they serve on.
    fn announce_stop(&self) {
        for channel in self
            .children
            .values()
            .filter_map(|child| child.channel.as_ref())
        {
            // A program that reads no frames learns of the stop by SIGTERM, after the delay.
            let _ = channel.send(&FromMaster::Stopping.encode());
        }
    }

    /// Calls the consumers of notices: the log, the service manager and the hooks.
    pub(super) fn emit(&mut self, notice: &Notice<'_>) {
        self.log.report(notice);
        let Err(error) = hooks::call(&mut self.hooks, self.orphans.as_mut(), notice) else {
            return;
        };
        self.log.notice(&Notice::HookFailed(&error));
        // The first error is the reason why the master ends.
        self.failure.get_or_insert(error);
        self.notify(Event::HookFailed);
    }

    pub(super) fn on_signals(&mut self) {
        let signals = self.signals.iter();
        let received: Vec<ReceivedSignal> = signals.flat_map(SignalReceiver::received).collect();
        for received in received {
            self.on_signal(received);
        }
    }

    fn on_signal(&mut self, received: ReceivedSignal) {
        match received.signal {
            signal if STOP_SIGNALS.contains(&signal) => self.on_stop_signal(received),
            Signal::SIGHUP => self.on_hangup_signal(received),
            Signal::SIGCHLD => {
                self.note_suspended();
                self.exclude_orphans();
            }
            _ => self.on_repeated_signal(received),
        }
    }

    pub(super) fn on_stop_signal(&mut self, received: ReceivedSignal) {
        let (signal, first, last) = (received.signal, received.first, received.last);
        let stop = self.supervisor.snapshot().stop();
        let (urgency, is_new) = match self.stop_signals.signals(signal, first, last) {
            StopSignal::Graceful => (StopMode::Graceful, stop.is_none()),
            StopSignal::Immediate => (StopMode::Immediate, !stop.is_some_and(Stop::is_immediate)),
        };
        if is_new {
            self.stop(Some(received), urgency);
        } else {
            self.on_repeated_signal(received);
        }
    }

    pub(super) fn on_repeated_signal(&mut self, received: ReceivedSignal) {
        if let Some(received) = self.repeats.record(received, Instant::now()) {
            self.log_repeat(received);
        }
    }

    /// Logs the repeated signals that are due.
    pub(super) fn log_due_repeats(&mut self) {
        while let Some(received) = self.repeats.next_due(Instant::now()) {
            self.log_repeat(received);
        }
    }

    pub(super) fn log_remaining_repeats(&mut self) {
        for received in self.repeats.drain() {
            self.log_repeat(received);
        }
    }

    fn log_repeat(&mut self, received: ReceivedSignal) {
        let (by, step) = (Some(received), StopStep::AlreadyStopping);
        self.emit(&match received.signal {
            Signal::SIGHUP if !self.supervisor.is_stopping() => Notice::RolloutRequested { by },
            Signal::SIGHUP => Notice::StopRequested { by, step },
            signal if STOP_SIGNALS.contains(&signal) => Notice::StopRequested { by, step },
            _ => Notice::SignalIgnored(received),
        });
    }

    fn on_commands(&mut self) {
        while let Some(command) = self.commands.as_ref().and_then(CommandReceiver::next) {
            match command {
                Command::Stop(urgency) => self.stop(None, urgency),
                Command::Reload(reply) => self.reload(reply),
            }
        }
    }

    fn stop(&mut self, by: Option<ReceivedSignal>, urgency: StopMode) {
        let workers = self.children.len();
        let step = match urgency {
            StopMode::Immediate => StopStep::Immediate { workers },
            StopMode::Graceful if self.supervisor.is_stopping() => StopStep::AlreadyStopping,
            StopMode::Graceful => StopStep::Begins {
                workers,
                // A master that is not ready yet stops without a delay.
                delay: if self.supervisor.snapshot().is_running() {
                    self.drain_delay
                } else {
                    Duration::ZERO
                },
                grace: self.limits.shutdown_grace_period,
            },
        };
        self.emit(&Notice::StopRequested { by, step });
        self.notify_heard(Event::StopRequested { urgency });
    }

    /// Binds a listening socket again that a process which shares it has shut down.
    ///
    /// No worker can accept from the old socket any more. Workers that have it exit, because their
    /// accept fails, and their replacements get the new one.
    fn on_lost_listener(&mut self, lost: ListenerSocket) {
        let ListenerSocket { listener, socket } = lost;
        // A stop may have closed it already.
        let Some(bound) = self.listeners.get_mut(usize::from(listener)) else {
            return;
        };
        let index = usize::try_from(socket).unwrap_or(usize::MAX);
        let Some(fd) = bound.sockets().nth(index) else {
            return;
        };
        self.poller.remove(fd);
        if self.supervisor.is_stopping() {
            return;
        }
        let info = bound.info.clone();
        let again = bound.rebind(index).and_then(|old| {
            teardown::close(vec![old]);
            let fd = bound.sockets().nth(index);
            let watched = fd.map(|fd| self.poller.add(fd, EventSource::Listener(lost)));
            watched.unwrap_or(Ok(())).map_err(|source| Error::Master {
                doing: "watch its descriptors (epoll_ctl)",
                source,
            })
        });
        match again {
            Ok(()) => self.emit(&Notice::ListenerRebound(&info)),
            Err(error) => {
                self.emit(&Notice::ListenerLost(&info));
                self.failure.get_or_insert(error);
                self.notify_heard(Event::ListenerLost);
            }
        }
    }

    fn on_channel(&mut self, id: ChildId) {
        for _ in 0..FRAMES_PER_TURN {
            match self.read_frame(id) {
                ChannelInput::Event(event) => self.notify_heard(event),
                ChannelInput::Hello {
                    readiness,
                    listeners,
                    options,
                    has_gate,
                    can_adopt,
                } => {
                    let event = match self.check_hello(id, &listeners, options, has_gate) {
                        Ok(()) => Event::Readiness {
                            child: id,
                            readiness,
                        },
                        Err(NeedsRestart) => Event::Violation { child: id },
                    };
                    self.notify_heard(event);
                    if can_adopt {
                        self.notify_heard(Event::AdoptionOffered { child: id });
                    }
                    self.note_ready(id);
                }
                ChannelInput::Ready => {
                    self.notify_heard(Event::Ready { child: id });
                    self.note_ready(id);
                }
                ChannelInput::Unready => self.on_unready(id),
                ChannelInput::Shortage(worker, shortage) => self.emit(&Notice::Shortage {
                    worker: Some(worker),
                    shortage: &shortage,
                }),
                ChannelInput::Unpinned(error) => self.on_unpinned(id, error),
                ChannelInput::AdoptionFailed { is_short } => {
                    self.on_adoption_failed(id, is_short);
                }
                ChannelInput::Skipped => {}
                ChannelInput::Nothing => return,
            }
        }
    }

    /// Handles a promoted child that does not run on the CPU of its slot.
    fn on_unpinned(&mut self, id: ChildId, error: io::Error) {
        if let Some(child) = self.children.get_mut(&id)
            && child.role == WorkerRole::Worker
            && let Some(cpu) = self.pinning.cpu_of(child.slot)
        {
            child.unpinned = Some((cpu, error));
            self.report_unpinned(id);
        }
    }

    /// Reads at most one frame.
    fn read_frame(&mut self, id: ChildId) -> ChannelInput {
        let Some(child) = self.children.get_mut(&id) else {
            return ChannelInput::Nothing;
        };
        let Some(channel) = &child.channel else {
            return ChannelInput::Nothing;
        };
        let broken = match channel.receive() {
            Frame::Nothing => return ChannelInput::Nothing,
            Frame::End => None,
            Frame::TooLong => Some("sent the master a frame that is too long"),
            Frame::Descriptors => Some("sent the master a frame with file descriptors"),
            Frame::Frame(_) if !child.rate.try_acquire(Instant::now()) => {
                Some("sent the master more frames than allowed")
            }
            Frame::Frame(frame) => match child.decode(&frame) {
                Ok(heard) => return heard,
                Err(violation) => Some(violation),
            },
        };
        // Later frames are ignored, and epoll would report the end of the channel in every wait.
        if let Some(channel) = child.channel.take() {
            self.poller.remove(&channel);
        }
        match broken {
            // The end of the channel does not prove an exit; only the process descriptor does.
            None => ChannelInput::Nothing,
            Some(violation) => {
                child.violation = Some(violation);
                ChannelInput::Event(Event::Violation { child: id })
            }
        }
    }

    /// Reports a child that is healthy for the first time.
    pub(super) fn note_ready(&mut self, id: ChildId) {
        if !self.supervisor.snapshot().is_healthy(id) {
            return;
        }
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        match child.readiness {
            ReportedReadiness::None => {
                child.readiness = ReportedReadiness::Ready;
                let (worker, age) = (child.process(), child.started.elapsed());
                self.emit(&Notice::WorkerReady { worker, age });
            }
            ReportedReadiness::TakenBack => self.report_readiness(id, true),
            ReportedReadiness::Ready => {}
        }
    }

    /// Handles a child that takes back its readiness.
    fn on_unready(&mut self, id: ChildId) {
        if self.supervisor.snapshot().is_healthy(id) {
            self.report_readiness(id, false);
        }
        if let Some(child) = self.children.get(&id)
            && child.is_successor()
            && child.readiness != ReportedReadiness::None
        {
            let failure = SuccessorFailure {
                pid: Some(child.pid),
                cause: "took back its readiness".to_owned(),
                last_words: None,
            };
            self.rollout.failures.entry(id).or_insert(failure);
        }
        self.notify_heard(Event::Unready { child: id });
    }

    /// Reports that a child has taken back its readiness, or is ready again.
    fn report_readiness(&mut self, id: ChildId, is_ready: bool) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        // A worker limits its reports, too, but the program may be another one.
        if is_ready || child.readiness_rate.try_acquire(Instant::now()) {
            child.readiness = if is_ready {
                ReportedReadiness::Ready
            } else {
                ReportedReadiness::TakenBack
            };
            let worker = Some(child.process());
            self.emit(&Notice::ReadinessChanged { worker, is_ready });
        }
    }

    fn on_exit(&mut self, id: ChildId) {
        let status = match self.children.get(&id).map(|child| child.pidfd.try_wait()) {
            Some(Ok(Some(status))) => status,
            // A tracer keeps it from being reaped; the descriptor reports again when the tracer
            // detaches.
            Some(Ok(None)) => return self.report_traced(id),
            // The process descriptor reported the exit and does not report it again: without this
            // event the slot would stay empty.
            Some(Err(error)) => {
                self.report_unreaped(id, UnreapedCause::WaitFailed(error));
                ExitStatus::Unknown
            }
            None => return,
        };
        // For a signal to the whole process group, the kernel may report the exit of the worker
        // while the signal of the master is still on its way to the handler. Now it has arrived.
        self.on_signals();
        // The last frames may still be in the channel.
        self.on_channel(id);
        self.rollout.stderr.close(id, &self.poller);
        let Some(mut child) = self.children.remove(&id) else {
            return;
        };
        // A stop asks all workers. A terminal and a service manager signal the whole group, so a
        // worker may exit before the master asked it.
        let snapshot = self.supervisor.snapshot();
        if snapshot.stop().is_some() && snapshot.delayed_until().is_none() {
            child.note_stop_request();
        }
        self.poller.remove(&child.pidfd);
        if let Some(channel) = &child.channel {
            self.poller.remove(channel);
        }
        // First: clients wait. A child that drains wakes the others itself.
        if !self.supervisor.snapshot().is_draining(id) {
            self.wake_workers();
        }
        self.report_exit(&child, status);
        self.notify_heard(Event::Exited { child: id });
    }

    fn report_traced(&mut self, id: ChildId) {
        let traced = self
            .children
            .get(&id)
            .and_then(|child| TracedExit::of(child.pid));
        if let Some(TracedExit { tracer, was_killed }) = traced {
            self.report_unreaped(id, UnreapedCause::Traced { tracer, was_killed });
        }
    }

    /// Reports it once per child, however often its descriptor reports the exit.
    fn report_unreaped(&mut self, id: ChildId, cause: UnreapedCause) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        if !std::mem::replace(&mut child.is_unreaped_logged, true) {
            let worker = child.process();
            self.emit(&Notice::WorkerUnreaped { worker, cause });
        }
    }

    fn report_exit(&mut self, child: &ChildProcess, status: ExitStatus) {
        let now = Instant::now();
        let exit = &child.exit_report(status, now);
        let in_full = Notice::WorkerExited {
            exit,
            repeated: None,
        };
        // An exit during a stop is not its cause. Otherwise, a child drains because its slot was
        // removed, or because its `main` has ended, which was counted when the child left its slot.
        // A child that was given up is counted now.
        let is_expected = match child.ended_by {
            EndedBy::StopRequest | EndedBy::ImmediateStop | EndedBy::GracePeriod(_) => true,
            EndedBy::Nothing | EndedBy::ReadyTimeout(_) | EndedBy::Violation(_) => {
                self.supervisor.is_stopping() || self.supervisor.snapshot().is_draining(child.id)
            }
        };
        if is_expected && !child.is_successor() {
            return self.emit(&in_full);
        }
        let how = exit.cause();
        if child.is_successor() || !self.rollout.is_accepted(child.program) {
            // It does not count: only a rollout starts such a child.
            let failure = SuccessorFailure {
                pid: Some(child.pid),
                cause: exit.cause_with(None),
                last_words: child.last_words().or_else(|| exit.reason.clone()),
            };
            // A cause that is known already is more exact.
            self.rollout.failures.entry(child.id).or_insert(failure);
            self.emit(&in_full);
            if !child.is_successor() {
                self.record_exit(child.id, exit.worker, &how, &in_full);
            }
            return;
        }
        let repeated = self.exits.count(&how, now);
        self.emit(&Notice::WorkerExited { exit, repeated });
        self.record_exit(child.id, exit.worker, &how, &in_full);
    }

    /// Records an exit, for the replacement and for the error of a master that gives up.
    pub(super) fn record_exit(
        &mut self,
        child: ChildId,
        worker: WorkerProcess,
        cause: &str,
        notice: &Notice<'_>,
    ) {
        let last = LastExit {
            child,
            pid: Some(worker.pid),
            cause: cause.to_owned(),
            line: LogLine::of(notice).map_or_else(String::new, |line| line.to_string()),
        };
        self.exits.record(worker.slot, last);
    }

    /// Handles SIGCHLD: some child of this process exited.
    fn exclude_orphans(&mut self) {
        let next = self.orphans.as_ref().map(|s| s.next_check(Instant::now()));
        self.orphans_due = [self.orphans_due, next].into_iter().flatten().min();
    }

    /// Reaps orphans, if this process is PID 1.
    pub(super) fn reap_orphans(&mut self) {
        let now = Instant::now();
        let Some(reaper) = &mut self.orphans else {
            self.orphans_due = None;
            return;
        };
        if self.orphans_due.is_some_and(|due| due <= now) {
            let workers: HashSet<i32> = self.children.values().map(|child| child.pid).collect();
            self.orphans_due = reaper.reap(&workers, now);
        }
    }
}

enum ChannelInput {
    Event(Event),
    Hello {
        readiness: Readiness,
        listeners: Vec<String>,
        options: Vec<String>,
        has_gate: bool,
        can_adopt: bool,
    },
    Ready,
    Unready,
    Shortage(WorkerProcess, Shortage),
    Unpinned(io::Error),
    AdoptionFailed {
        is_short: bool,
    },
    Skipped,
    Nothing,
}

impl ChildProcess {
    /// # Errors
    /// The rule that the frame breaks.
    fn decode(&mut self, frame: &[u8]) -> Result<ChannelInput, &'static str> {
        let child = self.id;
        let Some(message) = FromChild::decode(frame) else {
            return Ok(ChannelInput::Skipped);
        };
        Ok(ChannelInput::Event(match message {
            FromChild::Hello { protocol, .. } if protocol != PROTOCOL => {
                return Err("uses another protocol version than the master");
            }
            FromChild::Hello {
                announces_ready,
                listeners,
                options,
                has_gate,
                can_adopt,
                ..
            } => {
                let readiness = if announces_ready {
                    Readiness::Notified
                } else {
                    Readiness::Assumed
                };
                return Ok(ChannelInput::Hello {
                    readiness,
                    listeners,
                    options,
                    has_gate,
                    can_adopt,
                });
            }
            FromChild::Ready => return Ok(ChannelInput::Ready),
            FromChild::Unready => return Ok(ChannelInput::Unready),
            FromChild::AdoptionFailed { is_short } => {
                return Ok(ChannelInput::AdoptionFailed { is_short });
            }
            FromChild::Closed => Event::Closed { child },
            FromChild::Panic(text) => {
                self.last_panic = Some((text, Instant::now()));
                return Ok(ChannelInput::Skipped);
            }
            FromChild::Ended(end) => {
                // The first report has the details; later reports do not replace it.
                self.main_end.get_or_insert(end);
                Event::MainEnded { child }
            }
            // A worker limits them, too, but the program may be another one.
            FromChild::Shortage(_) if !self.shortage_rate.try_acquire(Instant::now()) => {
                return Ok(ChannelInput::Skipped);
            }
            FromChild::Shortage(shortage) => {
                return Ok(ChannelInput::Shortage(self.process(), shortage));
            }
            // A child is promoted once.
            FromChild::Unpinned { .. } if std::mem::replace(&mut self.has_reported_cpu, true) => {
                return Ok(ChannelInput::Skipped);
            }
            FromChild::Unpinned { errno } => {
                return Ok(ChannelInput::Unpinned(io::Error::from_raw_os_error(errno)));
            }
        }))
    }
}
