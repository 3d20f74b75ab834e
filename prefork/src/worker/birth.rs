//! How a process becomes a worker: by what its master has left for it, or as its own and only one.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use socket2::{SockRef, Type};

use super::agree::Offered;
use super::context::{Context, Declared, OnShortage, Parts, cannot};
use super::latch::Latched;
use super::shutdown;
use super::watch::Process;
use crate::channel::{
    Channel, FromChild, FromMaster, MainEnd, Marker, PROTOCOL, ROLE_VARIABLE, Received,
};
use crate::error::Error;
use crate::hook::{self, Init, LastHook};
use crate::listen::{Bound, Inheritance, Inherited, inherit};
use crate::sys;
use crate::sys::fds::FIRST_FD;
use crate::sys::process::outlive_parent;
use crate::tls::Handed;

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
        let channel = Arc::new(channel);
        let child = Child {
            slot: marker.slot,
            listeners,
            channel: Arc::clone(&channel),
            tls,
        };
        // The master's line about the exit names the reason as well.
        child
            .begin(init, on_master_death, declare)
            .inspect_err(|error| {
                let ended = FromChild::Ended(MainEnd::Unable(error.one_line()));
                let _ = channel.send(&ended.encode());
            })
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
        on_shortage: OnShortage,
    ) -> Result<Arc<Self>, Error> {
        let parts = Parts {
            slot: 0,
            listeners: bound.into_iter().map(Inherited::from).collect(),
            master: None,
            grace,
            threads,
            tls,
            own_signals: &TERMINAL,
            on_master_death: None,
            on_shortage: Some(on_shortage),
            process: Process::Own,
        };
        Self::install(parts, declared)
    }

    fn install(parts: Parts, declared: &Declared) -> Result<Arc<Self>, Error> {
        let (context, watch) = Self::build(parts, declared)?;
        context.become_current()?;
        let started = watch.start();
        started.map_err(cannot("start the thread that watches its master"))?;
        // From here on the thread knows of the master's death, and lets the body finish.
        outlive_parent().map_err(cannot("outlive its master"))?;
        if declared.takes_termination || shutdown::has_asked() {
            context.take_termination();
        }
        Ok(context)
    }
}

/// What a child was given, before it is a worker.
struct Child {
    slot: usize,
    listeners: Vec<Inherited>,
    channel: Arc<Channel>,
    tls: Option<OwnedFd>,
}

impl Child {
    /// Becomes the worker of this process.
    ///
    /// # Errors
    /// What `main` declares does not fit the listeners; what `init` returned; a system call failed.
    fn begin(
        self,
        init: Option<Init>,
        on_master_death: Option<LastHook>,
        declare: impl FnOnce(&[Offered<'_>], bool) -> Result<Declared, Error>,
    ) -> Result<(Arc<Context>, Declared), Error> {
        let offered: Vec<Offered<'_>> = self
            .listeners
            .iter()
            .map(|listener| Offered::of(&listener.place))
            .collect();
        let declared = declare(&offered, self.tls.is_some())?;
        sys::process::name_after_role(&format!("worker {}", self.slot));
        sys::signals::disregard(&TERMINAL).map_err(cannot("disregard the terminal's signals"))?;
        let hello = FromChild::Hello {
            protocol: PROTOCOL,
            announces_ready: declared.announces_ready,
            listeners: declared.listeners.clone(),
        };
        // A master that is gone already shows as the end of the channel, to the watch.
        let _ = self.channel.send(&hello.encode());
        // Before the process has a thread of ours.
        hook::begin(init, hook::Role::worker(self.slot))?;
        // After `init`, which may have set a hook for panics: it is called as well.
        super::last_words::install(&self.channel);
        let (grace, threads) = read_welcome(&self.channel);
        let parts = Parts {
            slot: self.slot,
            listeners: self.listeners,
            grace,
            threads,
            master: Some(self.channel),
            tls: self.tls.map(Handed::File),
            own_signals: &[],
            on_master_death,
            on_shortage: None,
            process: Process::Own,
        };
        Ok((Context::install(parts, &declared)?, declared))
    }
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
        Ok(Type::SEQPACKET) if sys::env::is_secure() && !sys::fds::is_by_trusted_parent(&fd) => {
            Err(describe(
                "not that of a master that this program trusts: it has more rights than the user who started it",
            ))
        }
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
        Received::TooLong | Received::Descriptors | Received::Nothing | Received::End => UNSAID,
    }
}
