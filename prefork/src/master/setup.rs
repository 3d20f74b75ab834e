//! Everything that can fail before the first child is started; then there is a master.

use std::net::SocketAddr;
use std::thread;
use std::time::SystemTime;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use super::commands::{Commands, pair};
use super::strangers::Strangers;
use super::{Handle, Log, Master};
use crate::config::Config;
use crate::error::{BadOption, Error};
use crate::hook::Hooks;
use crate::listen::{Binding, Bound, bind_all, set_modes};
use crate::spawn::{Producer, Program, Spawner};
use crate::supervisor::Readiness;
use crate::sys::probe;
use crate::sys::process::name_after_role;
use crate::sys::signals::{SignalPipe, hold, is_ignored, reset};
use crate::tls::Keeper;

/// What a master is made from.
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// What can be assumed of this program when it runs as a child.
    pub(crate) readiness: Readiness,
    /// The places of the listeners that wait in `accept(2)` themselves.
    pub(crate) blocking: Vec<usize>,
    pub(crate) producer: Option<Producer>,
    pub(crate) hooks: Hooks,
    /// Whether this master owns the signals of the process.
    pub(crate) owns_signals: bool,
}

/// The signals that mean something to a master, now or in a later version.
pub(super) const SIGNALS: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGQUIT,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

impl Setup {
    /// Runs the master on this thread until it ends.
    ///
    /// # Errors
    /// Whatever ended it other than a requested stop.
    pub(crate) fn run(self, mut log: Log) -> Result<(), Error> {
        let owns_process = self.owns_signals;
        // Nobody holds a handle: it is told by signals alone.
        let master = log.ending(self.prepare(None))?;
        if owns_process {
            name_after_role("master");
        }
        master.run(log)
    }

    /// Runs the master on a thread of its own.
    ///
    /// # Errors
    /// Whatever kept it from beginning.
    pub(crate) fn start(self, log: Log) -> Result<Handle, Error> {
        let (commander, commands) = pair().map_err(cannot("make a pipe for commands"))?;
        let master = self.prepare(Some(commands))?;
        let addrs = master.addrs();
        let thread = thread::Builder::new()
            .name("prefork-master".to_owned())
            .spawn(move || master.run(log))
            .map_err(cannot("start its thread"))?;
        Ok(Handle {
            commander,
            addrs,
            thread: Some(thread),
        })
    }

    fn prepare(self, commands: Option<Commands>) -> Result<Master, Error> {
        need_kernel()?;
        need_descriptors(&self.config)?;
        // Before anything takes time: as PID 1 a signal without a handler is lost.
        let signals = self.owns_signals.then(own_signals).transpose();
        let signals = signals.map_err(cannot("receive signals"))?;
        // Before the addresses are taken from whoever has a good certificate for them.
        let tls = Keeper::of(&self.config, SystemTime::now())?;
        let listeners = bind_all(&self.config.listen, Binding::of(&self.config))?;
        set_modes(&listeners, &self.blocking).map_err(cannot("set a socket's mode"))?;
        // Orphans of this PID namespace are ours to reap, where the process is ours.
        let strangers = (self.owns_signals && is_init()).then(Strangers::default);
        let spawner = Spawner::new(self.producer).map_err(cannot("open its own program"))?;
        let parts = super::master::Parts {
            config: self.config,
            readiness: self.readiness,
            listeners,
            spawner,
            tls,
            signals,
            commands,
            hooks: self.hooks,
            strangers,
        };
        Master::new(parts).map_err(cannot("make an epoll"))
    }
}

/// Why this system cannot have a master at all: it can.
pub(crate) const WHY_THERE_IS_NONE: Option<&str> = None;

/// Asks of the system all that a master asks before it binds, and binds nothing.
///
/// # Errors
/// The one that a start would end with, but for what binding and starting say.
pub(crate) fn rehearse(config: &Config) -> Result<(), Error> {
    need_kernel()?;
    need_descriptors(config)?;
    Program::current().map_err(cannot("open its own program"))?;
    Ok(())
}

fn need_kernel() -> Result<(), Error> {
    probe::kernel().map_err(|missing| Error::Kernel {
        call: missing.call,
        source: missing.source,
    })
}

/// Known before the first child: two for each of them, and what everything else may need.
fn need_descriptors(config: &Config) -> Result<(), Error> {
    const ELSEWHERE: usize = 32;
    let sockets = if config.reuseport { config.workers } else { 1 };
    let need = 2 * config.workers + sockets * config.listen.len() + ELSEWHERE;
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    // Small fleets find out by themselves: what is open already is not known.
    if need > 256 && u64::try_from(need).is_ok_and(|need| need > limit) {
        return Err(Error::Options(vec![BadOption {
            place: config.places.workers.clone(),
            reason: format!(
                "{} workers need about {need} open files in the master, the limit is {limit} \
                 (`ulimit -n`)",
                config.workers
            ),
        }]));
    }
    Ok(())
}

/// Keeps a stop that comes while the user's `init` runs: the kernel gives PID 1 no signal that would meet its default, but
/// one that is blocked waits for the handler.
///
/// # Errors
/// A mask that cannot be set.
pub(crate) fn hold_signals() -> Result<(), Error> {
    if !is_init() {
        return Ok(());
    }
    hold(&wanted_signals()).map_err(cannot("hold its signals"))
}

fn wanted_signals() -> Vec<Signal> {
    let wanted = SIGNALS.into_iter().filter(|&signal| !is_ignored(signal));
    wanted.collect()
}

fn own_signals() -> std::io::Result<SignalPipe> {
    reset(Signal::SIGCHLD)?;
    let pipe = SignalPipe::new()?;
    pipe.receive(&wanted_signals())?;
    if is_init() {
        pipe.receive(&[Signal::SIGCHLD])?;
    }
    Ok(pipe)
}

fn is_init() -> bool {
    std::process::id() == 1
}

fn cannot(doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Master { doing, source }
}

impl Bound {
    /// For messages and for whoever asks the handle.
    pub(super) fn named_addr(&self) -> (String, SocketAddr) {
        (self.place.name.clone(), self.place.addr)
    }
}
