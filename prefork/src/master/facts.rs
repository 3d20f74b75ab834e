//! What the kernel reports, as facts for the supervisor and lines for the log.

use std::collections::HashSet;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::child::Child;
use super::commands::{Command, Commands};
use super::poller::{ListenerSocket, Source};
use super::tracer::Held;
use super::{Level, LogLine, Master, closing};
use crate::channel::{FromChild, PROTOCOL, Received as Frame};
use crate::error::{Error, Shortage, ShortageStage};
use crate::escalation::StopSignal;
use crate::supervisor::{ChildId, Event, Readiness, Urgency};
use crate::sys::exit_status::ExitStatus;
use crate::sys::signals::{Received, SignalPipe};

/// Frames heard from one child before the others have their turn.
const FRAMES_PER_TURN: usize = 16;

impl Master {
    pub(super) fn hear(&mut self, source: Source) {
        match source {
            Source::Signals => self.hear_signals(),
            Source::Commands => self.hear_commands(),
            Source::Listener(socket) => self.hear_listener(socket),
            Source::Channel(child) => self.hear_channel(child),
            Source::Exit(child) => self.hear_exit(child),
        }
    }

    /// Tells the supervisor of a fact that was heard.
    fn tell_heard(&mut self, event: Event) {
        self.tell_at(event, self.heard_until);
    }

    /// Tells the supervisor what came of an action, which may have taken its time.
    pub(super) fn tell(&mut self, event: Event) {
        self.tell_at(event, Instant::now());
    }

    fn tell_at(&mut self, event: Event, now: Instant) {
        self.supervisor.handle(event, now);
        self.note_stop(now);
    }

    /// What an interrupt means depends on when the stop began, and many things can begin one.
    pub(super) fn note_stop(&mut self, now: Instant) {
        if self.supervisor.is_stopping() {
            self.escalation.stop_began(now);
        }
    }

    fn hear_signals(&mut self) {
        let signals = self.signals.iter();
        let received: Vec<Received> = signals.flat_map(SignalPipe::received).collect();
        for received in received {
            self.hear_signal(received);
        }
    }

    fn hear_signal(&mut self, received: Received) {
        match received.signal {
            Signal::SIGTERM | Signal::SIGQUIT | Signal::SIGHUP | Signal::SIGINT => {
                self.hear_stop_signal(received);
            }
            Signal::SIGCHLD => self.note_strangers(),
            _ => self.hear_repeat(received),
        }
    }

    fn hear_stop_signal(&mut self, received: Received) {
        let Received {
            signal,
            first,
            last,
            ..
        } = received;
        let urgency = match self.escalation.signals(signal, first, last) {
            StopSignal::Graceful => Urgency::Graceful,
            StopSignal::Immediate => Urgency::Immediate,
        };
        let is_new = match urgency {
            Urgency::Graceful => !self.supervisor.is_stopping(),
            Urgency::Immediate => !self.is_hurried,
        };
        if !is_new {
            return self.hear_repeat(received);
        }
        let what = self.describe_stop(urgency);
        self.log
            .line(&LogLine::of_signal(Level::Info, received, &what));
        self.stop(urgency);
    }

    fn hear_repeat(&mut self, received: Received) {
        if let Some(received) = self.repeats.heard(received, Instant::now()) {
            self.log_repeat(received);
        }
    }

    /// The lines that are due about signals that changed nothing.
    pub(super) fn log_due_repeats(&mut self) {
        while let Some(received) = self.repeats.next_due(Instant::now()) {
            self.log_repeat(received);
        }
    }

    pub(super) fn log_remaining_repeats(&mut self) {
        for received in self.repeats.rest() {
            self.log_repeat(received);
        }
    }

    fn log_repeat(&mut self, received: Received) {
        let (level, what) = match received.signal {
            Signal::SIGTERM | Signal::SIGQUIT | Signal::SIGHUP | Signal::SIGINT => {
                (Level::Info, "already stopping")
            }
            _ => (Level::Warn, "ignored, not supported yet"),
        };
        self.log.line(&LogLine::of_signal(level, received, what));
    }

    fn hear_commands(&mut self) {
        while let Some(command) = self.commands.as_ref().and_then(Commands::next) {
            match command {
                Command::Stop(urgency) => {
                    let what = self.describe_stop(urgency);
                    self.log.info(&format!("the handle: {what}"));
                    self.stop(urgency);
                }
            }
        }
    }

