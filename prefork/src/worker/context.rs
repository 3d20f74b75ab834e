//! All that a worker has: its place, its listeners, its channel, and how far its stop has come.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::signal::Signal;
use socket2::{SockRef, Type};

use super::farewell::Farewell;
use super::latch::Latched;
use super::ready::Announcer;
use super::seats::Seats;
use super::secure::Offered;
use super::shutdown::{self, State as ShutdownState};
use super::watch::{Master, Process, Watch};
use crate::channel::{Channel, FromChild, FromMaster, Marker, PROTOCOL, ROLE_VARIABLE, Received};
use crate::error::Error;
use crate::hook::{self, Init, LastHook};
use crate::listen::{Bound, Inheritance, Inherited, inherit};
use crate::net::Intake;
use crate::sys;
use crate::sys::bell::Bell;
use crate::sys::fds::FIRST_FD;
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
    /// For each listener whether it is declared as the standard library's.
    pub(crate) blocking: Vec<bool>,
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
    pub(super) process: Process,
}

/// A child starts with these blocked; the master decides what they mean. In single mode there is
/// none, and they mean what SIGTERM means.
const TERMINAL: [Signal; 3] = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// Until the master's word on it was read.
const GRACE: Duration = Duration::from_secs(5);

impl Context {
    /// Makes this process a worker of the master that set the variables. What `main` declares is
    /// asked for when the names of the listeners are known.
    ///
    /// # Errors
    /// Variables or descriptors that are not a master's; what `init` said.
    pub(crate) fn of_child(
        latched: &Latched,
        init: Option<Init>,
        on_master_death: Option<LastHook>,
        declare: impl FnOnce(&[Offered<'_>], bool) -> Result<Declared, Error>,
    ) -> Result<(Arc<Self>, Declared), Error> {
        let wrong = |reason| Error::Role {
            variable: ROLE_VARIABLE,
            reason,
        };
        let marker = latched.get(ROLE_VARIABLE).unwrap_or_default();
        let marker = Marker::decode(&marker).map_err(wrong)?;
        let Inheritance { listeners, tls } = inherit(|name| latched.get(name))?;
        let channel = adopt_channel(&marker, listeners.len()).map_err(wrong)?;
        let offered: Vec<Offered<'_>> = listeners
            .iter()
            .map(|listener| Offered::of(&listener.place))
            .collect();
        let declared = declare(&offered, tls.is_some())?;
        sys::process::name_after_role(&format!("worker {}", marker.slot));
        sys::signals::disregard(&TERMINAL).map_err(cannot("disregard the terminal's signals"))?;
        let hello = FromChild::Hello {
            protocol: PROTOCOL,
            announces_ready: declared.announces_ready,
            listeners: declared.listeners.clone(),
        };
        // A master that is gone already shows as the end of the channel, to the watch.
        let _ = channel.send(&hello.encode());
        begin(init, marker.slot, &channel)?;
        let channel = Arc::new(channel);
        // After `init`, which may have set a hook for panics: it is called as well.
        super::last_words::install(&channel);
        let (grace, threads) = read_welcome(&channel);
        let parts = Parts {
            slot: marker.slot,
            listeners,
            grace,
            threads,
            master: Some(channel),
            tls: tls.map(Handed::File),
            own_signals: &[],
            on_master_death,
            process: Process::Own,
        };
        Ok((Self::install(parts, &declared)?, declared))
    }

    /// Makes this process its own and only worker.
    ///
    /// # Errors
    /// It has one already, or no descriptors are left.
    pub(crate) fn single(
        bound: Vec<Bound>,
        grace: Duration,
        threads: NonZeroUsize,
        tls: Option<Handed>,
        declared: &Declared,
    ) -> Result<Arc<Self>, Error> {
        let listeners = bound.into_iter().map(|bound| Inherited {
            place: bound.place.clone(),
            fd: bound.into_fd(),
        });
        let parts = Parts {
            slot: 0,
            listeners: listeners.collect(),
            master: None,
            grace,
            threads,
            tls,
            own_signals: &TERMINAL,
            on_master_death: None,
            process: Process::Own,
        };
        Self::install(parts, declared)
    }

    fn install(parts: Parts, declared: &Declared) -> Result<Arc<Self>, Error> {
        let (context, watch) = Self::build(parts, declared)?;
        if CURRENT.set(Arc::clone(&context)).is_err() {
            return Err(Error::SecondRun {
                reason: "run was called a second time in one process",
            });
        }
        let started = watch.start();
        started.map_err(cannot("start the thread that watches its master"))?;
        if declared.takes_termination || shutdown::has_asked() {
            context.take_termination();
        }
        Ok(context)
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
        let on_first_accept = {
            let announcer = Arc::clone(&announcer);
            let counts = !declared.is_ready_by_hand;
            move || {
                if counts {
                    announcer.ready();
                }
            }
        };
        let bell = Arc::new(Bell::new().map_err(&setup)?);
        let on_change = {
            let bell = Arc::clone(&bell);
            move || bell.ring()
        };
        let intake = Arc::new(Intake::new(on_first_accept, on_change).map_err(&setup)?);
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
            #[cfg(feature = "tls")]
            tls: super::tls::Tls::new(parts.tls),
            has_termination: OnceLock::new(),
        });
        let watch = Watch {
            context: Arc::clone(&context),
            master: parts.master.map_or(Master::None, Master::Alive),
            grace: parts.grace,
            bell,
            is_death_untold: false,
            on_master_death: parts.on_master_death,
            process: parts.process,
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

    /// The body has returned: the process may end, but for a hook that still runs.
    pub(crate) fn conclude(&self) {
        let deadline = super::Shutdown::new(&self.shutdown).deadline();
        self.farewell.wait(deadline);
    }

    #[cfg(feature = "tls")]
    pub(super) fn tls(&self) -> &super::tls::Tls {
        &self.tls
    }

    pub(super) fn seats(&self) -> &Seats {
        &self.seats
    }
}

/// Before the process has a thread of ours. The master's line about the end says why as well.
fn begin(init: Option<Init>, slot: usize, channel: &Channel) -> Result<(), Error> {
    hook::begin(init, hook::Role::worker(slot)).inspect_err(|error| {
        let _ = channel.send(&FromChild::Panic(error.one_line()).encode());
    })
}

fn adopt_channel(marker: &Marker, listeners: usize) -> Result<Channel, String> {
    let after = usize::try_from(marker.channel.saturating_sub(FIRST_FD));
    if after != Ok(listeners) {
        let number = marker.channel;
        return Err(format!("fd {number} is not the one after the listeners"));
    }
    let describe = |reason| format!("the channel (fd {}) is {reason}", marker.channel);
    let fd = sys::fds::adopt(marker.channel).map_err(|_| describe("not open"))?;
    match SockRef::from(&fd).r#type() {
        Ok(Type::SEQPACKET) => Ok(Channel::from_fd(fd)),
        Ok(_) => Err(describe("another kind of socket")),
        Err(_) => Err(describe("not a socket")),
    }
}

/// It waits in the channel since before this process began.
fn read_welcome(channel: &Channel) -> (Duration, NonZeroUsize) {
    const UNSAID: (Duration, NonZeroUsize) = (GRACE, NonZeroUsize::MIN);
    match channel.receive() {
        Received::Frame(frame) => match FromMaster::decode(&frame) {
            Some(FromMaster::Welcome { grace, threads }) => (grace, threads),
            Some(FromMaster::Drain { .. } | FromMaster::ReopenLogs) | None => UNSAID,
        },
        Received::TooLong | Received::Nothing | Received::End => UNSAID,
    }
}

fn cannot(doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Worker { doing, source }
}
