//! The monitor thread of a worker.
//!
//! It reads the frames of the master and notices its death and SIGTERM. It runs the drain, resolves
//! `shutdown()`, and ends the process at the deadline, even if `main` hangs. It does not decide
//! when connections may close (`drain.rs`) or which shortages are logged (`shortages.rs`).

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::context::{Context, SingleEvent, SingleObserver};
use super::drain::{Drain, DrainDecision};
use super::shortage_log::{ShortageLine, ShortageLog};
use crate::channel::{Backlog, Channel, FromChild, FromMaster, MainEnd, ReceivedFrame};
use crate::error::{Shortage, ShortageStage};
use crate::hook::OnceHook;
use crate::net::{self, DrainProgress};
use crate::stop_signals::{StopSignal, StopSignals};
use crate::sys::peer::PeerProcess;
use crate::sys::waker::Waker;
use crate::sys::{light_thread, process, stderr};

/// The state of the monitor thread.
pub(super) struct Monitor {
    pub(super) context: Arc<Context>,
    pub(super) master: MasterLink,
    pub(super) master_process: Option<Arc<PeerProcess>>,
    /// Whether the process of the master has ended, which all of its workers can see.
    pub(super) is_master_gone: bool,
    pub(super) grace: Duration,
    /// Wakes this thread when listeners or connections change or `main` ends.
    pub(super) waker: Arc<Waker>,
    /// Whether this process still has to send itself SIGTERM because the master died.
    pub(super) is_termination_pending: bool,
    pub(super) on_master_death: Option<OnceHook>,
    /// Logs shortages in single-process mode.
    pub(super) observer: Option<SingleObserver>,
    pub(super) shortages: ShortageLog,
    /// Whether a listener can no longer accept, and the drain for that has begun.
    pub(super) is_failure_handled: bool,
    pub(super) process: MonitorHost,
    /// Decides which stop signal ends the process at once.
    pub(super) stop_signals: StopSignals,
}

/// The process that `main` runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MonitorHost {
    /// The worker's own process, which ends at the deadline.
    Process,
    /// The process of a test, which plays the master. The monitor never ends it.
    Test,
}

/// The connection to the master.
pub(super) enum MasterLink {
    /// Single-process mode: there is no master.
    None,
    Up(Arc<Channel>),
    Down,
}

/// Returns the process of the master, if the kernel provides a descriptor for it.
///
/// It shows the death of the master even if other processes hold the master's end of the channel.
pub(super) fn process_of(channel: &Channel) -> Option<PeerProcess> {
    PeerProcess::of(channel.as_fd()).unwrap_or_else(|_dead| {
        channel.close();
        None
    })
}

/// How long the process of a master may outlive its channels, in milliseconds.
///
/// If it runs longer, the master was a thread of that process.
const EXIT_PAUSE: u8 = 100;

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
enum DrainPhase {
    Serving,
    Draining(Drain),
    Resolved(Drain),
}

impl Monitor {
    /// Starts the thread.
    ///
    /// # Errors
    /// The limit of threads is reached, or no memory is left.
    pub(super) fn start(self) -> io::Result<()> {
        // The calls are not deep, but the C library also stores thread-local variables in the
        // stack.
        const STACK: usize = 256 * 1024;
        light_thread::start(c"prefork-watch", STACK, move || self.run())
    }

