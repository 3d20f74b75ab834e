//! The loop of the master. The supervisor decides, the kernel reports events; this file only
//! connects them.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use super::child::{ChildLimits, ChildProcess};
use super::commands::CommandReceiver;
use super::exit_history::ExitHistory;
use super::orphans::OrphanReaper;
use super::pinning::Pinning;
use super::poller::{PollResult, Poller};
use super::rollout::RolloutState;
use super::signal_log_limit::SignalLogLimit;
use super::{Log, Notice, teardown};
use crate::config::Config;
use crate::error::Error;
use crate::hook::Hooks;
use crate::listen::{
    BoundListener, ListenerInfo, close_left_over, left_out_warnings, shared_warnings,
};
use crate::spawn::{Program, Spawner};
use crate::stop_signals::StopSignals;
use crate::supervisor::{
    Action, Backoff, ChildId, FleetOutcome, Parallel, Policy, Readiness, RolloutPolicy, StopCause,
    Supervisor, Window,
};
use crate::sys::process::has_terminal;
use crate::sys::signals::SignalReceiver;
use crate::tls::CertificateSource;

/// If not all workers were ready for this time, a log line follows when they are again.
const NOTABLE: Duration = Duration::from_millis(500);

/// One master. Dropping it closes everything that it opened.
pub(crate) struct Master {
    pub(super) supervisor: Supervisor,
    pub(super) poller: Poller,
    pub(super) children: HashMap<ChildId, ChildProcess>,
    /// Empty after the workers have closed their listeners in a stop.
    pub(super) listeners: Vec<BoundListener>,
    pub(super) spawner: Spawner,
    pub(super) pinning: Pinning,
    /// The warnings of the set-up, until the log has them.
    warnings: Vec<String>,
    pub(super) rollout: RolloutState,
    /// `None` if no listener uses TLS.
    pub(super) tls: Option<Box<dyn CertificateSource>>,
    pub(super) readiness: Readiness,
    /// How many workers accept from the sockets of a slot. 0: no slot has sockets of its own.
    pub(super) ring_width: usize,
    pub(super) signals: Option<SignalReceiver>,
    /// Decides which stop signal ends a stop at once.
    pub(super) stop_signals: StopSignals,
    /// Limits the log lines about signals that have no effect.
    pub(super) repeats: SignalLogLimit,
    pub(super) commands: Option<CommandReceiver>,
    /// All events before this time were handled.
    ///
    /// Later events may wait unread, for example after a pause of this process, so no decision uses
    /// a later time.
    pub(super) events_seen_until: Instant,
    pub(super) log: Log,
    pub(super) hooks: Hooks,
    /// `None` if this process is not PID 1.
    pub(super) orphans: Option<OrphanReaper>,
    /// When to check for orphans again.
    pub(super) orphans_due: Option<Instant>,
    /// The exits of children that were not replaced yet.
    pub(super) exits: ExitHistory,
    /// Since when not every slot has a healthy child. `None`: each one has.
    unhealthy_since: Option<Instant>,
    /// `Notice::AllHealthy` was emitted.
    pub(super) was_healthy: bool,
    /// At its start, this process had a controlling terminal.
    pub(super) had_terminal: bool,
    pub(super) limits: ChildLimits,
    pub(super) drain_delay: Duration,
    pub(super) rollout_timeout: Duration,
    pub(super) healthy_after: Duration,
    /// The number of standbys.
    pub(super) standbys: u32,
    /// The number of the first standby, in log lines and in workers.
    pub(super) first_standby: usize,
    /// The variable that sets `recover_threshold`.
    threshold_variable: String,
    /// The number of threads of each runtime in a worker.
    pub(super) threads: NonZeroUsize,
    pub(super) keepalive_grace: Duration,
    /// The error that ended the master, if the supervisor does not know it.
    pub(super) failure: Option<Error>,
}

/// The parts of a master.
pub(super) struct MasterParts {
    pub(super) config: Config,
    pub(super) readiness: Readiness,
    pub(super) listeners: Vec<BoundListener>,
    pub(super) spawner: Spawner,
    pub(super) pinning: Pinning,
    /// The warnings of the set-up.
    pub(super) warnings: Vec<String>,
    pub(super) program: Program,
    /// It already polls the signals, the commands and the listening sockets.
    pub(super) poller: Poller,
    pub(super) tls: Option<Box<dyn CertificateSource>>,
    pub(super) signals: Option<SignalReceiver>,
    pub(super) commands: Option<CommandReceiver>,
    pub(super) hooks: Hooks,
    pub(super) orphans: Option<OrphanReaper>,
}