    fn stop(&mut self, urgency: Urgency) {
        self.stop_began.get_or_insert_with(Instant::now);
        match urgency {
            Urgency::Immediate => self.is_hurried = true,
            Urgency::Graceful => {}
        }
        self.tell_heard(Event::StopRequested { urgency });
    }

    fn describe_stop(&self, urgency: Urgency) -> String {
        let workers = count_workers(self.children.len());
        let grace = prefork_options::duration::format(self.limits.shutdown_grace_period);
        match urgency {
            Urgency::Immediate => format!("killing {workers}"),
            Urgency::Graceful if self.supervisor.is_stopping() => "already stopping".to_owned(),
            Urgency::Graceful => format!("stopping {workers} within {grace}"),
        }
    }

    /// A process that shares this socket has shut it down: no worker can accept from it any more. It is bound anew; workers
    /// that have the old one end, since their accept fails, and their replacements get the new one.
    fn hear_listener(&mut self, lost: ListenerSocket) {
        let ListenerSocket { listener, socket } = lost;
        // Closed by now, in a stop.
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
        let place = bound.place.to_string();
        let again = bound.bind_again(index).and_then(|old| {
            closing::close(vec![old]);
            let watched = self.watch_listener(lost);
            watched.map_err(|source| Error::Master {
                doing: "watch its descriptors",
                source,
            })
        });
        match again {
            Ok(()) => self.log.error(&format!(
                "the listener {place} was shut down by a process that shares it: it is bound again, and workers that have the old socket are replaced"
            )),
            Err(error) => {
                self.log.error(&format!(
                    "the listener {place} was shut down by a process that shares it, and cannot be bound again"
                ));
                self.failure.get_or_insert(error);
                self.tell_heard(Event::ListenerLost);
            }
        }
    }

    fn watch_listener(&self, socket: ListenerSocket) -> std::io::Result<()> {
        let ListenerSocket {
            listener,
            socket: index,
        } = socket;
        let bound = self.listeners.get(usize::from(listener));
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let fd = bound.and_then(|bound| bound.sockets().nth(index));
        fd.map_or(Ok(()), |fd| self.poller.add(fd, Source::Listener(socket)))
    }

    fn hear_channel(&mut self, id: ChildId) {
        for _ in 0..FRAMES_PER_TURN {
            match self.hear_frame(id) {
                Heard::Event(event) => self.tell_heard(event),
                Heard::Shortage(worker, shortage) => self.log_shortage(worker, &shortage),
                Heard::Skipped => {}
                Heard::Nothing => return,
            }
        }
    }

    /// At most one frame, and what it means.
    fn hear_frame(&mut self, id: ChildId) -> Heard {
        let Some(child) = self.children.get_mut(&id) else {
            return Heard::Nothing;
        };
        let Some(channel) = &child.channel else {
            return Heard::Nothing;
        };
        let broken = match channel.receive() {
            Frame::Nothing => return Heard::Nothing,
            Frame::End => None,
            Frame::TooLong => Some("it sent a frame that is too long"),
            Frame::Descriptors => Some("it sent a frame with file descriptors"),
            Frame::Frame(_) if !child.rate.allows_one_more(Instant::now()) => {
                Some("it sent more frames than allowed")
            }
            Frame::Frame(frame) => match child.understand(&frame) {
                Ok(heard) => return heard,
                Err(violation) => Some(violation),
            },
        };
        // Whatever it says from now on is of no interest, and an end would be reported for ever.
        if let Some(channel) = child.channel.take() {
            self.poller.remove(&channel);
        }
        match broken {
            // Its end of the channel: no fact about its life, that is the process descriptor's.
            None => Heard::Nothing,
            Some(violation) => {
                child.violation = Some(violation);
                Heard::Event(Event::Violation { child: id })
            }
        }
    }

    /// `worker 0 (pid 12) cannot accept connections …`
    fn log_shortage(&mut self, worker: (usize, i32), shortage: &Shortage) {
        let level = match shortage.stage {
            ShortageStage::Begins { .. } => Level::Warn,
            ShortageStage::IsOver { .. } => Level::Info,
        };
        let line = LogLine::about_worker(level, worker, &shortage.to_string());
        self.log.line(&line);
    }

