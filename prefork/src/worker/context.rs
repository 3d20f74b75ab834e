//! The state of a worker: its slot, its listeners, its channel to the master, and its shutdown.
//!
//! `main` and the monitor thread share it. It does not decide anything about the shutdown.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::listeners::WorkerListeners;
use super::master_death_hook::MasterDeathHook;
use super::ready_notifier::ReadyNotifier;
use super::shutdown::{Shutdown, ShutdownProgress};
use crate::channel::MainEnd;
use crate::error::Error;
use crate::net::{AcceptGate, ConnTracker};
use crate::sys;
use crate::sys::signals::SignalReceiver;
use crate::sys::waker::Waker;
use crate::tls::WorkerTls;

/// The state of a process that runs `main`.
///
/// It is a worker, or the process of single-process mode.
#[derive(Debug)]
pub(crate) struct Context {
    /// Of a standby: a number after those of all slots, until the master promotes it.
    pub(super) slot: AtomicUsize,
    /// It was started without a slot. Its raw listeners wait for the gate, too.
    pub(super) is_standby: bool,
    pub(super) listeners: WorkerListeners,
    pub(super) tracker: Arc<ConnTracker>,
    pub(super) shutdown: Arc<ShutdownProgress>,
    pub(super) ready_notifier: Arc<ReadyNotifier>,
    pub(super) master_death_hook: Arc<MasterDeathHook>,
    pub(super) signals: Arc<SignalReceiver>,
    /// The signals that mean the same as SIGTERM in this process.
    pub(super) own_signals: &'static [Signal],
    pub(super) threads: NonZeroUsize,
    pub(super) grace: Duration,
    pub(super) waker: Arc<Waker>,
    pub(crate) tls: WorkerTls,
    pub(super) has_termination: OnceLock<()>,
}

/// What `main` declares by its arguments.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
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
    /// Its listeners can wait behind a gate: `main` takes them as `Listener` or `TlsListener`, or
    /// takes a `Worker`.
    pub(crate) has_gate: bool,
    /// A listener of it can accept from several sockets: `main` takes it as `Listener` or
    /// `TlsListener`, or takes a `Worker`.
    pub(crate) can_adopt: bool,
    /// The options that the program sets, each as `name:digest`. Only in a worker.
    pub(crate) options: Vec<String>,
}

impl Context {
    pub(super) fn slot(&self) -> usize {
        self.slot.load(Ordering::Relaxed)
    }

    /// Reports that this worker is ready, or ready again.
    pub(crate) fn notify_ready(&self) {
        if self.tracker.is_closed(AcceptGate::Readiness) {
            self.tracker.open_gate(AcceptGate::Readiness);
            self.waker.wake();
        } else {
            self.ready_notifier.notify_ready();
        }
    }

    /// Takes back the readiness: the listeners accept nothing before the next `notify_ready`.
    pub(crate) fn not_ready(&self) {
        self.ready_notifier.leave_to_monitor();
        self.tracker.close_gate(AcceptGate::Readiness);
        self.waker.wake();
    }

    /// Whether this worker is ready. `None`: its readiness was never taken back.
    pub(super) fn changed_readiness(&self) -> Option<bool> {
        let is_ready = !self.tracker.is_closed(AcceptGate::Readiness);
        self.ready_notifier.is_left_to_monitor().then_some(is_ready)
    }

    /// From now on SIGTERM begins a drain instead of ending the process.
    pub(crate) fn handle_sigterm(&self) {
        self.has_termination.get_or_init(|| {
            // If this fails, the default action stays: SIGTERM ends the process.
            let _ = self.signals.receive(&[Signal::SIGTERM]);
            let own = self.own_signals.iter().copied();
            let wanted: Vec<Signal> = own.filter(|&s| !sys::signals::is_ignored(s)).collect();
            let _ = self.signals.receive(&wanted);
        });
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
        let deadline = Shutdown::new(&self.shutdown).deadline();
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
        let deadline = Shutdown::new(&self.shutdown).deadline();
        self.master_death_hook.wait(deadline);
        self.listeners.remove_files();
        let Some(error) = self.accept_error() else {
            return Ok(());
        };
        // The monitor thread may not have reported it yet.
        self.main_ended(MainEnd::Unable(error.chain()));
        Err(error)
    }

    /// Returns the error of accept that ends this worker, if there is one.
    pub(super) fn accept_error(&self) -> Option<Error> {
        let failure = self.tracker.health.accept_failure()?;
        Some(Error::Accept {
            listener: self.name_of(failure.listener),
            source: failure.into_error(),
        })
    }

    /// Returns the name of a listener of this worker.
    pub(super) fn name_of(&self, listener: usize) -> String {
        self.listeners.infos()[listener].name.clone()
    }
}
