//! The state of a worker: its slot, its listeners, its channel to the master, and its shutdown.
//!
//! `main` and the monitor thread share it. It does not decide anything about the shutdown.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::listeners::UntakenListeners;
use super::master_death_hook::MasterDeathHook;
use super::monitor::{MasterLink, Monitor, MonitorHost, process_of};
use super::ready::ReadyNotifier;
use super::shortage_log::ShortageLog;
use super::shutdown::{self, ShutdownProgress as ShutdownState};
use crate::channel::{Channel, MainEnd};
use crate::error::{Error, Shortage};
use crate::hook::OnceHook;
use crate::listen::InheritedListener;
use crate::net::ConnTracker;
use crate::stop_signals::StopSignals;
use crate::sys;
use crate::sys::signals::SignalReceiver;
use crate::sys::waker::Waker;
use crate::tls::BundleSource;

/// The state of a process that runs `main`.
///
/// It is a worker, or the process of single-process mode.
#[derive(Debug)]
pub(crate) struct Context {
    slot: usize,
    addrs: Vec<(String, SocketAddr)>,
    /// Whether the clients of each listener use TLS, in the same order.
    are_tls: Vec<bool>,
    listeners: UntakenListeners,
    tracker: Arc<ConnTracker>,
    shutdown: Arc<ShutdownState>,
    ready_notifier: Arc<ReadyNotifier>,
    master_death_hook: Arc<MasterDeathHook>,
    signals: Arc<SignalReceiver>,
    /// The signals that mean the same as SIGTERM in this process.
    own_signals: &'static [Signal],
    threads: NonZeroUsize,
    grace: Duration,
    waker: Arc<Waker>,
    #[cfg(feature = "tls")]
    tls: super::tls_config::LazyTlsConfig,
    has_termination: OnceLock<()>,
}

/// What `main` declares by its arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodySpec {
    /// The names of the listeners that `main` takes.
    pub(crate) listeners: Vec<String>,
    /// For each argument the index of its listener.
    pub(crate) assigned: Vec<Option<usize>>,
    /// The indexes of the listeners that `main` takes as `std::net::TcpListener`.
    pub(crate) blocking: Vec<usize>,
    /// `main` takes a `Listener`, `TlsListener` or `Ready`, so the worker will report readiness.
    pub(crate) notifies_ready: bool,
    /// `main` takes `Ready`, so the first accept does not report readiness.
    pub(crate) has_ready_argument: bool,
    /// `main` takes an argument that learns of a stop, so SIGTERM is handled.
    pub(crate) handles_sigterm: bool,
}

static CURRENT: OnceLock<Arc<Context>> = OnceLock::new();

thread_local! {
    /// The context of an in-process worker that a test runs on this thread.
    static IN_PROCESS: RefCell<Option<Arc<Context>>> = const { RefCell::new(None) };
}

/// The context of this thread or process, once it is a worker.
pub(crate) fn current() -> Option<Arc<Context>> {
    let in_process = IN_PROCESS.with_borrow(Clone::clone);
    in_process.or_else(|| CURRENT.get().cloned())
}

/// What the observer of a single process gets, as there is no master to report to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SingleEvent<'a> {
    /// `main` is ready.
    Ready,
    /// The drain begins.
    StopBegan,
    Shortage(&'a Shortage),
}

