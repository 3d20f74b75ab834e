//! How a process becomes a worker: from the variables and descriptors of its master, or without a
//! master in single-process mode.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use socket2::{SockRef, Type};

use super::check_tls::OfferedListener;
use super::child_env::ChildEnv;
use super::context::{BodySpec, Context, ContextParts, SingleObserver, cannot};
use super::monitor::MonitorHost;
use super::shutdown;
use crate::channel::{
    Channel, ChildRole, FromChild, FromMaster, MainEnd, PROTOCOL, ROLE_VARIABLE, ReceivedFrame,
};
use crate::error::Error;
use crate::hook::{self, Init, OnceHook};
use crate::listen::{BoundListener, InheritedFds, InheritedListener, inherit};
use crate::sys;
use crate::sys::fds::FIRST_FD;
use crate::sys::process::outlive_parent;
use crate::tls::BundleSource;

/// The signals of a terminal. A child starts with these blocked, because the master handles them.
/// In single-process mode they have the meaning of SIGTERM.
const TERMINAL: [Signal; 3] = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// The grace period until the `welcome` frame was read.
const DEFAULT_GRACE_PERIOD: Duration = Duration::from_secs(5);

impl Context {
    /// Makes this process a worker of the master that set the variables.
    ///
    /// `declare` gets the listeners and whether there is a certificate.
    ///
    /// # Errors
    /// The variables or descriptors are not those of a master, the arguments of `main` do not fit
    /// the listeners, `init` failed, or a system call failed.
    pub(crate) fn from_env(
        child_env: &ChildEnv,
        init: Option<Init>,
        on_master_death: Option<OnceHook>,
        declare: impl FnOnce(&[OfferedListener<'_>], bool) -> Result<BodySpec, Error>,
    ) -> Result<(Arc<Self>, BodySpec), Error> {
        let wrong = |reason| Error::ChildEnv {
            variable: ROLE_VARIABLE,
            reason,
        };
        let marker = child_env.get(ROLE_VARIABLE).unwrap_or_default();
        let marker = ChildRole::decode(&marker).map_err(wrong)?;
        let InheritedFds { listeners, tls } = inherit(|name| child_env.get(name))?;
        let channel = adopt_channel(&marker, listeners.len()).map_err(wrong)?;
        let channel = Arc::new(channel);
        let child = InheritedRole {
            slot: marker.slot,
            listeners,
            channel: Arc::clone(&channel),
            tls,
        };
        // So the master's line about the exit contains the reason.
        child
            .begin(init, on_master_death, declare)
            .inspect_err(|error| {
                let ended = FromChild::Ended(MainEnd::Unable(error.chain()));
                let _ = channel.send(&ended.encode());
            })
    }

    /// Makes this process the only worker, in single-process mode.
    ///
    /// # Errors
    /// The process already is a worker, or a system call failed.
    pub(crate) fn single(
        bound: Vec<BoundListener>,
        grace: Duration,
        threads: NonZeroUsize,
        tls: Option<BundleSource>,
        declared: &BodySpec,
        observer: SingleObserver,
    ) -> Result<Arc<Self>, Error> {
        let parts = ContextParts {
            slot: 0,
            listeners: bound.into_iter().map(InheritedListener::from).collect(),
            master: None,
            grace,
            threads,
            tls,
            own_signals: &TERMINAL,
            on_master_death: None,
            observer: Some(observer),
            process: MonitorHost::Process,
        };
        Self::start(parts, declared)
    }

    fn start(parts: ContextParts, declared: &BodySpec) -> Result<Arc<Self>, Error> {
        let (context, monitor) = Self::build(parts, declared)?;
        context.become_current()?;
        let started = monitor.start();
        started.map_err(cannot("start the monitor thread"))?;
        // From now on the monitor notices the master's death and lets `main` finish.
        outlive_parent().map_err(cannot("clear its parent-death signal (prctl)"))?;
        if declared.handles_sigterm || shutdown::has_asked() {
            context.handle_sigterm();
        }
        Ok(context)
    }
}

/// What the master passed to a child that is not a worker yet.
struct InheritedRole {
    slot: usize,
    listeners: Vec<InheritedListener>,
    channel: Arc<Channel>,
    tls: Option<OwnedFd>,
}

impl InheritedRole {
    /// Makes this process the worker.
    ///
    /// # Errors
    /// The arguments of `main` do not fit the listeners, `init` failed, or a system call failed.
    fn begin(
        self,
        init: Option<Init>,
        on_master_death: Option<OnceHook>,
        declare: impl FnOnce(&[OfferedListener<'_>], bool) -> Result<BodySpec, Error>,
    ) -> Result<(Arc<Context>, BodySpec), Error> {
        let offered: Vec<OfferedListener<'_>> = self
            .listeners
            .iter()
            .map(|listener| OfferedListener::of(&listener.info))
            .collect();
        let declared = declare(&offered, self.tls.is_some())?;
        sys::process::set_comm(&format!("worker {}", self.slot));
        sys::signals::catch_with_noop(&TERMINAL)
            .map_err(cannot("catch the terminal's signals (sigaction)"))?;
        let hello = FromChild::Hello {
            protocol: PROTOCOL,
            announces_ready: declared.notifies_ready,
            listeners: declared.listeners.clone(),
        };
        // If the master is already dead, the monitor sees the end of the channel.
        let _ = self.channel.send(&hello.encode());
        // Before the monitor thread exists.
        hook::run_init(init, hook::Role::worker(self.slot))?;
        // After `init`, which may have set a panic hook: that hook is called too.
        super::panic_hook::install(&self.channel);
        let (grace, threads) = read_welcome(&self.channel);
        let parts = ContextParts {
            slot: self.slot,
            listeners: self.listeners,
            grace,
            threads,
            master: Some(self.channel),
            tls: self.tls.map(BundleSource::File),
            own_signals: &[],
            on_master_death,
            observer: None,
            process: MonitorHost::Process,
        };
        Ok((Context::start(parts, &declared)?, declared))
    }
}

fn adopt_channel(marker: &ChildRole, listeners: usize) -> Result<Channel, String> {
    let after = usize::try_from(marker.channel.saturating_sub(FIRST_FD));
    if after != Ok(listeners) {
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

/// Reads the `welcome` frame.
///
/// The master wrote it before it started this process.
fn read_welcome(channel: &Channel) -> (Duration, NonZeroUsize) {
    const DEFAULTS: (Duration, NonZeroUsize) = (DEFAULT_GRACE_PERIOD, NonZeroUsize::MIN);
    match channel.receive() {
        ReceivedFrame::Frame(frame) => match FromMaster::decode(&frame) {
            Some(FromMaster::Welcome { grace, threads }) => (grace, threads),
            Some(FromMaster::Drain { .. } | FromMaster::ReopenLogs) | None => DEFAULTS,
        },
        ReceivedFrame::TooLong
        | ReceivedFrame::Descriptors
        | ReceivedFrame::Nothing
        | ReceivedFrame::End => DEFAULTS,
    }
}