impl Master {
    pub(super) fn new(parts: MasterParts) -> Self {
        let ring_width = ring_width(&parts.config, &parts.listeners);
        Self {
            supervisor: Supervisor::new(policy(&parts.config, ring_width), Instant::now()),
            ring_width,
            poller: parts.poller,
            children: HashMap::new(),
            listeners: parts.listeners,
            spawner: parts.spawner,
            pinning: parts.pinning,
            warnings: parts.warnings,
            rollout: RolloutState::new(parts.program),
            tls: parts.tls,
            readiness: parts.readiness,
            signals: parts.signals,
            stop_signals: StopSignals::default(),
            repeats: SignalLogLimit::default(),
            commands: parts.commands,
            events_seen_until: Instant::now(),
            log: Log::default(),
            hooks: parts.hooks,
            orphans: parts.orphans,
            orphans_due: Some(Instant::now()),
            exits: ExitHistory::default(),
            unhealthy_since: Some(Instant::now()),
            was_healthy: false,
            had_terminal: has_terminal(),
            limits: ChildLimits {
                ready_timeout: parts.config.ready_timeout,
                shutdown_grace_period: parts.config.shutdown_grace_period,
            },
            drain_delay: parts.config.drain_delay,
            rollout_timeout: parts.config.rollout_timeout,
            healthy_after: parts.config.healthy_after,
            standbys: parts.config.standby,
            first_standby: parts.config.workers,
            threshold_variable: parts.config.env_prefix.variable("recover_threshold"),
            threads: parts.config.runtime_threads,
            keepalive_grace: parts.config.keepalive_grace,
            failure: None,
        }
    }

    /// Supervises until there is an outcome, and logs what happens.
    ///
    /// # Errors
    /// Any outcome other than a requested stop.
    pub(super) fn run(mut self, log: Log) -> Result<(), Error> {
        self.log = log;
        let left_over = close_left_over(&self.listeners).into_iter();
        let set_up = std::mem::take(&mut self.warnings);
        let left_out = left_out_warnings(&self.listeners);
        let shared = shared_warnings(&self.listeners);
        for warning in left_over.chain(left_out).chain(shared).chain(set_up) {
            self.log.notice(&Notice::StartWarning(&warning));
        }
        let result = self.supervise();
        match self.commands {
            // The caller of `Handle::wait` gets the error.
            Some(_) => result,
            None => self.log.log_error(result),
        }
    }

    fn supervise(&mut self) -> Result<(), Error> {
        // Those that arrived while the addresses were bound.
        self.on_signals();
        loop {
            let action = self.supervisor.next_action(self.events_seen_until);
            self.note_stop();
            // The report of the last child comes first.
            if !matches!(action, Some(Action::ReportHealthy { .. })) {
                self.note_health();
            }
            let wait_until = if let Some(action) = action {
                self.perform(action);
                // The action may have taken time, for example in a hook. So events are read before
                // a child is judged late or another child is started.
                Some(Instant::now())
            } else if let Some(outcome) = self.supervisor.outcome().cloned() {
                self.log_remaining_repeats();
                return self.conclude(&outcome);
            } else {
                let (repeats, orphans) = (self.repeats.deadline(), self.orphans_due);
                let stderr = self.rollout.stderr.deadline();
                let deadlines = [self.supervisor.deadline(), repeats, orphans, stderr];
                deadlines.into_iter().flatten().min()
            };
            let ready = self.wait(wait_until)?;
            self.events_seen_until = ready.until;
            for source in ready.sources {
                self.handle_source(source);
            }
            self.log_due_repeats();
            self.rollout.stderr.retry_due(Instant::now(), &self.poller);
            self.reap_orphans();
        }
    }

    fn note_health(&mut self) {
        if !self.supervisor.is_healthy() {
            self.unhealthy_since.get_or_insert(self.events_seen_until);
            return;
        }
        let Some(since) = self.unhealthy_since.take() else {
            return;
        };
        let slots = self.supervisor.snapshot().slots();
        let children = slots.filter_map(|(_, child)| self.children.get(&child?));
        let pids: Vec<i32> = children.map(|child| child.pid).collect();
        if std::mem::replace(&mut self.was_healthy, true) {
            // A quick recovery has lines of its own.
            if self.events_seen_until.saturating_duration_since(since) >= NOTABLE {
                let workers = pids.len();
                self.emit(&Notice::HealthyAgain { workers });
            }
            return;
        }
        let listeners = &self.listener_infos();
        self.emit(&Notice::AllHealthy { pids, listeners });
    }

    fn wait(&mut self, until: Option<Instant>) -> Result<PollResult, Error> {
        self.poller.wait(until).map_err(|source| Error::Master {
            doing: "wait for events (epoll_wait)",
            source,
        })
    }

    pub(super) fn listener_infos(&self) -> Vec<ListenerInfo> {
        self.listeners
            .iter()
            .map(|bound| bound.info.clone())
            .collect()
    }

    pub(super) fn close_listeners(&mut self) {
        // Other processes may hold copies, and epoll would report them in every wait.
        for socket in self.listeners.iter().flat_map(BoundListener::sockets) {
            self.poller.remove(socket);
        }
        teardown::close(std::mem::take(&mut self.listeners));
    }

