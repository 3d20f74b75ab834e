//! Performs the actions that the supervisor returns.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;

use super::child::ChildProcess;
use super::commands::CommandReceiver;
use super::exit_history::LastExit;
use super::notice::{EndedBy, WorkerRole};
use super::poller::EventSource;
use super::{Master, Notice};
use crate::channel::{Channel, ChildRole, FromMaster, MainEnd, ROLE_VARIABLE, Welcome};
use crate::error::Error;
use crate::listen::{VARIABLES, listen_env};
use crate::spawn::{SpawnError, SpawnRequest};
use crate::stop_signals::STOP_SIGNALS;
use crate::supervisor::{
    Action, ChildId, Event, Gate, KillReason, Policy, ProgramId, Readiness, SlotId, StartFailure,
};
use crate::sys::clock::since_boot;
use crate::sys::fds::FIRST_FD;
use crate::tls::{CertificateSource, TlsEvent};

/// The time limit for the exit of a killed child that cannot be polled.
const UNWATCHED_EXIT_TIMEOUT: Duration = Duration::from_secs(1);

impl Master {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Start {
                slot,
                child,
                program,
                previous,
                gate,
            } => self.start_child(slot, child, program, previous, gate),
            Action::OpenProgram => self.open_program(),
            Action::Serve { child } => self.open_gate(child, None, None),
            Action::Promote {
                slot,
                child,
                previous,
            } => self.promote(slot, child, previous),
            Action::Adopt { slot, child } => self.adopt_sockets(slot, child),
            Action::Release { slot, child } => self.release_sockets(slot.0, child),
            Action::ReportReplaced {
                slot,
                child,
                previous,
            } => self.report_replaced(slot, child, previous),
            Action::ReportVerdict(verdict) => self.report_verdict(verdict),
            Action::ReportHealthy { child } => self.note_ready(child),
            Action::AnnounceMasterReady => self.announce_ready(),
            Action::Terminate { child, kill_at } => self.terminate(child, kill_at),
            Action::Kill { child, reason } => self.kill(child, reason),
            Action::GiveUp { child } => self.give_up(child),
            Action::ReportRunning { child, kill_at } => self.report_running(child, kill_at),
            Action::CloseListeners => self.close_listeners(),
        }
    }

    fn start_child(
        &mut self,
        slot: SlotId,
        child: ChildId,
        program: ProgramId,
        previous: Option<ChildId>,
        gate: Gate,
    ) {
        let (is_standby, number) = (slot.is_standby(), self.slot_number(slot));
        let is_successor = gate == Gate::Closed && !is_standby;
        if is_standby && !self.can_wait(program) {
            let failure = StartFailure::Refused;
            self.notify(Event::StartFailed { child, failure });
            if slot == SlotId::standby(0) {
                self.emit(&Notice::NoStandby);
            }
            return;
        }
        match self.spawn_child(slot, child, program, gate) {
            Ok(readiness) => {
                self.notify(Event::Started { child, readiness });
                let Some(process) = self.children.get(&child) else {
                    return;
                };
                let (worker, is_killed) = (process.process(), process.ended_by != EndedBy::Nothing);
                // The child is polled already, so a hook that fails leaves nothing behind.
                let replaced = if is_successor {
                    // It does not fill the slot yet.
                    None
                } else {
                    self.exits.replaced(number, previous)
                };
                self.emit(&Notice::WorkerStarted { worker, replaced });
                self.report_unpinned(child);
                // The exec was not finished in time, and the process was killed.
                if is_killed {
                    self.notify(Event::Violation { child });
                }
                // At once, if `healthy_after` is zero.
                self.note_ready(child);
            }
            Err(unstarted) => {
                let failure = unstarted.failure_kind();
                // Without signals, the master must not continue.
                let is_fatal = matches!(unstarted, SpawnError::SignalMask(_));
                if is_successor && !is_fatal {
                    // The verdict of the rollout reports it.
                    self.record_failed_start(child, &unstarted);
                    return self.notify(Event::StartFailed { child, failure });
                }
                let error = unstarted.into_error(number);
                let last = LastExit {
                    child,
                    pid: self.exits.replaced(number, previous).map(|last| last.pid),
                    cause: error.chain(),
                    line: error.chain(),
                };
                self.exits.record(number, last);
                self.notify(Event::StartFailed { child, failure });
                if is_fatal {
                    self.notify(Event::HookFailed);
                }
                if self.supervisor.is_stopping() {
                    // The result of the master reports it.
                    self.failure.get_or_insert(error);
                } else {
                    self.emit(&Notice::StartFailed {
                        slot: number,
                        error: &error,
                    });
                }
            }
        }
    }

    /// Whether the master starts standbys of this program.
    ///
    /// Not if a worker has declared in its first frame that it cannot wait. If `child_producer` names
    /// another program, its workers, which are healthy, must have declared that they can. With
    /// `healthy_after = 0`, they are healthy before that.
    fn can_wait(&self, program: ProgramId) -> bool {
        self.rollout.has_gate(program) || self.healthy_after.is_zero()
    }

    fn spawn_child(
        &mut self,
        slot: SlotId,
        id: ChildId,
        program: ProgramId,
        gate: Gate,
    ) -> Result<Readiness, SpawnError> {
        let (is_standby, slot) = (slot.is_standby(), self.slot_number(slot));
        // A standby gets the CPU of its slot when it has one.
        let cpu = self.pinning.cpu_of(slot).filter(|_| !is_standby);
        let (master_end, child_end) = Channel::pair().map_err(spawn_error("socketpair"))?;
        let welcome = FromMaster::Welcome(Welcome {
            grace: self.limits.shutdown_grace_period,
            keepalive_grace: self.keepalive_grace,
            threads: self.threads,
            is_gated: gate == Gate::Closed,
            is_standby,
        });
        master_end
            .send(&welcome.encode())
            .map_err(spawn_error("send"))?;
        let sockets = self
            .listeners
            .iter()
            .map(|bound| bound.info.addresses().len());
        let channel = FIRST_FD + i32::try_from(sockets.sum::<usize>()).unwrap_or(i32::MAX);
        let role = ChildRole {
            slot,
            child: id.0,
            channel,
        };
        let worker_role = match gate {
            Gate::Open => WorkerRole::Worker,
            Gate::Closed if is_standby => WorkerRole::Standby,
            Gate::Closed => WorkerRole::Successor,
        };
        let stderr = match worker_role {
            WorkerRole::Successor => self.rollout.stderr.open(id, &self.poller),
            WorkerRole::Worker | WorkerRole::Standby => None,
        };
        if let Some((_, reader)) = &stderr {
            let own = io::stderr();
            let passed = [own.as_fd(), reader.as_fd()];
            // Without them the successor has the pipe as long as it runs.
            let _ = master_end.send_with_descriptors(&FromMaster::StderrPassed.encode(), &passed);
        }
        self.renew_certificates();
        let certificate = self.tls.as_mut().map(tls_fd).transpose()?;
        let mut variables = listen_env(&self.listeners, certificate.map(|_| channel + 1));
        variables.push((ROLE_VARIABLE, role.encode()));
        let bound = self.listeners.iter();
        let sockets = bound.flat_map(|bound| bound.sockets_of(slot));
        let fds = sockets
            .chain([child_end.as_fd()])
            .chain(certificate)
            .collect();
        let request = SpawnRequest {
            slot,
            program: self.rollout.program(program),
            fds,
            stderr: stderr.as_ref().map(|(writer, _)| writer.as_fd()),
            variables,
            // The variables of socket activation of the master, or of a role that the master had
            // itself. The role of the child is set anew.
            removed: &VARIABLES,
            cpu,
        };
        let (signals, commands) = (&self.signals, &self.commands);
        let is_urgent = || {
            let by_signal = signals
                .as_ref()
                .is_some_and(|signals| signals.has_any(&STOP_SIGNALS));
            by_signal || commands.as_ref().is_some_and(CommandReceiver::has_stop)
        };
        let began = Instant::now();
        let started = self.spawner.spawn(request, &is_urgent)?;
        let is_hung = started.process.is_hung;
        let now = if is_hung { began } else { Instant::now() };
        let readiness = if started.is_foreign {
            Readiness::Assumed
        } else {
            self.readiness
        };
        let process = (started.process.pid, started.process.pidfd);
        let mut child = ChildProcess::new(id, slot, process, master_end, now);
        child.program = program;
        child.role = worker_role;
        child.unpinned = cpu.zip(started.process.unpinned.map(io::Error::from));
        if let (Some(cpu), None) = (cpu, started.process.unpinned) {
            self.pinning.record_success(cpu);
        }
        if is_hung {
            child.violation = Some("its program was not executed in time");
            child.note_kill(KillReason::Violation, None, self.limits);
        }
        if let Err(source) = self.watch(&child) {
            let _ = child.pidfd.signal(Signal::SIGKILL);
            // A tracer or an unresponsive file system can keep a killed process for any time.
            child
                .pidfd
                .wait_until(Instant::now() + UNWATCHED_EXIT_TIMEOUT);
            return Err(spawn_error("epoll_ctl")(source));
        }
        self.children.insert(id, child);
        self.rollout.is_program_used |= !started.is_foreign;
        if !started.is_foreign {
            // With the builder, its first frame can be later than `healthy_after`.
            self.rollout.assume_gate(program);
        }
        Ok(readiness)
    }

    /// Reports a child that does not run on the CPU of its slot, unless the log has the cause.
    pub(super) fn report_unpinned(&mut self, id: ChildId) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let Some((cpu, error)) = child.unpinned.take() else {
            return;
        };
        let worker = child.process();
        if self
            .pinning
            .record_failure(cpu, error.raw_os_error().unwrap_or(0))
        {
            let error = &error;
            self.emit(&Notice::WorkerUnpinned { worker, cpu, error });
        }
    }

    /// Reads the certificate files again, for the next worker.
    ///
    /// The first workers get the certificate that was checked before them.
    fn renew_certificates(&mut self) {
        let Some(tls) = self
            .tls
            .as_mut()
            .filter(|_| self.supervisor.snapshot().is_announced())
        else {
            return;
        };
        let events = tls.reload(SystemTime::now());
        self.report_certificate(&events);
    }

    fn report_certificate(&mut self, events: &[TlsEvent]) {
        for event in events {
            self.emit(&Notice::Certificate(event));
        }
    }

    fn watch(&self, child: &ChildProcess) -> io::Result<()> {
        if let Some(channel) = &child.channel {
            self.poller.add(channel, EventSource::Channel(child.id))?;
        }
        self.poller.add(&child.pidfd, EventSource::Exit(child.id))
    }

    fn announce_ready(&mut self) {
        let listeners = &self.listener_infos();
        let workers = self.supervisor.snapshot().slots().len();
        self.emit(&Notice::AllSpawned { listeners, workers });
        if let Some(tls) = &mut self.tls {
            let events = tls.warnings(SystemTime::now());
            self.report_certificate(&events);
        }
        // A first child that has exited by now is in the history.
        let pid = |(slot, child): (SlotId, Option<ChildId>)| match self.children.get(&child?) {
            Some(child) => Some(child.pid),
            None => self.exits.last_pid(slot.0),
        };
        let pids = self.supervisor.snapshot().slots().filter_map(pid).collect();
        self.emit(&Notice::MasterReady { pids, listeners });
        // A hook that failed has begun a stop.
        if !self.supervisor.is_stopping() {
            self.notify(Event::MasterReady);
        }
    }

    /// Lets a successor or standby accept connections. A program that reads no frames does so
    /// anyway.
    fn open_gate(&mut self, id: ChildId, slot: Option<usize>, cpu: Option<usize>) {
        let child = self.children.get(&id);
        if let Some(channel) = child.and_then(|child| child.channel.as_ref()) {
            let _ = channel.send(&FromMaster::Serve { slot, cpu }.encode());
        }
    }

    /// A standby fills this slot now.
    fn promote(&mut self, slot: SlotId, id: ChildId, previous: ChildId) {
        // First: clients wait.
        self.exchange_sockets(slot, id);
        self.open_gate(id, Some(slot.0), self.pinning.cpu_of(slot.0));
        let replaced = self.exits.replaced(slot.0, Some(previous));
        if let Some(child) = self.children.get_mut(&id) {
            (child.slot, child.role) = (slot.0, WorkerRole::Worker);
            let worker = child.process();
            self.emit(&Notice::WorkerPromoted { worker, replaced });
        }
    }

    /// The number of this slot, as log lines and workers have it.
    ///
    /// The standbys are counted after the slots.
    pub(super) fn slot_number(&self, slot: SlotId) -> usize {
        slot.standby_number()
            .map_or(slot.0, |standby| self.first_standby + standby)
    }

    /// Asks a child to stop, by a frame and by SIGTERM.
    ///
    /// The signal is for programs that read no frames.
    fn terminate(&mut self, id: ChildId, kill_at: Instant) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.note_stop_request();
        if let Some(channel) = &child.channel {
            let drain = FromMaster::Drain {
                budget: kill_at.saturating_duration_since(Instant::now()),
            };
            // A child with hundreds of unread frames gets only the signal.
            let _ = channel.send(&drain.encode());
        }
        let _ = child.pidfd.signal(Signal::SIGTERM);
    }

    fn kill(&mut self, id: ChildId, reason: KillReason) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.note_kill(reason, self.supervisor.snapshot().stop(), self.limits);
        let _ = child.pidfd.signal(Signal::SIGKILL);
        let worker = child.process();
        self.emit(&Notice::WorkerKilled { worker });
    }

    /// The process of this child outlives its `main`: the slot gets another child.
    fn report_running(&mut self, id: ChildId, kill_at: Instant) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let now = Instant::now();
        let end = child.main_end.as_ref().map(MainEnd::to_string);
        let (worker, end) = (child.process(), end.unwrap_or_default());
        let notice = Notice::WorkerStillRuns {
            worker,
            age: now.saturating_duration_since(child.started),
            end: &end,
            left: kill_at.saturating_duration_since(now),
        };
        // Only a rollout starts another program, so its end is no reason to give up.
        if self.rollout.is_accepted(child.program) {
            self.exits.count(&end, now);
        }
        self.record_exit(id, worker, &end, &notice);
        self.emit(&notice);
    }

    /// Stops waiting for a child that does not exit after SIGKILL.
    ///
    /// Its process descriptor stays in the loop: if the process exits after all, it is reaped.
    fn give_up(&mut self, id: ChildId) {
        if let Some(worker) = self.children.get(&id).map(ChildProcess::process) {
            let waited = Policy::KILL_TIMEOUT;
            let notice = Notice::WorkerGivenUp { worker, waited };
            // A successor has not filled the slot.
            if worker.role != WorkerRole::Successor {
                let cause = "did not exit after SIGKILL";
                self.exits.count(cause, Instant::now());
                self.record_exit(id, worker, cause, &notice);
            }
            self.emit(&notice);
        }
    }
}

