//! The monitor thread of a worker.
//!
//! It reads the frames of the master and notices its death and SIGTERM. It runs the drain, resolves
//! `shutdown()`, and ends the process at the deadline, even if `main` hangs. It does not decide when
//! connections may close (`drain.rs`) or which shortages are logged (`shortages.rs`).

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::context::{Context, OnShortage};
use super::drain::{Drain, Verdict};
use super::shortages::{ShortageLine, Shortages};
use crate::channel::{Channel, FromChild, FromMaster, MainEnd, Backlog, ReceivedFrame};
use crate::error::{Shortage, ShortageStage};
use crate::escalation::{Escalation, StopSignal};
use crate::hook::LastHook;
use crate::net::{self, Census};
use crate::sys::bell::Bell;
use crate::sys::peer::Peer;
use crate::sys::{process, stderr, thread};

/// The state of the monitor thread.
pub(super) struct Watch {
    pub(super) context: Arc<Context>,
    pub(super) master: Master,
    pub(super) master_process: Option<Arc<Peer>>,
    /// Whether the process of the master has ended, which all of its workers can see.
    pub(super) is_master_gone: bool,
    pub(super) grace: Duration,
    /// Wakes this thread when listeners or connections change or `main` ends.
    pub(super) bell: Arc<Bell>,
    /// Whether this process still has to send itself SIGTERM because the master died.
    pub(super) is_death_untold: bool,
    pub(super) on_master_death: Option<LastHook>,
    /// Logs shortages in single-process mode.
    pub(super) on_shortage: Option<OnShortage>,
    pub(super) shortages: Shortages,
    /// Whether a listener can no longer accept, and the drain for that has begun.
    pub(super) is_failure_handled: bool,
    pub(super) process: Process,
    /// Decides which stop signal ends the process at once.
    pub(super) escalation: Escalation,
}

/// The process that `main` runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// The worker's own process, which ends at the deadline.
    Own,
    /// The process of a test, which plays the master. The monitor never ends it.
    Guest,
}

/// The connection to the master.
pub(super) enum Master {
    /// Single-process mode: there is no master.
    None,
    Alive(Arc<Channel>),
    Dead,
}

/// Returns the process of the master, if the kernel provides a descriptor for it.
///
/// It shows the death of the master even if other processes hold the master's end of the channel.
pub(super) fn process_of(channel: &Channel) -> Option<Peer> {
    Peer::of(channel.as_fd()).unwrap_or_else(|_dead| {
        channel.close();
        None
    })
}

/// How long the process of a master may outlive its channels, in milliseconds.
///
/// If it runs longer, the master was a thread of that process.
const MOMENT: u8 = 100;

/// The exit status if `main` did not finish in time and no master killed it.
///
/// `timeout(1)` uses the same status.
const TIMED_OUT: i32 = 124;

/// The exit status if `main` did not finish in time after an error of accept.
///
/// It is the status of `Error::Accept`.
const FAILED: i32 = 71;

/// The exit status after a second Ctrl-C in single-process mode.
///
/// A shell shows the same status.
const INTERRUPTED: i32 = 130;

/// The phase of the drain.
enum Phase {
    Serving,
    Draining(Drain),
    Resolved(Drain),
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// The limit of threads is reached, or no memory is left.
    pub(super) fn start(self) -> io::Result<()> {
        // The calls are not deep, but the C library also stores thread-local variables in the stack.
        const STACK: usize = 256 * 1024;
        thread::start(c"prefork-watch", STACK, move || self.run())
    }

    fn run(mut self) {
        let mut phase = Phase::Serving;
        let mut is_closed_sent = false;
        loop {
            let now = Instant::now();
            if let Some(deadline) = self.own_deadline(&phase)
                && now >= deadline
            {
                self.end_now();
            }
            self.hear_failure(&mut phase);
            let deadlines = [
                self.proceed(&mut phase, &mut is_closed_sent, now),
                self.end_silent_reads(&phase, now),
                self.log_shortages(now),
            ];
            let next_check = deadlines.into_iter().flatten().min();
            if self.is_over(&phase) {
                return;
            }
            let next = match (next_check, self.own_deadline(&phase)) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            self.wait(next);
            self.hear(&mut phase);
        }
    }