    /// Turns the outcome of the supervisor into the result of `run`.
    fn conclude(&mut self, outcome: &FleetOutcome) -> Result<(), Error> {
        let pid = |id| self.children.get(id).map(|child| child.pid);
        let pids: Vec<i32> = outcome.unkillable.iter().filter_map(pid).collect();
        let unkillable = (!pids.is_empty()).then_some(Error::Unkillable { pids });
        let failure = match outcome.stop.cause {
            StopCause::Requested => None,
            StopCause::OverRecovery {
                exits,
                threshold,
                window,
                was_healthy,
                slot,
                ..
            } => Some(Error::OverRecovery {
                exits,
                threshold,
                window: match window {
                    Window::Sliding(window) if was_healthy => Some(window),
                    Window::Sliding(_) | Window::Forever => None,
                },
                last: if was_healthy {
                    self.exits.last(self.slot_number(slot))
                } else {
                    let last = self.exits.last(self.slot_number(slot));
                    format!("no worker was ever ready; {last}")
                },
                variable: self.threshold_variable.clone(),
            }),
            // The supervisor knows only the kind of error; the error itself was kept when it
            // happened.
            StopCause::StartFailed { .. } | StopCause::HookFailed | StopCause::ListenerLost => {
                self.failure.take()
            }
        };
        match (failure, unkillable) {
            (Some(failure), Some(unkillable)) => {
                self.emit(&Notice::Unkillable(&unkillable));
                Err(failure)
            }
            (Some(error), None) | (None, Some(error)) => Err(error),
            (None, None) => {
                let taken = outcome.stop.began.elapsed();
                self.emit(&Notice::Stopped { taken });
                Ok(())
            }
        }
    }
}

impl Drop for Master {
    /// Kills the children that are left after an error, and waits for them.
    ///
    /// One deadline limits the wait. After a panic the children drain instead, because their
    /// channels end.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.close_listeners();
        // The supervisor already killed these and waited for them.
        let outcome = self.supervisor.outcome();
        let is_given_up = |id: &ChildId| outcome.is_some_and(|o| o.unkillable.contains(id));
        let children = self.children.values();
        let children: Vec<&ChildProcess> =
            children.filter(|child| !is_given_up(&child.id)).collect();
        for child in &children {
            let _ = child.pidfd.signal(Signal::SIGKILL);
        }
        let deadline = Instant::now() + Policy::KILL_TIMEOUT;
        for child in children {
            child.pidfd.wait_until(deadline);
        }
    }
}

fn policy(config: &Config, ring_width: usize) -> Policy {
    Policy {
        // `workers` is not 0: single-process mode has no master.
        slots: NonZeroUsize::new(config.workers).unwrap_or(NonZeroUsize::MIN),
        recover_threshold: config.recover_threshold,
        recover_window: match config.recover_window {
            prefork_options::Window::Sliding(window) => Window::Sliding(window),
            prefork_options::Window::Forever => Window::Forever,
        },
        recover_interval: config.recover_interval,
        healthy_after: config.healthy_after,
        ready_timeout: or_unlimited(config.ready_timeout),
        drain_delay: config.drain_delay,
        shutdown_grace_period: config.shutdown_grace_period,
        exit_timeout: Policy::EXIT_TIMEOUT,
        kill_timeout: Policy::KILL_TIMEOUT,
        rollout: RolloutPolicy {
            parallel: match config.rollout_parallel {
                prefork_options::Parallel::Percent(percent) => Parallel::Percent(percent),
                prefork_options::Parallel::Count(count) => Parallel::Slots(count),
            },
            soak: config.rollout_soak,
            canary: config.rollout_canary,
            timeout: config.rollout_timeout,
        },
        standbys: usize::try_from(config.standby).unwrap_or(usize::MAX),
        standby_pause: Policy::STANDBY_PAUSE,
        ring_width,
        backoff: Backoff::default(),
        jitter_seed: seed(),
    }
}

/// How many workers accept from the sockets of a slot. 0: no listener has sockets per slot.
fn ring_width(config: &Config, listeners: &[BoundListener]) -> usize {
    let specs = config.listen.iter().zip(listeners);
    let widths = specs.map(|(spec, bound)| {
        if bound.has_slots() {
            spec.ring_width
        } else {
            0
        }
    });
    widths.max().unwrap_or(0)
}

/// Zero means no limit. The clock of the supervisor ends before `Duration::MAX`.
fn or_unlimited(limit: Duration) -> Duration {
    if limit.is_zero() {
        Duration::MAX
    } else {
        limit
    }
}

/// A seed that differs between masters that start at the same time.
///
/// They must not retry in step.
fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.map_or(0, |since| u64::from(since.subsec_nanos()));
    (nanos << 32) | u64::from(std::process::id())
}
