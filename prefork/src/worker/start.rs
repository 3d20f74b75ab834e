//! How a process becomes a worker: from the variables and descriptors of its master, or without a
//! master in single-process mode.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::signal::Signal;
use socket2::{SockRef, Type};

use super::child_env::ChildEnv;
use super::context::{BodySpec, Context};
use super::current;
use super::lifecycle::{DrainTimes, Host, Lifecycle};
use super::listeners::WorkerListeners;
use super::monitor::Monitor;
use super::ready_notifier::{ReadyNotifier, SingleObserver};
use super::shortage_log::ShortageLog;
use super::socket_kind::OfferedListener;
use crate::channel::{
    Channel, ChildRole, FromChild, FromMaster, MainEnd, PROTOCOL, ROLE_VARIABLE, ReceivedFrame,
    Welcome,
};
use crate::error::Error;
use crate::hook::{self, Init, OnceHook};
use crate::listen::{BoundListener, InheritedFds, InheritedListener, inherit};
use crate::net::{AcceptGate, ConnTracker};
use crate::stop_signals::StopSignals;
use crate::sys;
use crate::sys::fds::FIRST_FD;
use crate::sys::peer::PeerProcess;
use crate::sys::process::outlive_parent;
use crate::sys::signals::SignalReceiver;
use crate::sys::waker::Waker;
use crate::tls::WorkerTls;

/// The signals of a terminal. A child starts with these blocked, because the master handles them.
/// In single-process mode they have the meaning of SIGTERM.
const TERMINAL: [Signal; 3] = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// The grace period until the `welcome` frame was read.
const DEFAULT_GRACE_PERIOD: Duration = Duration::from_secs(5);

