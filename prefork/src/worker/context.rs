//! All that a worker has: its place, its listeners, its channel, and how far its stop has come.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::farewell::Farewell;
use super::ready::Announcer;
use super::seats::Seats;
use super::shortages::Shortages;
use super::shutdown::{self, State as ShutdownState};
use super::watch::{Master, Process, Watch, process_of};
use crate::channel::{Channel, MainEnd};
use crate::error::{Error, Shortage};
use crate::escalation::Escalation;
use crate::hook::LastHook;
use crate::listen::Inherited;
use crate::net::Intake;
use crate::sys;
use crate::sys::bell::Bell;
use crate::sys::signals::SignalPipe;
use crate::tls::Handed;

/// Of a process that runs the body: a child, or the one process of single mode.
#[derive(Debug)]
pub(crate) struct Context {
    slot: usize,
    addrs: Vec<(String, SocketAddr)>,
    /// Whose clients are to speak TLS, in the same order.
    are_tls: Vec<bool>,
    seats: Seats,
    intake: Arc<Intake>,
    shutdown: Arc<ShutdownState>,
    announcer: Arc<Announcer>,
    farewell: Arc<Farewell>,
    signals: Arc<SignalPipe>,
    /// What this process must be told by a signal, beside SIGTERM.
    own_signals: &'static [Signal],
    threads: NonZeroUsize,
    grace: Duration,
    bell: Arc<Bell>,
    #[cfg(feature = "tls")]
    tls: super::tls::Tls,
    has_termination: OnceLock<()>,
}

/// What `main` declares by its arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declared {
    /// The names of the listeners that it takes.
    pub(crate) listeners: Vec<String>,
    /// For each argument the place of its listener.
    pub(crate) assigned: Vec<Option<usize>>,
    /// The places of the listeners that it takes as the standard library's.
    pub(crate) blocking: Vec<usize>,
    /// It takes our listener, or `Ready`: being ready will be seen.
    pub(crate) announces_ready: bool,
    /// It takes `Ready`: the first accept does not count.
    pub(crate) is_ready_by_hand: bool,
    /// It takes something of ours that knows how to stop.
    pub(crate) takes_termination: bool,
}

static CURRENT: OnceLock<Arc<Context>> = OnceLock::new();

thread_local! {
    /// Of a body that a test runs in its own process, on this thread.
    static GUEST: RefCell<Option<Arc<Context>>> = const { RefCell::new(None) };
}

/// The context of this process, once the body runs.
pub(crate) fn current() -> Option<Arc<Context>> {
    let guest = GUEST.with_borrow(Clone::clone);
    guest.or_else(|| CURRENT.get().cloned())
}

/// Logs one line about a shortage.
pub(crate) type OnShortage = Box<dyn FnMut(&Shortage) + Send>;

/// What a context is made of.
pub(super) struct Parts {
    pub(super) slot: usize,
    pub(super) listeners: Vec<Inherited>,
    pub(super) master: Option<Arc<Channel>>,
    pub(super) grace: Duration,
    pub(super) threads: NonZeroUsize,
    pub(super) tls: Option<Handed>,
    pub(super) own_signals: &'static [Signal],
    pub(super) on_master_death: Option<LastHook>,
    /// Logs shortages in single mode, where there is no master.
    pub(super) on_shortage: Option<OnShortage>,
    pub(super) process: Process,
}

impl Context {
    /// Makes it the one of this process.
    ///
    /// # Errors
    /// There is one.
    pub(super) fn become_current(self: &Arc<Self>) -> Result<(), Error> {
        let second = |_| Error::SecondRun {
            reason: "run was called a second time in one process",
        };
        CURRENT.set(Arc::clone(self)).map_err(second)
    }

    /// Makes this thread a worker for the time of the call. Signals stay as they are.
    pub(super) fn host<R>(self: &Arc<Self>, body: impl FnOnce() -> R) -> R {
        /// Also when the body panics.
        struct Leave(Option<Arc<Context>>);
        impl Drop for Leave {
            fn drop(&mut self) {
                GUEST.set(self.0.take());
            }
        }
        let _leave = Leave(GUEST.replace(Some(Arc::clone(self))));
        body()
    }