    /// Whether the thread ends. In a worker's own process it runs until the exit. In a test it ends when
    /// the master is dead and `shutdown()` has resolved.
    fn is_over(&self, phase: &Phase) -> bool {
        match (self.process, &self.master, phase) {
            (Process::Guest, Master::Dead, Phase::Resolved(_)) => true,
            (Process::Guest, Master::None | Master::Alive(_) | Master::Dead, _)
            | (Process::Own, _, _) => false,
        }
    }

    /// Returns when this thread ends the process.
    ///
    /// A master that is alive kills the worker first, and logs it.
    fn own_deadline(&self, phase: &Phase) -> Option<Instant> {
        match (&self.master, phase) {
            (_, Phase::Serving) => None,
            _ if self.process == Process::Guest => None,
            (Master::Alive(_), Phase::Draining(drain) | Phase::Resolved(drain)) => {
                Some(drain.deadline + Self::MASTERS_TURN)
            }
            (Master::None | Master::Dead, Phase::Draining(drain) | Phase::Resolved(drain)) => {
                Some(drain.deadline)
            }
        }
    }

    /// How much later than the master this thread ends the process.
    ///
    /// It matters if another process sent SIGTERM to this worker, which the master does not know.
    const MASTERS_TURN: Duration = Duration::from_millis(500);

    /// Advances the drain. Returns when to check again.
    fn proceed(
        &mut self,
        phase: &mut Phase,
        is_closed_sent: &mut bool,
        now: Instant,
    ) -> Option<Instant> {
        let progress = match phase {
            Phase::Serving => return None,
            Phase::Draining(_) | Phase::Resolved(_) => self.progress(),
        };
        let mut next_check = None;
        if let Phase::Draining(drain) | Phase::Resolved(drain) = phase {
            self.pass_the_death_on(drain.half(), now);
            next_check = self.is_death_untold.then_some(drain.half());
        }
        if let Phase::Draining(drain) = phase {
            match drain.verdict(progress, || self.context.intake().has_waiting(), now) {
                Verdict::Wait(until) => next_check = Some(until),
                Verdict::Resolve => {
                    *phase = Phase::Resolved(*drain);
                    self.context.seats().close_free();
                    self.context.shutdown().resolve();
                }
            }
        }
        if progress.listeners == 0 && self.context.seats().are_closed() && !*is_closed_sent {
            *is_closed_sent = true;
            self.say_closed();
        }
        next_check
    }

    /// Begins a drain if a listener can no longer accept.
    ///
    /// The server may have no way to return the error. The worker drains and exits, and the master
    /// replaces it. If there is a master, the queue is left to other workers.
    fn hear_failure(&mut self, phase: &mut Phase) {
        if self.is_failure_handled {
            return;
        }
        let Some(error) = self.context.accept_error() else {
            return;
        };
        self.is_failure_handled = true;
        self.context.main_ended(MainEnd::Unable(error.one_line()));
        let queue = match &self.master {
            Master::Alive(_) => Backlog::Leave,
            Master::None | Master::Dead => Backlog::Serve,
        };
        self.begin(phase, self.grace, queue);
    }

    /// Ends blocking reads of silent clients.
    ///
    /// Threads in such reads delay the stop and cannot see it.
    ///
    /// Returns when to check again.
    fn end_silent_reads(&self, phase: &Phase, now: Instant) -> Option<Instant> {
        let (Phase::Draining(drain) | Phase::Resolved(drain)) = phase else {
            return None;
        };
        let silent_until = |last_use, at| drain.silent_until(last_use, at);
        self.context.intake().end_silent_reads(now, silent_until)
    }