/// The descriptor of the certificate and key for the next worker.
fn tls_fd(tls: &mut Box<dyn CertificateSource>) -> Result<BorrowedFd<'_>, SpawnError> {
    let now = since_boot().map_err(spawn_error("clock_gettime"))?;
    tls.bundle_fd(now).map_err(spawn_error("memfd_create"))
}

/// Wraps the error of a system call that the start of a worker needs.
fn spawn_error(call: &'static str) -> impl Fn(io::Error) -> SpawnError {
    move |source| SpawnError::System {
        program: "its process".to_owned(),
        call,
        source,
    }
}

impl SpawnError {
    /// Whether a later attempt can succeed.
    fn failure_kind(&self) -> StartFailure {
        match self {
            // A master that receives no signals must not continue, whatever the errno.
            Self::CommandHook(_) | Self::SignalMask(_) => StartFailure::Refused,
            Self::System { source, .. } => match source.raw_os_error() {
                // The process was killed before its program began.
                None if source.kind() == io::ErrorKind::Interrupted => StartFailure::Transient,
                // The program does not exist, may not be executed, or is no program; or a text
                // contains a zero byte or is too long.
                None
                | Some(
                    libc::ENOENT
                    | libc::EACCES
                    | libc::EPERM
                    | libc::ENOEXEC
                    | libc::ENOTDIR
                    | libc::ELOOP
                    | libc::E2BIG
                    | libc::EINVAL
                    | libc::ENOSYS
                    | libc::ESRCH,
                ) => StartFailure::Permanent,
                // A shortage, a file that is open for writing, an unresponsive file system: the
                // recovery budget limits the number of attempts.
                Some(_) => StartFailure::Transient,
            },
        }
    }

    fn into_error(self, slot: usize) -> Error {
        match self {
            Self::CommandHook(source) => Error::Producer { slot, source },
            Self::SignalMask(source) => Error::Master {
                doing: "restore its signal mask after the start of a worker (rt_sigprocmask)",
                source,
            },
            Self::System {
                program,
                call,
                source,
            } => Error::Spawn {
                slot,
                program,
                call,
                source,
            },
        }
    }
}