    fn run(mut self) {
        let mut phase = DrainPhase::Serving;
        let mut is_closed_sent = false;
        loop {
            let now = Instant::now();
            if let Some(deadline) = self.own_deadline(&phase)
                && now >= deadline
            {
                self.end_now();
            }
            self.on_accept_failure(&mut phase);
            let deadlines = [
                self.advance_drain(&mut phase, &mut is_closed_sent, now),
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
            self.handle_events(&mut phase);
        }
    }

    /// Whether the thread ends. In a worker's own process it runs until the exit. In a test it ends
    /// when the master is dead and `shutdown()` has resolved.
    fn is_over(&self, phase: &DrainPhase) -> bool {
        match (self.process, &self.master, phase) {
            (MonitorHost::Test, MasterLink::Down, DrainPhase::Resolved(_)) => true,
            (MonitorHost::Test, MasterLink::None | MasterLink::Up(_) | MasterLink::Down, _)
            | (MonitorHost::Process, _, _) => false,
        }
    }

    /// Returns when this thread ends the process.
    ///
    /// A master that is alive kills the worker first, and logs it.
    fn own_deadline(&self, phase: &DrainPhase) -> Option<Instant> {
        match (&self.master, phase) {
            (_, DrainPhase::Serving) => None,
            _ if self.process == MonitorHost::Test => None,
            (MasterLink::Up(_), DrainPhase::Draining(drain) | DrainPhase::Resolved(drain)) => {
                Some(drain.deadline + Self::MASTER_KILL_MARGIN)
            }
            (
                MasterLink::None | MasterLink::Down,
                DrainPhase::Draining(drain) | DrainPhase::Resolved(drain),
            ) => Some(drain.deadline),
        }
    }

    /// How much later than the master this thread ends the process.
    ///
    /// It matters if another process sent SIGTERM to this worker, which the master does not know.
    const MASTER_KILL_MARGIN: Duration = Duration::from_millis(500);

    /// Advances the drain. Returns when to check again.
    fn advance_drain(
        &mut self,
        phase: &mut DrainPhase,
        is_closed_sent: &mut bool,
        now: Instant,
    ) -> Option<Instant> {
        let progress = match phase {
            DrainPhase::Serving => return None,
            DrainPhase::Draining(_) | DrainPhase::Resolved(_) => self.progress(),
        };
        let mut next_check = None;
        if let DrainPhase::Draining(drain) | DrainPhase::Resolved(drain) = phase {
            self.forward_termination(drain.accept_until(), now);
            next_check = self.is_termination_pending.then_some(drain.accept_until());
        }
        if let DrainPhase::Draining(drain) = phase {
            match drain.decide(progress, || self.context.tracker().has_readable(), now) {
                DrainDecision::Wait(until) => next_check = Some(until),
                DrainDecision::Resolve => {
                    *phase = DrainPhase::Resolved(*drain);
                    self.context.listeners().close_untaken();
                    self.context.shutdown().resolve();
                }
            }
        }
        if progress.listeners == 0 && self.context.listeners().are_closed() && !*is_closed_sent {
            *is_closed_sent = true;
            self.send_closed();
        }
        next_check
    }

    /// Begins a drain if a listener can no longer accept.
    ///
    /// The server may have no way to return the error. The worker drains and exits, and the master
    /// replaces it. If there is a master, the queue is left to other workers.
    fn on_accept_failure(&mut self, phase: &mut DrainPhase) {
        if self.is_failure_handled {
            return;
        }
        let Some(error) = self.context.accept_error() else {
            return;
        };
        self.is_failure_handled = true;
        self.context.main_ended(MainEnd::Unable(error.chain()));
        let queue = match &self.master {
            MasterLink::Up(_) => Backlog::Leave,
            MasterLink::None | MasterLink::Down => Backlog::Serve,
        };
        self.begin_drain(phase, self.grace, queue);
    }

    /// Ends blocking reads of silent clients.
    ///
    /// Threads in such reads delay the stop and cannot see it.
    ///
    /// Returns when to check again.
    fn end_silent_reads(&self, phase: &DrainPhase, now: Instant) -> Option<Instant> {
        let (DrainPhase::Draining(drain) | DrainPhase::Resolved(drain)) = phase else {
            return None;
        };
        let silent_until = |last_use, at| drain.silent_until(last_use, at);
        self.context.tracker().end_silent_reads(now, silent_until)
    }

    /// Logs shortages in accept. Returns when to check again.
    fn log_shortages(&mut self, now: Instant) -> Option<Instant> {
        let facts = self.context.tracker().shortages();
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
        match (&self.master, &self.observer) {
            (MasterLink::Up(channel), _) => {
                let _ = channel.send(&FromChild::Shortage(shortage).encode());
            }
            (MasterLink::None, Some(observer)) => observer(SingleEvent::Shortage(&shortage)),
            (MasterLink::None | MasterLink::Down, _) => {
                let (slot, pid) = (self.context.slot(), std::process::id());
                log_stderr(&format!("worker {slot} (pid {pid}) {shortage}"));
            }
        }
    }

    /// Returns the progress of the drain. A listener that an argument will take counts as open.
    fn progress(&self) -> DrainProgress {
        let mut progress = self.context.tracker().progress();
        progress.listeners += self.context.listeners().expected();
        progress
    }

    /// Reports that all listeners of this worker are closed.
    ///
    /// When all workers have reported it, the master closes its sockets, and the kernel rejects
    /// late clients at once.
    fn send_closed(&self) {
        if let MasterLink::Up(channel) = &self.master {
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
        let waker = PollFd::new(self.waker.as_fd(), readable);
        let signals = PollFd::new(self.context.signals().as_fd(), readable);
        // Arrays, so that an idle worker does not allocate on this thread. Every wait, also an
        // interrupted one, is followed by a check of all sources.
        let _ = match &self.master {
            MasterLink::Up(channel) => {
                let channel = PollFd::new(channel.as_fd(), readable);
                match &self.master_process {
                    Some(process) => {
                        let process = PollFd::new(process.as_fd(), readable);
                        poll(&mut [waker, signals, channel, process], timeout)
                    }
                    None => poll(&mut [waker, signals, channel], timeout),
                }
            }
            MasterLink::None | MasterLink::Down => poll(&mut [waker, signals], timeout),
        };
    }

    /// Handles everything that has arrived.
    fn handle_events(&mut self, phase: &mut DrainPhase) {
        self.waker.clear();
        self.on_main_ended(phase);
        // The `drain` frame comes before the SIGTERM that the master also sends: it has the budget.
        self.on_master_frame(phase);
        let context = Arc::clone(&self.context);
        for received in context.signals().received() {
            // The frame may have arrived just now, together with the signal.
            self.on_master_frame(phase);
            self.begin_drain(phase, self.grace, Backlog::Serve);
            let (first, last) = (received.first, received.last);
            match self.stop_signals.signals(received.signal, first, last) {
                StopSignal::Graceful => {}
                StopSignal::Immediate => process::exit_now(INTERRUPTED),
            }
        }
    }

    /// Begins a drain if `main` has ended.
    ///
    /// The queue is left to the replacement. In single-process mode nothing replaces the process,
    /// so it runs as long as the program wants.
    fn on_main_ended(&self, phase: &mut DrainPhase) {
        match self.master {
            MasterLink::Up(_) | MasterLink::Down if self.context.has_main_ended() => {
                self.begin_drain(phase, self.grace, Backlog::Leave);
            }
            MasterLink::Up(_) | MasterLink::Down | MasterLink::None => {}
        }
    }

    fn on_master_frame(&mut self, phase: &mut DrainPhase) {
        loop {
            let MasterLink::Up(channel) = &self.master else {
                return;
            };
            let frame = match channel.receive() {
                ReceivedFrame::Frame(frame) => frame,
                // Only the master's end rejects descriptors.
                ReceivedFrame::TooLong | ReceivedFrame::Descriptors => continue,
                // Read the last frames of a dead master before its death is handled.
                ReceivedFrame::Nothing if !self.is_master_dead() => return,
                ReceivedFrame::Nothing | ReceivedFrame::End => return self.on_master_death(phase),
            };
            match FromMaster::decode(&frame) {
                Some(FromMaster::Drain { budget, queue }) => self.begin_drain(phase, budget, queue),
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

    fn on_master_death(&mut self, phase: &mut DrainPhase) {
        self.master = MasterLink::Down;
        let process = self.master_process.take();
        self.is_master_gone = process.is_some_and(|process| process.ends_within(EXIT_PAUSE.into()));
        self.log_orphaned();
        // Start the hook before the drain: a `main` that returns quickly waits for a running hook.
        self.run_hook();
        self.begin_drain(phase, self.grace, Backlog::Serve);
        self.is_termination_pending = self.process == MonitorHost::Process;
    }

    /// Begins the drain, unless it has already begun.
    fn begin_drain(&self, phase: &mut DrainPhase, budget: Duration, queue: Backlog) {
        if !matches!(phase, DrainPhase::Serving) {
            return;
        }
        if let Some(observer) = &self.observer {
            observer(SingleEvent::StopBegan);
        }
        let drain = Drain::new(Instant::now(), budget);
        self.context.shutdown().begin(drain.deadline);
        self.context.tracker().begin_drain(net::DrainPolicy {
            until: drain.accept_until(),
            leaves_backlog: queue == Backlog::Leave,
            frees_address: self.is_master_gone,
        });
        *phase = DrainPhase::Draining(drain);
    }

    /// Logs that the master died, because no master can log it. An in-process worker logs nothing.
    fn log_orphaned(&self) {
        match self.process {
            MonitorHost::Test => {}
            MonitorHost::Process => {
                let slot = self.context.slot();
                let pid = std::process::id();
                log_stderr(&format!(
                    "worker {slot} (pid {pid}): master process died; draining"
                ));
            }
        }
    }

    fn run_hook(&mut self) {
        let Some(hook) = self.on_master_death.take() else {
            return;
        };
        let waker = Arc::clone(&self.waker);
        let (slot, pid) = (self.context.slot(), std::process::id());
        let log_error = move |text: &str| log_stderr(&format!("worker {slot} (pid {pid}): {text}"));
        self.context
            .master_death_hook()
            .run(hook, log_error, move || waker.wake());
    }

    /// Sends SIGTERM to this process after the master died.
    ///
    /// It is for programs that only handle signals. The default action ends the process, so this
    /// waits for the hook, at most until half of the budget.
    fn forward_termination(&mut self, half: Instant, now: Instant) {
        if self.is_termination_pending
            && (!self.context.master_death_hook().is_running() || now >= half)
        {
            self.is_termination_pending = false;
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
        log_stderr(&format!(
            "worker {slot} (pid {pid}) did not finish within shutdown_grace_period ({grace}); exiting"
        ));
        process::exit_now(TIMED_OUT)
    }
}

/// Writes a log line to stderr, without the master.
fn log_stderr(text: &str) {
    let line = format!("prefork: {}\n", text.escape_debug());
    let _ = stderr::write_now(line.as_bytes());
}