    /// Logs shortages in accept. Returns when to check again.
    fn log_shortages(&mut self, now: Instant) -> Option<Instant> {
        let facts = self.context.intake().shortages();
        if facts.is_empty() {
            return None;
        }
        let (lines, next_check) = self.shortages.lines(&facts, now);
        for line in lines {
            self.log_shortage(line);
        }
        next_check
    }

    fn log_shortage(&mut self, line: ShortageLine) {
        let (addr, stage) = match line {
            ShortageLine::Begins { addr, errno } => {
                let limit = process::max_descriptors();
                (addr, ShortageStage::Begins { errno, limit })
            }
            ShortageLine::IsOver { addr, lasted } => (addr, ShortageStage::IsOver { lasted }),
        };
        let listener = self.context.name_of(addr);
        let shortage = Shortage { listener, stage };
        match (&self.master, &mut self.on_shortage) {
            (Master::Alive(channel), _) => {
                let _ = channel.send(&FromChild::Shortage(shortage).encode());
            }
            (Master::None, Some(log)) => log(&shortage),
            (Master::None | Master::Dead, _) => {
                let (slot, pid) = (self.context.slot(), std::process::id());
                say(&format!("worker {slot} (pid {pid}) {shortage}"));
            }
        }
    }

    /// Returns the progress of the drain. A listener that an argument will take counts as open.
    fn progress(&self) -> Census {
        let mut progress = self.context.intake().census();
        progress.listeners += self.context.seats().awaited();
        progress
    }

    /// Reports that all listeners of this worker are closed.
    ///
    /// When all workers have reported it, the master closes its sockets, and the kernel rejects late
    /// clients at once.
    fn say_closed(&self) {
        if let Master::Alive(channel) = &self.master {
            let _ = channel.send(&FromChild::Closed.encode());
        }
    }