    fn hear_exit(&mut self, id: ChildId) {
        let status = match self.children.get(&id).map(|child| child.pidfd.try_wait()) {
            Some(Ok(Some(status))) => status,
            // Its tracer holds it; the descriptor reports again when that has let it go.
            Some(Ok(None)) => return self.log_held(id),
            // The process descriptor has reported the end, and does not report it again: without this fact the slot
            // would stay empty.
            Some(Err(error)) => {
                let what = format!("has ended, but waitid failed: {error}");
                self.log_unreaped(id, Level::Error, &what);
                ExitStatus::Unknown
            }
            None => return,
        };
        // A signal to the whole group: the kernel may report the worker's end while the master's own
        // signal is only on its way to the handler. By now it has come.
        self.hear_signals();
        // Its last words may still be in the channel.
        self.hear_channel(id);
        let Some(mut child) = self.children.remove(&id) else {
            return;
        };
        // In a stop everybody is asked, also who was told by somebody else before its turn: a
        // terminal and a service manager signal the whole group.
        child.is_asked |= self.supervisor.is_stopping();
        self.poller.remove(&child.pidfd);
        if let Some(channel) = &child.channel {
            self.poller.remove(channel);
        }
        self.report_exit(&child, status);
        self.tell_heard(Event::Exited { child: id });
    }

    fn log_held(&mut self, id: ChildId) {
        let held = self.children.get(&id).and_then(|child| Held::of(child.pid));
        if let Some(held) = held {
            self.log_unreaped(id, Level::Warn, &held.describe());
        }
    }

    /// Once for each child, however often its descriptor reports.
    fn log_unreaped(&mut self, id: ChildId, level: Level, what: &str) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        if !std::mem::replace(&mut child.is_unreaped_logged, true) {
            let worker = (child.slot, child.pid);
            self.log.line(&LogLine::about_worker(level, worker, what));
        }
    }

    fn report_exit(&mut self, child: &Child, status: ExitStatus) {
        let now = Instant::now();
        let ending = child.ending(status, self.limits, now);
        // What comes in a stop is no cause of it; a child that has left its slot was counted then.
        if self.supervisor.is_stopping() || child.has_left {
            return self.log.line(&ending.line(None));
        }
        let how = ending.how();
        let line = ending.line(self.endings.count(&how, now));
        self.log.line(&line);
        let full = ending.line(None).to_string();
        self.endings.exited(child.slot, child.pid, how, full);
    }

    /// Some child has ended.
    fn note_strangers(&mut self) {
        let look = self.strangers.as_ref().map(|s| s.next_look(Instant::now()));
        self.strangers_due = [self.strangers_due, look].into_iter().flatten().min();
    }

    /// Where orphans are given to this process.
    pub(super) fn reap_strangers(&mut self) {
        let now = Instant::now();
        let Some(strangers) = &mut self.strangers else {
            self.strangers_due = None;
            return;
        };
        if self.strangers_due.is_some_and(|due| due <= now) {
            let ours: HashSet<i32> = self.children.values().map(|child| child.pid).collect();
            self.strangers_due = strangers.reap(&ours, now);
        }
    }
}

pub(super) fn count_workers(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} worker{plural}")
}

enum Heard {
    Event(Event),
    /// A line about this worker, by slot and pid.
    Shortage((usize, i32), Shortage),
    Skipped,
    Nothing,
}

impl Child {
    /// # Errors
    /// Which rule the frame breaks.
    fn understand(&mut self, frame: &[u8]) -> Result<Heard, &'static str> {
        let child = self.id;
        let Some(message) = FromChild::decode(frame) else {
            return Ok(Heard::Skipped);
        };
        Ok(Heard::Event(match message {
            FromChild::Hello { protocol, .. } if protocol != PROTOCOL => {
                return Err("it speaks another protocol");
            }
            FromChild::Hello {
                announces_ready, ..
            } => Event::Readiness {
                child,
                readiness: if announces_ready {
                    Readiness::Announced
                } else {
                    Readiness::Unseen
                },
            },
            FromChild::Ready => Event::Ready { child },
            FromChild::Closed => Event::Closed { child },
            // Steering will act on it; until then a worker that is not ready is only not ready.
            FromChild::Unready => return Ok(Heard::Skipped),
            FromChild::Panic(text) => {
                self.last_panic = Some((text, Instant::now()));
                return Ok(Heard::Skipped);
            }
            FromChild::Ended(end) => {
                // The first report knows most; a program cannot take it back.
                self.main_end.get_or_insert(end);
                Event::MainEnded { child }
            }
            // A worker bounds them as well; this one need not be ours.
            FromChild::Shortage(_) if !self.shortage_rate.allows_one_more(Instant::now()) => {
                return Ok(Heard::Skipped);
            }
            FromChild::Shortage(shortage) => {
                return Ok(Heard::Shortage((self.slot, self.pid), shortage));
            }
        }))
    }
}
