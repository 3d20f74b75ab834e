//! What the supervisor decides, done.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;

use super::binding::STOP_SIGNALS;
use super::child::Child;
use super::commands::Commands;
use super::facts::count_workers;
use super::poller::Source;
use super::strangers::Strangers;
use super::{Level, LogLine, Master};
use crate::channel::{Channel, FromMaster, Marker, Queue, ROLE_VARIABLE};
use crate::error::Error;
use crate::hook::{ChildRecovered, ChildSpawned, Hooks, MasterReady};
use crate::listen::{VARIABLES, announce};
use crate::spawn::{Order, SpawnError};
use crate::supervisor::{Action, ChildId, Event, KillReason, Policy, SlotId, StartFailure};
use crate::sys::clock::since_boot;
use crate::sys::fds::FIRST_FD;
use crate::tls::Keeper;

/// The time that a killed child which the loop cannot watch has to end.
const END_OF_UNWATCHED: Duration = Duration::from_secs(1);

impl Master {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Start { slot, child } => self.start(slot, child),
            Action::AnnounceMasterReady => self.announce_ready(),
            Action::Terminate { child, kill_at } => self.terminate(child, kill_at),
            Action::Kill { child, reason } => self.kill(child, reason),
            Action::GiveUp { child } => self.give_up(child),
            Action::ReportRunning { child, kill_at } => self.report_running(child, kill_at),
            Action::CloseListeners => self.close_listeners(),
        }
    }

    fn start(&mut self, slot: SlotId, id: ChildId) {
        match self.try_start(slot, id) {
            Ok(readiness) => {
                let child = id;
                self.tell(Event::Started { child, readiness });
                self.run_start_hooks(slot, child);
                if self
                    .children
                    .get(&id)
                    .is_some_and(|child| child.killed.is_some())
                {
                    self.tell(Event::Violation { child });
                }
            }
            Err(unstarted) => {
                let (child, failure) = (id, unstarted.class());
                let error = unstarted.into_error(slot);
                let text = error.one_line();
                self.endings.not_started(slot.0, &text);
                self.tell(Event::StartFailed { child, failure });
                if self.supervisor.is_stopping() {
                    // Told in the end.
                    self.failure.get_or_insert(error);
                } else {
                    let line = LogLine::about_slot(Level::Error, slot.0, &text);
                    self.log.line(&line);
                }
            }
        }
    }

    /// The child is being waited for already: a hook that fails leaves nothing behind.
    fn run_start_hooks(&mut self, slot: SlotId, id: ChildId) {
        let Some(pid) = self.children.get(&id).map(|child| child.pid) else {
            return;
        };
        if !self.is_announced {
            self.first_pids.push(pid);
        }
        let spawned = ChildSpawned { slot: slot.0, pid };
        let recovered = self.endings.replaced(slot.0).map(|old| ChildRecovered {
            slot: slot.0,
            old_pid: old.pid,
            old_end: old.how,
            new_pid: pid,
        });
        if let Some(ChildRecovered { old_pid, .. }) = &recovered {
            let what = format!("took the place of pid {old_pid}");
            let line = LogLine::about_worker(Level::Info, (slot.0, pid), &what);
            self.log.line(&line);
        }
        self.run_hooks(|hooks| {
            hooks.child_spawned(&spawned)?;
            match &recovered {
                Some(recovered) => hooks.child_recovered(recovered),
                None => Ok(()),
            }
        });
    }

    /// Whether they went well; if not, the supervisor knows.
    fn run_hooks(&mut self, run: impl FnOnce(&mut Hooks) -> Result<(), Error>) -> bool {
        let before = self.strangers.is_some().then(Strangers::children);
        let result = run(&mut self.hooks);
        if let (Some(strangers), Some(before)) = (&mut self.strangers, before) {
            strangers.spare_new(&before);
        }
        let Err(error) = result else {
            return true;
        };
        self.log.error(&error.one_line());
        // The first failure is the cause of the end.
        self.failure.get_or_insert(error);
        self.tell(Event::HookFailed);
        false
    }

    fn try_start(
        &mut self,
        slot: SlotId,
        id: ChildId,
    ) -> Result<crate::supervisor::Readiness, SpawnError> {
        let (ours, theirs) = Channel::pair().map_err(shortage("socketpair"))?;
        let welcome = FromMaster::Welcome {
            grace: self.limits.shutdown_grace_period,
            threads: self.threads,
        };
        ours.send(&welcome.encode()).map_err(shortage("send"))?;
        let channel = FIRST_FD + i32::try_from(self.listeners.len()).unwrap_or(i32::MAX);
        let marker = Marker {
            slot: slot.0,
            child: id.0,
            channel,
        };
        self.renew_certificates();
        let parcel = self.tls.as_mut().map(parcel_of).transpose()?;
        let mut variables = announce(&self.listeners, parcel.map(|_| channel + 1));
        variables.push((ROLE_VARIABLE, marker.encode()));
        let sockets = self.listeners.iter().map(|bound| bound.socket_of(slot.0));
        let fds = sockets.chain([theirs.as_fd()]).chain(parcel).collect();
        let order = Order {
            slot: slot.0,
            fds,
            variables,
            // The master's own activation, or a role that it had itself; the marker is set anew.
            removed: &VARIABLES,
        };
        let (signals, commands) = (&self.signals, &self.commands);
        let is_urgent = || {
            let by_signal = signals
                .as_ref()
                .is_some_and(|signals| signals.has_any(&STOP_SIGNALS));
            by_signal || commands.as_ref().is_some_and(Commands::is_any)
        };
        let began = Instant::now();
        let started = self.spawner.spawn(order, &is_urgent)?;
        let is_hung = started.process.is_hung;
        let now = if is_hung { began } else { Instant::now() };
        let readiness = if started.is_foreign {
            crate::supervisor::Readiness::Unseen
        } else {
            self.readiness
        };
        let process = (started.process.pid, started.process.pidfd);
        let mut child = Child::new(id, slot.0, process, ours, now);
        if is_hung {
            child.killed = Some(KillReason::Violation);
            child.violation = Some("its program was not executed in time");
        }
        if let Err(source) = self.watch(&child) {
            let _ = child.pidfd.signal(Signal::SIGKILL);
            // A tracer or a hung file system can keep a killed process for any time.
            child.pidfd.wait_until(Instant::now() + END_OF_UNWATCHED);
            return Err(shortage("epoll_ctl")(source));
        }
        self.children.insert(id, child);
        Ok(readiness)
    }

    /// What lies on disk now, for the next worker. The first ones begin with what was checked before them.
    fn renew_certificates(&mut self) {
        let Some(tls) = self.tls.as_mut().filter(|_| self.is_announced) else {
            return;
        };
        self.log.news(tls.renew(SystemTime::now()));
    }

    fn watch(&self, child: &Child) -> io::Result<()> {
        if let Some(channel) = &child.channel {
            self.poller.add(channel, Source::Channel(child.id))?;
        }
        self.poller.add(&child.pidfd, Source::Exit(child.id))
    }

    fn announce_ready(&mut self) {
        let place = super::describe(&self.listeners);
        let workers = count_workers(self.workers);
        let pid = std::process::id();
        let line = LogLine::beginning(&format!("{place} with {workers} (master pid {pid})"));
        self.log.line(&line);
        if let Some(tls) = &mut self.tls {
            self.log.news(tls.concerns(SystemTime::now()));
        }
        self.is_announced = true;
        let ready = MasterReady {
            pids: std::mem::take(&mut self.first_pids),
            addrs: self.addrs(),
        };
        if self.run_hooks(|hooks| hooks.master_ready(&ready)) {
            self.tell(Event::MasterReady);
        }
    }

    /// The frame is what counts; the signal is for programs that know nothing else.
    fn terminate(&mut self, id: ChildId, kill_at: Instant) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.is_asked = true;
        if let Some(channel) = &child.channel {
            let drain = FromMaster::Drain {
                budget: kill_at.saturating_duration_since(Instant::now()),
                queue: Queue::Serve,
            };
            // A child that has left hundreds of frames unread gets the signal alone.
            let _ = channel.send(&drain.encode());
        }
        let _ = child.pidfd.signal(Signal::SIGTERM);
    }

    fn kill(&mut self, id: ChildId, reason: KillReason) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.killed = Some(reason);
        child.is_hurried = self.is_hurried;
        let _ = child.pidfd.signal(Signal::SIGKILL);
    }

    /// Its process has outlived its `main`: the slot goes on without it.
    fn report_running(&mut self, id: ChildId, kill_at: Instant) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.has_left = true;
        let now = Instant::now();
        let line = child.still_running(kill_at.saturating_duration_since(now), now);
        let how = line.reason().unwrap_or_default().to_owned();
        self.endings.count(&how, now);
        self.endings
            .exited(child.slot, child.pid, how, line.to_string());
        self.log.line(&line);
    }

    /// Its process descriptor stays in the loop: when the kernel lets it end, it is reaped.
    fn give_up(&mut self, id: ChildId) {
        if let Some(Child { slot, pid, .. }) = self.children.get(&id) {
            let patience = Policy::KILL_PATIENCE.as_secs();
            let what = format!(
                "was killed {patience} s ago and is still there; it is not waited for any more"
            );
            let line = LogLine::about_worker(Level::Error, (*slot, *pid), &what);
            self.log.line(&line);
        }
    }
}

