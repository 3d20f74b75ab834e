//! What happens in a master or in a single process, as one typed record per event.
//!
//! A notice is plain data. It does not know its consumers: `log_line.rs` makes log lines of
//! notices, `hooks.rs` calls the user's hooks, and `notify.rs` reports to the service manager.

use std::io;
use std::time::Duration;

use super::RolloutVerdict;
use crate::error::{Error, Shortage};
use crate::listen::ListenerInfo;
use crate::sys::exit_status::ExitStatus;
use crate::sys::signals::ReceivedSignal;
use crate::tls::TlsEvent;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Notice<'a> {
    /// An option or variable has no effect, or is probably a mistake.
    StartWarning(&'a str),
    /// A signal requested a stop during the start.
    StartCanceled {
        received: ReceivedSignal,
        before: StartStep,
    },
    /// A single process has bound its addresses and is about to call `main`.
    SingleStarted { listeners: &'a [ListenerInfo] },
    /// The first worker of each slot was started. Each may or may not be ready.
    AllSpawned {
        listeners: &'a [ListenerInfo],
        workers: usize,
    },
    /// The master is ready: from now on it replaces workers. Follows `AllSpawned`.
    MasterReady {
        /// The first workers, in the order of their slots.
        pids: Vec<i32>,
        listeners: &'a [ListenerInfo],
    },
    /// For the first time, the worker of each slot is healthy. In a single process: `main` is
    /// ready.
    AllHealthy {
        /// The workers, in the order of their slots. In a single process: none.
        pids: Vec<i32>,
        listeners: &'a [ListenerInfo],
    },
    /// The workers of all slots are healthy again, after at least one was not.
    HealthyAgain { workers: usize },
    WorkerStarted {
        worker: WorkerProcess,
        /// The process that the slot had before.
        replaced: Option<PreviousChild>,
    },
    /// A standby fills its slot now.
    WorkerPromoted {
        worker: WorkerProcess,
        /// The process that the slot had before.
        replaced: Option<PreviousChild>,
    },
    /// The worker is healthy for the first time.
    WorkerReady {
        worker: WorkerProcess,
        /// The time since its start.
        age: Duration,
    },
    /// A worker that was healthy took back its readiness, or is ready again. Without a worker: this
    /// single process.
    ReadinessChanged {
        worker: Option<WorkerProcess>,
        is_ready: bool,
    },
    /// The master sent SIGKILL to the worker.
    WorkerKilled { worker: WorkerProcess },
    WorkerExited {
        exit: &'a WorkerExit,
        /// The number of equal exits in a row, if the log need not give the cause again.
        repeated: Option<u32>,
    },
    /// The worker has exited, and cannot be reaped.
    WorkerUnreaped {
        worker: WorkerProcess,
        cause: UnreapedCause,
    },
    /// `main` has ended and the process has not exited. It is replaced now.
    WorkerStillRuns {
        worker: WorkerProcess,
        age: Duration,
        /// How `main` ended.
        end: &'a str,
        /// The time until the master kills it.
        left: Duration,
    },
    /// The worker did not exit within this time after SIGKILL.
    WorkerGivenUp {
        worker: WorkerProcess,
        waited: Duration,
    },
    /// A shortage in accept begins or is over. Without a worker: in this single process.
    Shortage {
        worker: Option<WorkerProcess>,
        shortage: &'a Shortage,
    },
    /// The worker does not run on the CPU of its slot (`pin_cpus`).
    WorkerUnpinned {
        worker: WorkerProcess,
        cpu: usize,
        error: &'a io::Error,
    },
    /// The worker has no descriptors left for the sockets of other slots.
    AdoptionFailed { worker: WorkerProcess },
    /// No process could be started in this slot.
    StartFailed { slot: usize, error: &'a Error },
    /// The workers cannot wait for a promotion, so no standby is started.
    NoStandby,
    /// A process shut down a listening socket that it shares. The master bound the address again.
    ListenerRebound(&'a ListenerInfo),
    /// As above, and the address cannot be bound again.
    ListenerLost(&'a ListenerInfo),
    /// A certificate was checked, replaced or rejected.
    Certificate(&'a TlsEvent),
    /// An operator requested a stop, by a signal or (`None`) by the `Handle`.
    StopRequested {
        by: Option<ReceivedSignal>,
        step: StopStep,
    },
    /// A rollout was requested, by SIGHUP or (`None`) by the `Handle`.
    RolloutRequested { by: Option<ReceivedSignal> },
    /// A rollout begins: this path is opened, and its program replaces this many workers.
    RolloutBegan {
        program: &'a str,
        workers: usize,
        /// The service manager gets a message, and another one at the end.
        is_announced: bool,
    },
    /// A successor fills its slot now.
    WorkerReplaced {
        worker: WorkerProcess,
        /// The process that it replaces.
        previous: Option<i32>,
        is_roll_back: bool,
    },
    /// A rollout has ended.
    RolloutEnded {
        verdict: &'a RolloutVerdict,
        is_announced: bool,
    },
    /// Signals that have no effect.
    SignalIgnored(ReceivedSignal),
    /// A stop has begun, for any reason. From now on no worker is started.
    StopBegan {
        /// How long the workers serve on.
        delay: Duration,
        /// How long they may drain after that.
        grace: Duration,
    },
    /// A message about readiness could not be sent.
    NotifyFailed(&'a NotifyFailure),
    /// A hook returned an error or panicked.
    HookFailed(&'a Error),
    /// Killed workers did not exit, and the master ends with another error.
    Unkillable(&'a Error),
    /// The master or the single process ends with this error.
    Failed(&'a Error),
    /// The stop is complete after this time.
    Stopped { taken: Duration },
}

/// A worker, as notices name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WorkerProcess {
    pub(super) slot: usize,
    pub(super) pid: i32,
    pub(super) role: WorkerRole,
}

/// What a worker is to its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerRole {
    /// It fills the slot.
    Worker,
    /// It has not replaced the worker of the slot yet.
    Successor,
    /// It has no slot yet. Its number follows those of the slots.
    Standby,
}

/// The previous process of a slot that is filled again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PreviousChild {
    pub(super) pid: i32,
    /// `exited with status 1: main returned an error: no database`
    pub(super) how: String,
}

/// A step of the start that a stop signal prevented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartStep {
    Bind,
    Main,
}

/// What a request to stop changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopStep {
    Begins {
        workers: usize,
        /// How long they serve on.
        delay: Duration,
        grace: Duration,
    },
    /// The workers are killed.
    Immediate {
        workers: usize,
    },
    AlreadyStopping,
}

/// Why a worker that has exited cannot be reaped.
#[derive(Debug)]
pub(crate) enum UnreapedCause {
    /// The pid of its tracer; zero if the tracer is in another PID namespace.
    Traced {
        tracer: i32,
        was_killed: bool,
    },
    WaitFailed(io::Error),
}

/// All that is known about the exit of a worker.
#[derive(Debug)]
pub(crate) struct WorkerExit {
    pub(super) worker: WorkerProcess,
    pub(super) status: ExitStatus,
    pub(super) age: Duration,
    pub(super) ended_by: EndedBy,
    /// The cause that the worker itself reported.
    pub(super) reason: Option<String>,
}

/// What the master had done to a worker before it exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    Nothing,
    /// It asked the worker to stop, or stopped itself.
    StopRequest,
    /// It killed the worker, which was not ready within this time.
    ReadyTimeout(Duration),
    /// It killed the worker because of a request to stop at once.
    ImmediateStop,
    /// It killed the worker, which did not stop within this time.
    GracePeriod(Duration),
    /// It killed the worker, which broke this rule.
    Violation(&'static str),
}

impl Notice<'_> {
    /// The worker that the notice is about.
    pub(super) fn worker(&self) -> Option<WorkerProcess> {
        match *self {
            Self::WorkerStarted { worker, .. }
            | Self::WorkerPromoted { worker, .. }
            | Self::WorkerReady { worker, .. }
            | Self::WorkerReplaced { worker, .. }
            | Self::WorkerKilled { worker }
            | Self::WorkerExited {
                exit: &WorkerExit { worker, .. },
                ..
            }
            | Self::WorkerUnreaped { worker, .. }
            | Self::WorkerStillRuns { worker, .. }
            | Self::WorkerUnpinned { worker, .. }
            | Self::AdoptionFailed { worker }
            | Self::WorkerGivenUp { worker, .. } => Some(worker),
            Self::Shortage { worker, .. } | Self::ReadinessChanged { worker, .. } => worker,
            // About the master, a listener or a slot.
            Self::StartWarning(_)
            | Self::StartCanceled { .. }
            | Self::SingleStarted { .. }
            | Self::AllSpawned { .. }
            | Self::MasterReady { .. }
            | Self::AllHealthy { .. }
            | Self::HealthyAgain { .. }
            | Self::StartFailed { .. }
            | Self::NoStandby
            | Self::ListenerRebound(_)
            | Self::ListenerLost(_)
            | Self::Certificate(_)
            | Self::StopRequested { .. }
            | Self::SignalIgnored(_)
            | Self::StopBegan { .. }
            | Self::NotifyFailed(_)
            | Self::HookFailed(_)
            | Self::Unkillable(_)
            | Self::Failed(_)
            | Self::RolloutRequested { .. }
            | Self::RolloutBegan { .. }
            | Self::RolloutEnded { .. }
            | Self::Stopped { .. } => None,
        }
    }
}

/// A message that could not be sent.
#[derive(Debug)]
pub(crate) struct NotifyFailure {
    /// The variable that named the target.
    pub(super) variable: &'static str,
    pub(super) error: io::Error,
}