/// Reports the events of a single process. Any thread may call it.
pub(crate) type SingleObserver = Arc<dyn Fn(SingleEvent<'_>) + Send + Sync>;

/// The parts of a new context.
pub(super) struct ContextParts {
    pub(super) slot: usize,
    pub(super) listeners: Vec<InheritedListener>,
    pub(super) master: Option<Arc<Channel>>,
    pub(super) grace: Duration,
    pub(super) threads: NonZeroUsize,
    pub(super) tls: Option<BundleSource>,
    pub(super) own_signals: &'static [Signal],
    pub(super) on_master_death: Option<OnceHook>,
    /// Only in single-process mode, where there is no master.
    pub(super) observer: Option<SingleObserver>,
    pub(super) process: MonitorHost,
}

impl Context {
    /// Makes it the context of this process.
    ///
    /// # Errors
    /// The process already has a context.
    pub(super) fn become_current(self: &Arc<Self>) -> Result<(), Error> {
        let second = |_| Error::AlreadyRunning {
            reason: "run was called a second time in one process",
        };
        CURRENT.set(Arc::clone(self)).map_err(second)
    }

    /// Makes this thread a worker during the call. Signals are not changed.
    pub(super) fn enter<R>(self: &Arc<Self>, body: impl FnOnce() -> R) -> R {
        /// Resets the thread, also if `body` panics.
        struct LeaveOnDrop(Option<Arc<Context>>);
        impl Drop for LeaveOnDrop {
            fn drop(&mut self) {
                IN_PROCESS.set(self.0.take());
            }
        }
        let _leave = LeaveOnDrop(IN_PROCESS.replace(Some(Arc::clone(self))));
        body()
    }

    pub(super) fn build(
        parts: ContextParts,
        declared: &BodySpec,
    ) -> Result<(Arc<Self>, Monitor), Error> {
        // This program cannot read it.
        #[cfg(not(feature = "tls"))]
        drop(parts.tls);
        let setup = cannot("create an event descriptor (eventfd2)");
        let ready_notifier = Arc::new(ReadyNotifier::new(
            parts.master.clone(),
            parts.observer.clone(),
        ));
        let waker = Arc::new(Waker::new().map_err(&setup)?);
        // The master of an in-process worker is a test in the same process.
        let master_process = match (parts.process, &parts.master) {
            (MonitorHost::Process, Some(channel)) => process_of(channel).map(Arc::new),
            (MonitorHost::Process, None) | (MonitorHost::Test, _) => None,
        };
        let tracker = new_tracker(declared, &ready_notifier, &waker).map_err(&setup)?;
        let tracker = Arc::new(match &master_process {
            None => tracker,
            Some(master) => {
                let master = Arc::clone(master);
                tracker.with_orphan_check(move || master.has_ended())
            }
        });
        let signals = Arc::new(SignalReceiver::new().map_err(&setup)?);
        let is_expected = |name: &String| declared.listeners.contains(name);
        let inherited = parts.listeners.iter();
        let are_tls = inherited.map(|listener| listener.info.is_tls).collect();
        let (addrs, fds): (Vec<_>, Vec<_>) = parts
            .listeners
            .into_iter()
            .map(|InheritedListener { info, fd }| {
                let is_expected = is_expected(&info.name);
                ((info.name, info.addr), (fd, is_expected))
            })
            .unzip();
        let context = Arc::new(Self {
            slot: parts.slot,
            addrs,
            are_tls,
            listeners: UntakenListeners::new(fds),
            tracker,
            shutdown: match parts.process {
                MonitorHost::Process => Arc::clone(shutdown::own()),
                MonitorHost::Test => Arc::default(),
            },
            ready_notifier,
            master_death_hook: Arc::default(),
            signals,
            own_signals: parts.own_signals,
            threads: parts.threads,
            grace: parts.grace,
            waker: Arc::clone(&waker),
            #[cfg(feature = "tls")]
            tls: super::tls_config::LazyTlsConfig::new(parts.tls),
            has_termination: OnceLock::new(),
        });
        let monitor = Monitor {
            context: Arc::clone(&context),
            master_process,
            is_master_gone: false,
            master: parts.master.map_or(MasterLink::None, MasterLink::Up),
            grace: parts.grace,
            waker,
            is_termination_pending: false,
            on_master_death: parts.on_master_death,
            observer: parts.observer,
            shortages: ShortageLog::default(),
            is_failure_handled: false,
            process: parts.process,
            stop_signals: StopSignals::default(),
        };
        if parts.process == MonitorHost::Test {
            // The signals of the process belong to the test.
            context.has_termination.get_or_init(|| ());
        }
        Ok((context, monitor))
    }

    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    pub(super) fn addrs(&self) -> &[(String, SocketAddr)] {
        &self.addrs
    }

    pub(super) fn is_tls(&self, index: usize) -> bool {
        self.are_tls.get(index).copied().unwrap_or(false)
    }

    pub(super) fn tracker(&self) -> &Arc<ConnTracker> {
        &self.tracker
    }

    pub(super) fn shutdown(&self) -> &Arc<ShutdownState> {
        &self.shutdown
    }

    pub(super) fn signals(&self) -> &SignalReceiver {
        &self.signals
    }

    pub(crate) fn notify_ready(&self) {
        self.ready_notifier.notify_ready();
    }

    /// From now on SIGTERM begins a drain instead of ending the process.
    pub(super) fn handle_sigterm(&self) {
        self.has_termination.get_or_init(|| {
            // If this fails, the default action stays: SIGTERM ends the process.
            let _ = self.signals.receive(&[Signal::SIGTERM]);
            let own = self.own_signals.iter().copied();
            let wanted: Vec<Signal> = own.filter(|&s| !sys::signals::is_ignored(s)).collect();
            let _ = self.signals.receive(&wanted);
        });
    }

    pub(super) fn master_death_hook(&self) -> &Arc<MasterDeathHook> {
        &self.master_death_hook
    }

    /// The number of threads of the runtime that runs an async `main`.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// Reports the end of `main` to the master. Only the first report counts.
    pub(crate) fn main_ended(&self, end: MainEnd) {
        if self.ready_notifier.ended(end) {
            // The monitor thread drains what still runs.
            self.waker.wake();
        }
    }

    pub(super) fn has_main_ended(&self) -> bool {
        self.ready_notifier.has_ended()
    }

    /// How long a runtime may wait for its blocking tasks after the end of `main`.
    ///
    /// In a stop this is 90 % of the time left, otherwise 90 % of the grace period. The rest is for
    /// the exit itself.
    pub(crate) fn exit_time_left(&self) -> Duration {
        let deadline = super::Shutdown::new(&self.shutdown).deadline();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        left.unwrap_or(self.grace) / 10 * 9
    }

    /// Finishes the worker after `main` has returned.
    ///
    /// It waits for the hook `on_master_death`, at most until the deadline.
    ///
    /// # Errors
    /// A listener can no longer accept, and the server could not return that error from `main`.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        let deadline = super::Shutdown::new(&self.shutdown).deadline();
        self.master_death_hook.wait(deadline);
        let Some(error) = self.accept_error() else {
            return Ok(());
        };
        // The monitor thread may not have reported it yet.
        self.main_ended(MainEnd::Unable(error.chain()));
        Err(error)
    }

    /// Returns the error of accept that ends this worker, if there is one.
    pub(super) fn accept_error(&self) -> Option<Error> {
        let failure = self.tracker.accept_failure()?;
        Some(Error::Accept {
            listener: self.name_of(failure.addr),
            source: failure.into_error(),
        })
    }

    /// Returns the name of the listener with this address, else the address.
    pub(super) fn name_of(&self, addr: SocketAddr) -> String {
        let known = self.addrs.iter().find(|(_, other)| *other == addr);
        known.map_or_else(|| addr.to_string(), |(name, _)| name.clone())
    }

    #[cfg(feature = "tls")]
    pub(super) fn tls(&self) -> &super::tls_config::LazyTlsConfig {
        &self.tls
    }

    pub(super) fn listeners(&self) -> &UntakenListeners {
        &self.listeners
    }
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