/// What the next worker speaks TLS with.
fn parcel_of(tls: &mut Keeper) -> Result<BorrowedFd<'_>, SpawnError> {
    let now = since_boot().map_err(shortage("clock_gettime"))?;
    tls.parcel_fd(now).map_err(shortage("memfd_create"))
}

/// A shortage of this process or this machine on the way to a start.
fn shortage(call: &'static str) -> impl Fn(io::Error) -> SpawnError {
    move |source| SpawnError::System {
        program: "a worker".to_owned(),
        call,
        source,
    }
}

impl SpawnError {
    /// Whether time can heal it.
    fn class(&self) -> StartFailure {
        match self {
            // A master that receives no signal must not go on, whatever the errno.
            Self::Producer(_) | Self::SignalMask(_) => StartFailure::Refused,
            Self::System { source, .. } => match source.raw_os_error() {
                // Its process was killed.
                None if source.kind() == io::ErrorKind::Interrupted => StartFailure::Passing,
                // The program is not there, may not be executed, or is none; or its texts hold a
                // zero byte or are too long.
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
                // A shortage, a file that is being written, a file system that does not answer: the
                // recovery budget bounds how often it is tried.
                Some(_) => StartFailure::Passing,
            },
        }
    }

    fn into_error(self, slot: SlotId) -> Error {
        match self {
            Self::Producer(source) => Error::Producer {
                slot: slot.0,
                source,
            },
            Self::SignalMask(source) => Error::Master {
                doing: "restore its signal mask after the start of a worker (rt_sigprocmask)",
                source,
            },
            Self::System {
                program,
                call,
                source,
            } => Error::Start {
                slot: slot.0,
                program,
                call,
                source,
            },
        }
    }
}