/// Makes this process a worker of the master that set the variables.
///
/// `declare` gets the listeners and whether there is a certificate.
///
/// # Errors
/// The variables or descriptors are not those of a master, the arguments of `main` do not fit
/// the listeners, `init` failed, or a system call failed.
pub(crate) fn start_from_env(
    child_env: &ChildEnv,
    init: Option<Init>,
    on_master_death: Option<OnceHook>,
    declare: impl FnOnce(&[OfferedListener<'_>], bool) -> Result<BodySpec, Error>,
) -> Result<(Arc<Context>, BodySpec), Error> {
    let wrong = |reason| Error::InvalidChildEnv {
        variable: ROLE_VARIABLE,
        reason,
    };
    let marker = child_env.get(ROLE_VARIABLE).unwrap_or_default();
    let marker = ChildRole::decode(&marker).map_err(wrong)?;
    let fds = inherit(|name| child_env.get(name))?;
    let channel = adopt_channel(&marker, fds.sockets()).map_err(wrong)?;
    let channel = Arc::new(channel);
    let to_master = Arc::clone(&channel);
    let begun = begin(marker.slot, fds, channel, init, on_master_death, declare);
    // So the master's line about the exit contains the reason.
    begun.inspect_err(|error| {
        let ended = FromChild::Ended(MainEnd::Unable(error.chain()));
        let _ = to_master.send(&ended.encode());
    })
}

/// Makes this process the only worker, in single-process mode.
///
/// # Errors
/// The process already is a worker, or a system call failed.
pub(crate) fn start_single(
    bound: Vec<BoundListener>,
    times: DrainTimes,
    threads: NonZeroUsize,
    tls: WorkerTls,
    declared: &BodySpec,
    observer: SingleObserver,
) -> Result<Arc<Context>, Error> {
    let parts = WorkerParts {
        slot: 0,
        listeners: bound.into_iter().map(InheritedListener::from).collect(),
        master: None,
        times,
        threads,
        tls,
        own_signals: &TERMINAL,
        is_gated: false,
        is_standby: false,
        on_master_death: None,
        observer: Some(observer),
        host: Host::Process,
    };
    start(parts, declared)
}

fn start(parts: WorkerParts, declared: &BodySpec) -> Result<Arc<Context>, Error> {
    let (context, monitor) = build(parts, declared)?;
    current::set_current(&context)?;
    let started = monitor.start();
    started.map_err(cannot("start the monitor thread"))?;
    // From now on the monitor notices the master's death and lets `main` finish.
    outlive_parent().map_err(cannot("clear its parent-death signal (prctl)"))?;
    if declared.handles_sigterm || current::has_asked() {
        context.handle_sigterm();
    }
    Ok(context)
}

/// What a new worker consists of.
pub(super) struct WorkerParts {
    pub(super) slot: usize,
    pub(super) listeners: Vec<InheritedListener>,
    pub(super) master: Option<Arc<Channel>>,
    pub(super) times: DrainTimes,
    pub(super) threads: NonZeroUsize,
    pub(super) tls: WorkerTls,
    /// The signals that mean the same as SIGTERM in this process.
    pub(super) own_signals: &'static [Signal],
    /// Accept no connection before the master opens the gate.
    pub(super) is_gated: bool,
    /// The slot is not final: the master names it when it opens the gate.
    pub(super) is_standby: bool,
    pub(super) on_master_death: Option<OnceHook>,
    /// Only in single-process mode, where there is no master.
    pub(super) observer: Option<SingleObserver>,
    pub(super) host: Host,
}

/// Creates the state of a worker, and its monitor, which the caller starts.
///
/// # Errors
/// No descriptors are left.
pub(super) fn build(
    parts: WorkerParts,
    declared: &BodySpec,
) -> Result<(Arc<Context>, Monitor), Error> {
    let setup = cannot("create an event descriptor (eventfd2)");
    let ready_notifier = Arc::new(ReadyNotifier::new(
        parts.master.clone(),
        parts.observer.clone(),
    ));
    let waker = Arc::new(Waker::new().map_err(&setup)?);
    // The master of an in-process worker is a test in the same process.
    let master_process = match (parts.host, &parts.master) {
        (Host::Process, Some(channel)) => process_of(channel).map(Arc::new),
        (Host::Process, None) | (Host::Test, _) => None,
    };
    let tracker = new_tracker(declared, &ready_notifier, &waker).map_err(&setup)?;
    let tracker = Arc::new(match &master_process {
        None => tracker,
        Some(master) => {
            let master = Arc::clone(master);
            tracker.with_orphan_check(move || master.has_ended())
        }
    });
    let mut lifecycle = Lifecycle::new(parts.host, parts.master.is_some(), parts.times);
    if parts.is_gated {
        tracker.close_gate(AcceptGate::Master);
        lifecycle = lifecycle.gated();
    }
    let signals = Arc::new(SignalReceiver::new().map_err(&setup)?);
    let context = Arc::new(Context {
        slot: parts.slot.into(),
        is_standby: parts.is_standby,
        listeners: WorkerListeners::new(parts.listeners, &declared.listeners, parts.slot, &tracker),
        tracker,
        shutdown: match parts.host {
            Host::Process => Arc::clone(current::own()),
            Host::Test => Arc::default(),
        },
        ready_notifier,
        master_death_hook: Arc::default(),
        signals,
        own_signals: parts.own_signals,
        threads: parts.threads,
        grace: parts.times.grace,
        waker,
        tls: parts.tls,
        has_termination: OnceLock::new(),
    });
    let monitor = Monitor {
        context: Arc::clone(&context),
        lifecycle,
        master: parts.master,
        master_process,
        on_master_death: parts.on_master_death,
        stderr: None,
        cpu: None,
        observer: parts.observer,
        has_lost_socket: false,
        shortages: ShortageLog::default(),
        stop_signals: StopSignals::default(),
    };
    if parts.host == Host::Test {
        // The signals of the process belong to the test.
        context.has_termination.get_or_init(|| ());
    }
    Ok((context, monitor))
}

/// Returns the process of the master, if the kernel provides a descriptor for it.
///
/// It shows the death of the master even if other processes hold the master's end of the channel.
fn process_of(channel: &Channel) -> Option<PeerProcess> {
    PeerProcess::of(channel.as_fd()).unwrap_or_else(|_dead| {
        channel.close();
        None
    })
}

/// Creates the tracker of the listeners' connections.
///
/// The first accept reports readiness, unless `main` takes `Ready`. Changes wake the monitor
/// thread.
fn new_tracker(
    declared: &BodySpec,
    ready_notifier: &Arc<ReadyNotifier>,
    waker: &Arc<Waker>,
) -> io::Result<ConnTracker> {
    let (ready_notifier, waker) = (Arc::clone(ready_notifier), Arc::clone(waker));
    let is_ready_on_accept = !declared.has_ready_argument;
    let on_first_accept = move || {
        if is_ready_on_accept {
            ready_notifier.notify_ready();
        }
    };
    ConnTracker::new(on_first_accept, move || waker.wake())
}

pub(super) fn cannot(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Worker { doing, source }
}

/// Makes this process the worker.
///
/// # Errors
/// The arguments of `main` do not fit the listeners, `init` failed, or a system call failed.
fn begin(
    slot: usize,
    fds: InheritedFds,
    channel: Arc<Channel>,
    init: Option<Init>,
    on_master_death: Option<OnceHook>,
    declare: impl FnOnce(&[OfferedListener<'_>], bool) -> Result<BodySpec, Error>,
) -> Result<(Arc<Context>, BodySpec), Error> {
    let listeners = fds.listeners.iter();
    let offered: Vec<_> = listeners
        .map(|listener| OfferedListener::of(&listener.info))
        .collect();
    let declared = declare(&offered, fds.tls.is_some())?;
    sys::process::set_comm(&format!("worker {slot}"));
    sys::signals::catch_with_noop(&TERMINAL)
        .map_err(cannot("catch the terminal's signals (sigaction)"))?;
    let hello = FromChild::Hello {
        protocol: PROTOCOL,
        announces_ready: declared.notifies_ready,
        listeners: declared.listeners.clone(),
        options: declared.options.clone(),
        has_gate: declared.has_gate,
        can_adopt: declared.can_adopt,
    };
    // If the master is already dead, the monitor sees the end of the channel.
    let _ = channel.send(&hello.encode());
    // Before the monitor thread exists.
    hook::run_init(init, hook::Role::worker(slot))?;
    // After `init`, which may have set a panic hook: that hook is called too.
    super::panic_hook::install(&channel);
    let welcome = read_welcome(&channel);
    let parts = WorkerParts {
        slot,
        listeners: fds.listeners,
        times: welcome.into(),
        threads: welcome.threads,
        master: Some(channel),
        tls: WorkerTls::from_master(fds.tls),
        own_signals: &[],
        is_gated: welcome.is_gated,
        is_standby: welcome.is_standby,
        on_master_death,
        observer: None,
        host: Host::Process,
    };
    Ok((start(parts, &declared)?, declared))
}

fn adopt_channel(marker: &ChildRole, sockets: usize) -> Result<Channel, String> {
    let after = usize::try_from(marker.channel.saturating_sub(FIRST_FD));
    if after != Ok(sockets) {
        let number = marker.channel;
        return Err(format!(
            "fd {number} is not the descriptor after the listeners"
        ));
    }
    let describe = |reason| format!("the channel (fd {}) is {reason}", marker.channel);
    let fd = sys::fds::adopt(marker.channel).map_err(|_| describe("not open"))?;
    match SockRef::from(&fd).r#type() {
        Ok(Type::SEQPACKET) if sys::env::is_secure() && !sys::fds::is_by_trusted_parent(&fd) => {
            Err(describe(
                "not from a trusted master: this program has more privileges than the user who started it",
            ))
        }
        Ok(Type::SEQPACKET) => Ok(Channel::from_fd(fd)),
        Ok(_) => Err(describe("not a SOCK_SEQPACKET socket")),
        Err(_) => Err(describe("not a socket")),
    }
}

impl From<Welcome> for DrainTimes {
    fn from(welcome: Welcome) -> Self {
        Self {
            // The master delays its stop.
            delay: Duration::ZERO,
            grace: welcome.grace,
            keepalive_grace: welcome.keepalive_grace,
        }
    }
}

/// Reads the `welcome` frame.
///
/// The master wrote it before it started this process.
fn read_welcome(channel: &Channel) -> Welcome {
    let default = Welcome::new(DEFAULT_GRACE_PERIOD);
    match channel.receive() {
        ReceivedFrame::Frame(frame) => match FromMaster::decode(&frame) {
            Some(FromMaster::Welcome(welcome)) => welcome,
            Some(
                FromMaster::Serve { .. }
                | FromMaster::Adopt { .. }
                | FromMaster::Release { .. }
                | FromMaster::StderrPassed
                | FromMaster::StderrReleased
                | FromMaster::Stopping
                | FromMaster::Drain { .. },
            )
            | None => default,
        },
        ReceivedFrame::TooLong
        | ReceivedFrame::Descriptors
        | ReceivedFrame::Nothing
        | ReceivedFrame::End => default,
    }
}