    /// Waits for an event, at most until this time.
    fn wait(&self, until: Option<Instant>) {
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            let left = until.saturating_duration_since(Instant::now());
            let rounded = left + Duration::from_nanos(999_999);
            PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX)
        });
        let readable = PollFlags::POLLIN;
        let waker = PollFd::new(self.bell.as_fd(), readable);
        let signals = PollFd::new(self.context.signals().as_fd(), readable);
        // Arrays, so that an idle worker does not allocate on this thread. Every wait, also an interrupted
        // one, is followed by a check of all sources.
        let _ = match &self.master {
            Master::Alive(channel) => {
                let channel = PollFd::new(channel.as_fd(), readable);
                match &self.master_process {
                    Some(process) => {
                        let process = PollFd::new(process.as_fd(), readable);
                        poll(&mut [waker, signals, channel, process], timeout)
                    }
                    None => poll(&mut [waker, signals, channel], timeout),
                }
            }
            Master::None | Master::Dead => poll(&mut [waker, signals], timeout),
        };
    }

    /// Handles everything that has arrived.
    fn hear(&mut self, phase: &mut Phase) {
        self.bell.silence();
        self.hear_main(phase);
        // The `drain` frame comes before the SIGTERM that the master also sends: it has the budget.
        self.hear_master(phase);
        let context = Arc::clone(&self.context);
        for received in context.signals().received() {
            // The frame may have arrived just now, together with the signal.
            self.hear_master(phase);
            self.begin(phase, self.grace, Backlog::Serve);
            let (first, last) = (received.first, received.last);
            match self.escalation.signals(received.signal, first, last) {
                StopSignal::Graceful => {}
                StopSignal::Immediate => process::exit_now(INTERRUPTED),
            }
        }
    }

    /// Begins a drain if `main` has ended.
    ///
    /// The queue is left to the replacement. In single-process mode nothing replaces the process, so it
    /// runs as long as the program wants.
    fn hear_main(&self, phase: &mut Phase) {
        match self.master {
            Master::Alive(_) | Master::Dead if self.context.has_main_ended() => {
                self.begin(phase, self.grace, Backlog::Leave);
            }
            Master::Alive(_) | Master::Dead | Master::None => {}
        }
    }

    fn hear_master(&mut self, phase: &mut Phase) {
        loop {
            let Master::Alive(channel) = &self.master else {
                return;
            };
            let frame = match channel.receive() {
                ReceivedFrame::Frame(frame) => frame,
                // Only the master's end rejects descriptors.
                ReceivedFrame::TooLong | ReceivedFrame::Descriptors => continue,
                // Read the last frames of a dead master before its death is handled.
                ReceivedFrame::Nothing if !self.is_master_dead() => return,
                ReceivedFrame::Nothing | ReceivedFrame::End => return self.master_died(phase),
            };
            match FromMaster::decode(&frame) {
                Some(FromMaster::Drain { budget, queue }) => self.begin(phase, budget, queue),
                Some(FromMaster::Welcome { grace, .. }) => self.grace = grace,
                // This version writes no log files, and skips frames that it does not know.
                Some(FromMaster::ReopenLogs) | None => {}
            }
        }
    }

    fn is_master_dead(&self) -> bool {
        self.master_process
            .as_ref()
            .is_some_and(|process| process.has_ended())
    }

    fn master_died(&mut self, phase: &mut Phase) {
        self.master = Master::Dead;
        let process = self.master_process.take();
        self.is_master_gone = process.is_some_and(|process| process.ends_within(MOMENT.into()));
        self.say_alone();
        // Start the hook before the drain: a `main` that returns quickly waits for a running hook.
        self.run_hook();
        self.begin(phase, self.grace, Backlog::Serve);
        self.is_death_untold = self.process == Process::Own;
    }

    /// Begins the drain, unless it has already begun.
    fn begin(&self, phase: &mut Phase, budget: Duration, queue: Backlog) {
        if !matches!(phase, Phase::Serving) {
            return;
        }
        let drain = Drain::new(Instant::now(), budget);
        self.context.shutdown().begin(drain.deadline);
        self.context.intake().begin_drain(net::DrainOrder {
            until: drain.half(),
            leaves_queue: queue == Backlog::Leave,
            frees_address: self.is_master_gone,
        });
        *phase = Phase::Draining(drain);
    }

    /// Logs that the master died, because no master can log it. An in-process worker logs nothing.
    fn say_alone(&self) {
        match self.process {
            Process::Guest => {}
            Process::Own => {
                let slot = self.context.slot();
                let pid = std::process::id();
                say(&format!(
                    "worker {slot} (pid {pid}): master process died; draining"
                ));
            }
        }
    }

    fn run_hook(&mut self) {
        let Some(hook) = self.on_master_death.take() else {
            return;
        };
        let waker = Arc::clone(&self.bell);
        let (slot, pid) = (self.context.slot(), std::process::id());
        let log_error = move |text: &str| say(&format!("worker {slot} (pid {pid}): {text}"));
        self.context
            .farewell()
            .say(hook, log_error, move || waker.ring());
    }

    /// Sends SIGTERM to this process after the master died.
    ///
    /// It is for programs that only handle signals. The default action ends the process, so this waits
    /// for the hook, at most until half of the budget.
    fn pass_the_death_on(&mut self, half: Instant, now: Instant) {
        if self.is_death_untold && (!self.context.farewell().is_running() || now >= half) {
            self.is_death_untold = false;
            process::terminate_self();
        }
    }

    /// Ends the process at the deadline.
    fn end_now(&self) -> ! {
        let slot = self.context.slot();
        let pid = std::process::id();
        if self.is_failure_handled {
            process::exit_now(FAILED);
        }
        if self.grace.is_zero() {
            // A grace period of zero requests an exit without a drain.
            process::exit_now(0);
        }
        let grace = prefork_options::duration::format(self.grace);
        say(&format!(
            "worker {slot} (pid {pid}) did not finish within shutdown_grace_period ({grace}); exiting"
        ));
        process::exit_now(TIMED_OUT)
    }
}

/// Writes a log line to stderr, without the master.
fn say(text: &str) {
    let line = format!("prefork: {}\n", text.escape_debug());
    let _ = stderr::write_now(line.as_bytes());
}
