//! The monitor thread of a worker.
//!
//! It waits for frames of the master, its death, signals and changes of connections, reports them to
//! the lifecycle, and performs the actions that the lifecycle returns. So a worker drains and its
//! process ends at the deadline even if `main` hangs. It does not decide which action comes next
//! (`lifecycle.rs`) or which shortages are logged (`shortage_log.rs`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::context::Context;
use super::lifecycle::{Action, Backlog, Connections, EndCause, Event, Lifecycle};
use super::passed_stderr::PassedStderr;
use super::ready_notifier::{SingleEvent, SingleObserver};
use super::shortage_log::{ShortageLine, ShortageLog};
use crate::channel::{Channel, FromChild, FromMaster, MainEnd, ReceivedFrame};
use crate::error::{Shortage, ShortageStage};
use crate::hook::OnceHook;
use crate::net::{AcceptGate, DrainPolicy, LastIo};
use crate::stop_signals::{StopSignal, StopSignals};
use crate::sys::peer::PeerProcess;
use crate::sys::{affinity, light_thread, process, stderr};

/// The state of the monitor thread.
pub(super) struct Monitor {
    pub(super) context: Arc<Context>,
    pub(super) lifecycle: Lifecycle,
    /// `None` in single-process mode and after the death of the master.
    pub(super) master: Option<Arc<Channel>>,
    pub(super) master_process: Option<Arc<PeerProcess>>,
    pub(super) on_master_death: Option<OnceHook>,
    /// Only in a successor, until it has replaced a worker.
    pub(super) stderr: Option<PassedStderr>,
    /// The CPU that a standby runs on after its promotion, until it does.
    pub(super) cpu: Option<usize>,
    /// Only in single-process mode.
    pub(super) observer: Option<SingleObserver>,
    /// A socket that the master sent was lost, because this process has too many descriptors.
    pub(super) has_lost_socket: bool,
    pub(super) shortages: ShortageLog,
    /// Decides which stop signal ends the process at once.
    pub(super) stop_signals: StopSignals,
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
        loop {
            let now = Instant::now();
            let wait_until = if let Some(action) = self.lifecycle.next_action(now) {
                self.perform(action);
                Some(now)
            } else if self.lifecycle.is_over() {
                return;
            } else {
                let all = [
                    self.lifecycle.deadline(now),
                    self.end_silent_reads(now),
                    self.log_shortages(now),
                ];
                all.into_iter().flatten().min()
            };
            let have_changed = self.wait(wait_until);
            self.handle_events(have_changed);
        }
    }

    /// Waits for an event, at most until this time.
    ///
    /// Returns whether listeners or connections may have changed, or `main` or a hook has ended.
    fn wait(&self, until: Option<Instant>) -> bool {
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            let left = until.saturating_duration_since(Instant::now());
            let rounded = left + Duration::from_nanos(999_999);
            PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX)
        });
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let waker = readable(self.context.waker.as_fd());
        let signals = || readable(self.context.signals.as_fd());
        // On the stack, so that an idle worker does not allocate on this thread. The last ones are
        // not polled if there is no master.
        let mut polled = [waker, signals(), signals(), signals()];
        let mut count = 2;
        if let Some(channel) = &self.master {
            polled[count] = readable(channel.as_fd());
            count += 1;
        }
        if let Some(process) = &self.master_process {
            polled[count] = readable(process.as_fd());
            count += 1;
        }
        // Every wait, also an interrupted one, is followed by a check of all sources.
        let result = poll(&mut polled[..count], timeout);
        let have_changed = result.is_err() || polled[0].any().unwrap_or(true);
        if have_changed {
            self.context.waker.clear();
        }
        have_changed
    }

    /// Handles everything that has arrived.
    fn handle_events(&mut self, have_changed: bool) {
        if have_changed {
            self.on_change();
        }
        // The `drain` frame comes before the SIGTERM that the master also sends: it has the budget.
        self.on_master_frame();
        let context = Arc::clone(&self.context);
        for received in context.signals.received() {
            // The frame may have arrived just now, together with the signal.
            self.on_master_frame();
            self.handle(Event::Terminated);
            let (first, last) = (received.first, received.last);
            match self.stop_signals.signals(received.signal, first, last) {
                StopSignal::Graceful => {}
                StopSignal::Immediate => self.handle(Event::Interrupted),
            }
        }
    }

    fn handle(&mut self, event: Event) {
        self.lifecycle.handle(event, Instant::now());
    }

    /// Handles a change that woke this thread.
    fn on_change(&mut self) {
        if let Some(is_ready) = self.context.changed_readiness() {
            self.handle(Event::ReadinessChanged { is_ready });
        }
        if self.context.has_main_ended() {
            self.handle(Event::MainEnded);
        }
        if !self.lifecycle.has_failed()
            && let Some(error) = self.context.accept_error()
        {
            self.context.main_ended(MainEnd::Unable(error.chain()));
            self.handle(Event::AcceptFailed);
        }
        if !self.context.master_death_hook.is_running() {
            self.handle(Event::HookFinished);
        }
        self.count_connections();
    }

    fn count_connections(&mut self) {
        let (shutdown, untaken) = (&self.context.shutdown, &self.context.listeners);
        let progress = self.context.tracker.progress();
        if progress.streams == 0 {
            shutdown.no_streams();
        }
        self.handle(Event::Changed(Connections {
            listeners: progress.listeners + untaken.expected(),
            are_sockets_closed: untaken.are_closed(),
            streams: progress.streams,
            announces_close: shutdown.announces_close(),
            unread: progress.unread,
            last_activity: progress.last_activity,
        }));
    }

    fn on_master_frame(&mut self) {
        while let Some(channel) = &self.master {
            let (frame, descriptors) = channel.receive_with_descriptors();
            let frame = match frame {
                ReceivedFrame::Frame(frame) => frame,
                // Only the master's end rejects descriptors.
                ReceivedFrame::TooLong | ReceivedFrame::Descriptors => continue,
                // Read the last frames of a dead master before its death is handled.
                ReceivedFrame::Nothing if !self.is_master_dead() => return,
                ReceivedFrame::Nothing | ReceivedFrame::End => return self.on_master_death(),
            };
            match FromMaster::decode(&frame) {
                Some(FromMaster::Drain { budget }) => self.handle(Event::DrainRequested { budget }),
                Some(FromMaster::Serve { slot, cpu }) => {
                    if let Some(slot) = slot {
                        self.context.slot.store(slot, Ordering::Relaxed);
                        self.cpu = cpu;
                    }
                    self.handle(Event::GateOpened);
                }
                Some(FromMaster::Adopt { slot, listener }) => {
                    self.adopt(slot, listener, descriptors.into_iter().next());
                }
                Some(FromMaster::Release { slot, listener }) => self.release(slot, listener),
                Some(FromMaster::StderrPassed) => self.stderr = PassedStderr::new(descriptors),
                Some(FromMaster::StderrReleased) => {
                    if let Some(stderr) = self.stderr.take() {
                        stderr.restore();
                    }
                }
                Some(FromMaster::Stopping) => self.context.shutdown.announce(),
                // It was read at the start, once. This version skips frames that it does not know.
                Some(FromMaster::Welcome { .. }) | None => {}
            }
        }
    }

    /// `socket` is `None` if the descriptor was lost, because this process has too many.
    fn adopt(&mut self, slot: usize, listener: usize, socket: Option<OwnedFd>) {
        let is_short = socket.is_none();
        self.has_lost_socket |= is_short;
        let listeners = &self.context.listeners;
        let adopted = socket.map(|socket| listeners.adopt(listener, slot, socket));
        if !matches!(adopted, Some(Ok(()))) {
            self.send(&FromChild::AdoptionFailed { is_short });
        }
    }

    fn release(&self, slot: usize, listener: usize) {
        // A standby that could not take the sockets of its slot accepts from those that it has.
        if !(self.has_lost_socket && slot == self.context.slot()) {
            self.context.listeners.release(listener, slot);
        }
    }

    fn is_master_dead(&self) -> bool {
        self.master_process
            .as_ref()
            .is_some_and(|process| process.has_ended())
    }

    fn on_master_death(&mut self) {
        self.master = None;
        if let Some(stderr) = &mut self.stderr {
            stderr.restore_and_flush();
        }
        let process = self.master_process.take();
        let is_process_gone = process.is_some_and(|process| process.ends_within(EXIT_PAUSE.into()));
        self.handle(Event::MasterDied { is_process_gone });
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::OpenGate => {
                self.context.tracker.open_gate(AcceptGate::Master);
                // Last: clients wait. A standby has a slot now.
                process::set_comm(&format!("worker {}", self.context.slot()));
                self.pin();
            }
            Action::AnnounceStop => {
                self.context.shutdown.announce();
                if let Some(observer) = &self.observer {
                    observer(SingleEvent::StopAnnounced);
                }
            }
            Action::ReportReadiness { is_ready } => self.report_readiness(is_ready),
            Action::RunHook => self.run_hook(),
            Action::CloseListeners {
                deadline,
                until,
                backlog,
                frees_address,
            } => {
                if let Some(observer) = &self.observer {
                    observer(SingleEvent::StopBegan);
                }
                self.context.shutdown.begin(deadline);
                self.context.tracker.begin_drain(DrainPolicy {
                    until,
                    leaves_backlog: backlog == Backlog::Leave,
                    frees_address,
                });
                self.count_connections();
            }
            Action::Shorten { deadline, until } => {
                self.context.shutdown.begin(deadline);
                self.context.tracker.shorten_drain(until);
            }
            Action::Terminate => {
                self.context.listeners.remove_files();
                process::terminate_self();
            }
            Action::CheckReadable => {
                let has_readable = self.context.tracker.has_readable();
                self.handle(Event::ReadableChecked { has_readable });
            }
            Action::Resolve => {
                self.context.listeners.close_untaken();
                self.context.shutdown.resolve();
                self.count_connections();
            }
            // When all workers have sent it, the master closes its sockets, and the kernel rejects
            // late clients at once.
            Action::SendClosed => self.send(&FromChild::Closed),
            Action::EndProcess(cause) => self.end_process(cause),
        }
    }

    /// Moves a promoted standby to the CPU of its slot.
    ///
    /// The master pins all other workers before their program runs. It cannot pin this one: the
    /// process may have another user by now, and a wrapper may have started it.
    fn pin(&mut self) {
        let Some(Err(error)) = self.cpu.take().map(affinity::pin_all_threads) else {
            return;
        };
        let errno = error.raw_os_error().unwrap_or(0);
        self.send(&FromChild::Unpinned { errno });
    }

    fn report_readiness(&self, is_ready: bool) {
        let (frame, event) = if is_ready {
            (FromChild::Ready, SingleEvent::Ready)
        } else {
            (FromChild::Unready, SingleEvent::Unready)
        };
        self.send(&frame);
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }

    /// Sends a frame, if there is a master. A worker sends few frames, so a full channel means that
    /// the master is stuck.
    fn send(&self, frame: &FromChild) {
        if let Some(channel) = &self.master {
            let _ = channel.send(&frame.encode());
        }
    }

    /// Logs that the master died, because no master can log it, and starts the hook.
    fn run_hook(&mut self) {
        let (name, context) = (self.name(), Arc::clone(&self.context));
        log_stderr(&format!("{name}: master process died; draining"));
        if let Some(hook) = self.on_master_death.take() {
            let log_error = move |text: &str| log_stderr(&format!("{name}: {text}"));
            let on_done = move || context.waker.wake();
            self.context.master_death_hook.run(hook, log_error, on_done);
        }
        // There is no hook, or its thread cannot be started.
        if !self.context.master_death_hook.is_running() {
            self.handle(Event::HookFinished);
        }
    }

    /// Ends blocking reads of silent clients. Returns when to check again.
    ///
    /// Threads in such reads delay the stop and cannot see it.
    fn end_silent_reads(&self, now: Instant) -> Option<Instant> {
        let drain = self.lifecycle.draining()?;
        let silent_until = |last_use, at| drain.silent_until(last_use == LastIo::Read, at);
        self.context.tracker.end_silent_reads(now, silent_until)
    }

    /// Logs shortages in accept. Returns when to check again.
    fn log_shortages(&mut self, now: Instant) -> Option<Instant> {
        let facts = self.context.tracker.health.shortages();
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
        let (listener, stage) = match line {
            ShortageLine::Begins { listener, errno } => {
                let limit = process::max_descriptors();
                (listener, ShortageStage::Begins { errno, limit })
            }
            ShortageLine::IsOver { listener, lasted } => {
                (listener, ShortageStage::IsOver { lasted })
            }
        };
        let listener = self.context.name_of(listener);
        let shortage = Shortage { listener, stage };
        match (&self.master, &self.observer) {
            (Some(_), _) => self.send(&FromChild::Shortage(shortage)),
            (None, Some(observer)) => observer(SingleEvent::Shortage(&shortage)),
            (None, None) => log_stderr(&format!("{} {shortage}", self.name())),
        }
    }

    fn end_process(&self, cause: EndCause) -> ! {
        self.context.listeners.remove_files();
        process::exit_now(match cause {
            EndCause::Interrupted => INTERRUPTED,
            EndCause::AcceptFailed => FAILED,
            EndCause::NoGrace => 0,
            EndCause::TimedOut { grace } => {
                let grace = prefork_options::duration::format(grace);
                log_stderr(&format!(
                    "{} did not finish within shutdown_grace_period ({grace}); exiting",
                    self.name()
                ));
                TIMED_OUT
            }
        })
    }

    /// The name of this process in log lines.
    fn name(&self) -> String {
        format!(
            "worker {} (pid {})",
            self.context.slot(),
            std::process::id()
        )
    }
}

/// Writes a log line to stderr, without the master.
fn log_stderr(text: &str) {
    let line = format!("prefork: {}\n", text.escape_debug());
    let _ = stderr::write_now(line.as_bytes());
}