    pub(super) fn build(parts: Parts, declared: &Declared) -> Result<(Arc<Self>, Watch), Error> {
        // Of no use to a program that cannot read it.
        #[cfg(not(feature = "tls"))]
        drop(parts.tls);
        let setup = cannot("make its own pipes");
        let announcer = Arc::new(Announcer::new(parts.master.clone()));
        let bell = Arc::new(Bell::new().map_err(&setup)?);
        // A guest's master is a test in the same process.
        let master_process = match (parts.process, &parts.master) {
            (Process::Own, Some(channel)) => process_of(channel).map(Arc::new),
            (Process::Own, None) | (Process::Guest, _) => None,
        };
        let intake = new_intake(declared, &announcer, &bell).map_err(&setup)?;
        let intake = Arc::new(match &master_process {
            None => intake,
            Some(master) => {
                let master = Arc::clone(master);
                intake.asking(move || master.has_ended())
            }
        });
        let signals = Arc::new(SignalPipe::new().map_err(&setup)?);
        let is_awaited = |name: &String| declared.listeners.contains(name);
        let inherited = parts.listeners.iter();
        let are_tls = inherited.map(|listener| listener.place.is_tls).collect();
        let (addrs, fds): (Vec<_>, Vec<_>) = parts
            .listeners
            .into_iter()
            .map(|Inherited { place, fd }| {
                let is_awaited = is_awaited(&place.name);
                ((place.name, place.addr), (fd, is_awaited))
            })
            .unzip();
        let context = Arc::new(Self {
            slot: parts.slot,
            addrs,
            are_tls,
            seats: Seats::new(fds),
            intake,
            shutdown: match parts.process {
                Process::Own => Arc::clone(shutdown::own()),
                Process::Guest => Arc::default(),
            },
            announcer,
            farewell: Arc::default(),
            signals,
            own_signals: parts.own_signals,
            threads: parts.threads,
            grace: parts.grace,
            bell: Arc::clone(&bell),
            #[cfg(feature = "tls")]
            tls: super::tls::Tls::new(parts.tls),
            has_termination: OnceLock::new(),
        });
        let watch = Watch {
            context: Arc::clone(&context),
            master_process,
            is_master_gone: false,
            master: parts.master.map_or(Master::None, Master::Alive),
            grace: parts.grace,
            bell,
            is_death_untold: false,
            on_master_death: parts.on_master_death,
            on_shortage: parts.on_shortage,
            shortages: Shortages::default(),
            is_failure_handled: false,
            process: parts.process,
            escalation: Escalation::default(),
        };
        if parts.process == Process::Guest {
            // The signals of its process are none of its business.
            context.has_termination.get_or_init(|| ());
        }
        Ok((context, watch))
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

    pub(super) fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    pub(super) fn shutdown(&self) -> &Arc<ShutdownState> {
        &self.shutdown
    }

    pub(super) fn signals(&self) -> &SignalPipe {
        &self.signals
    }

    pub(super) fn announce_ready(&self) {
        self.announcer.ready();
    }

    /// From now on SIGTERM begins a drain instead of ending the process.
    pub(super) fn take_termination(&self) {
        self.has_termination.get_or_init(|| {
            // Without descriptors the default stays: the process ends when asked to.
            let _ = self.signals.receive(&[Signal::SIGTERM]);
            let own = self.own_signals.iter().copied();
            let wanted: Vec<Signal> = own.filter(|&s| !sys::signals::is_ignored(s)).collect();
            let _ = self.signals.receive(&wanted);
        });
    }

    pub(super) fn farewell(&self) -> &Arc<Farewell> {
        &self.farewell
    }

    /// How many threads a runtime of ours shall have.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// `main` has ended, and with it what this worker is for. The first report counts.
    pub(crate) fn main_ended(&self, end: MainEnd) {
        if self.announcer.ended(end) {
            // The monitoring thread begins to drain what is left.
            self.bell.ring();
        }
    }

    pub(super) fn has_main_ended(&self) -> bool {
        self.announcer.has_ended()
    }

    /// How long a runtime may wait for its blocking tasks after `main` has ended: most of what is left of a stop that was
    /// asked for, else of the grace period; the rest is for the exit itself.
    pub(crate) fn time_to_exit(&self) -> Duration {
        let deadline = super::Shutdown::new(&self.shutdown).deadline();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        left.unwrap_or(self.grace) / 10 * 9
    }

    /// The body has returned: the process may end, but for a hook that still runs.
    ///
    /// # Errors
    /// A listener cannot accept any more, and its server had no way to return that from the body.
    pub(crate) fn conclude(&self) -> Result<(), Error> {
        let deadline = super::Shutdown::new(&self.shutdown).deadline();
        self.farewell.wait(deadline);
        let Some(error) = self.accept_error() else {
            return Ok(());
        };
        // The thread beside the body may not have come to it yet.
        self.main_ended(MainEnd::Unable(error.one_line()));
        Err(error)
    }

    /// Why the worker ends although it was not asked to.
    pub(super) fn accept_error(&self) -> Option<Error> {
        let failure = self.intake.accept_failure()?;
        Some(Error::Accept {
            listener: self.name_of(failure.addr),
            source: failure.into_error(),
        })
    }

    /// The name of the listener with this address.
    pub(super) fn name_of(&self, addr: SocketAddr) -> String {
        let known = self.addrs.iter().find(|(_, other)| *other == addr);
        known.map_or_else(|| addr.to_string(), |(name, _)| name.clone())
    }

    #[cfg(feature = "tls")]
    pub(super) fn tls(&self) -> &super::tls::Tls {
        &self.tls
    }

    pub(super) fn seats(&self) -> &Seats {
        &self.seats
    }
}

/// What listeners tell of: the first accept, and whatever the watch has to look at.
fn new_intake(
    declared: &Declared,
    announcer: &Arc<Announcer>,
    bell: &Arc<Bell>,
) -> io::Result<Intake> {
    let (announcer, bell) = (Arc::clone(announcer), Arc::clone(bell));
    let counts = !declared.is_ready_by_hand;
    let on_first_accept = move || {
        if counts {
            announcer.ready();
        }
    };
    Intake::new(on_first_accept, move || bell.ring())
}

pub(super) fn cannot(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Worker { doing, source }
}
