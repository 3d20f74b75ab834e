//! The set-up of a master: everything that can fail before the first child is started.
//!
//! Knows which signals, descriptors and limits a master needs; does not know what it does with
//! them.

use std::thread;
use std::time::SystemTime;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use super::commands::{CommandReceiver, pair};
use super::master::MasterParts;
use super::orphans::OrphanReaper;
use super::pinning::Pinning;
use super::poller::{EventSource, ListenerSocket, Poller};
use super::{Handle, Log, Master, Notice, StartStep};
use crate::config::Config;
use crate::error::{Error, OptionError};
use crate::hook::Hooks;
use crate::listen::{
    BindOptions, BindResult, OnSocket, bind_all, bind_or_stop, set_blocking_modes,
};
use crate::spawn::{CommandHook, Program, Spawner};
use crate::stop_signals::STOP_SIGNALS;
use crate::supervisor::Readiness;
use crate::sys::probe;
use crate::sys::process::{is_init, set_comm};
use crate::sys::signals::{ReceivedSignal, SignalReceiver, block, is_ignored, reset_to_default};
use crate::tls::certificate_source;

/// The input of a start.
pub(crate) struct MasterSetup {
    pub(crate) config: Config,
    /// Whether this program notifies the master when it is ready as a worker.
    pub(crate) readiness: Readiness,
    /// The indexes of the listeners that block in `accept(2)`.
    pub(crate) blocking: Vec<usize>,
    pub(crate) producer: Option<CommandHook>,
    pub(crate) on_socket: Option<OnSocket>,
    pub(crate) hooks: Hooks,
    /// Whether the master handles the signals of the process.
    pub(crate) owns_signals: bool,
}

/// The signals that a master handles, now or in a later version.
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

impl MasterSetup {
    /// Runs the master on this thread until it ends.
    ///
    /// # Errors
    /// Any end of the master other than a requested stop.
    pub(crate) fn run(self, mut log: Log) -> Result<(), Error> {
        let owns_process = self.owns_signals;
        // Without a handle, only signals control the master.
        let master = match log.log_error(self.prepare(None))? {
            Prepared::Ready(master) => master,
            Prepared::Stopped(received) => {
                let before = StartStep::Bind;
                log.notice(&Notice::StartCanceled { received, before });
                return Ok(());
            }
        };
        if owns_process {
            set_comm("master");
        }
        master.run(log)
    }

    /// Runs the master on its own thread.
    ///
    /// # Errors
    /// The error of the set-up, or of a thread that could not be started.
    pub(crate) fn start(self, log: Log) -> Result<Handle, Error> {
        let (commander, commands) =
            pair().map_err(cannot("create a socket pair for commands (socketpair)"))?;
        let Prepared::Ready(master) = self.prepare(Some(commands))? else {
            // Only the handle can stop this master, and the caller does not have it yet.
            unreachable!("a set-up with commands handles no signals")
        };
        let listeners = master.listener_infos();
        let thread = thread::Builder::new()
            .name("prefork-master".to_owned())
            .spawn(move || master.run(log))
            .map_err(cannot("start its thread"))?;
        Ok(Handle::new(commander, listeners, thread))
    }

    /// Acquires all that a master needs from the system. Calls no function of the user.
    fn prepare(self, commands: Option<CommandReceiver>) -> Result<Prepared, Error> {
        check_kernel()?;
        check_fd_limit(&self.config)?;
        // First, because PID 1 loses a signal that has no handler.
        let signals = self.owns_signals.then(take_signals).transpose();
        let signals = signals.map_err(|(doing, source)| cannot(doing)(source))?;
        // Before the addresses are bound: a master with a bad certificate must not take them from a
        // running one.
        let tls = certificate_source(&self.config, SystemTime::now())?;
        let on_socket = self.on_socket.as_ref();
        let options = BindOptions::of(&self.config, on_socket);
        let mut listeners = match (&signals, &commands) {
            (Some(signals), None) => {
                match bind_or_stop(&self.config, on_socket, signals, &STOP_SIGNALS, cannot)? {
                    BindResult::Bound(listeners) => listeners,
                    BindResult::Stopped(received) => return Ok(Prepared::Stopped(received)),
                }
            }
            (_, Some(_)) | (None, None) => bind_all(&self.config.listen, options)?,
        };
        set_blocking_modes(&mut listeners, &self.blocking)
            .map_err(cannot("set O_NONBLOCK on a listening socket (fcntl)"))?;
        let (pinning, warnings) = Pinning::new(&self.config, &listeners);
        // PID 1 gets the orphans of its PID namespace and must reap them.
        let orphans = (self.owns_signals && is_init()).then(OrphanReaper::default);
        let program = open_program()?;
        // A `child_producer` may start other programs. If it does not, the start of the worker
        // fails.
        if self.producer.is_none() {
            program
                .check()
                .map_err(cannot("start its own program as a worker"))?;
        }
        let spawner = Spawner::new(self.producer);
        let spawner = spawner.map_err(|(doing, source)| cannot(doing)(source))?;
        let poller = Poller::new().map_err(cannot("create an epoll instance (epoll_create1)"))?;
        let watch = |source: std::io::Result<()>| {
            source.map_err(cannot("watch its descriptors (epoll_ctl)"))
        };
        if let Some(signals) = &signals {
            watch(poller.add(signals, EventSource::Signals))?;
        }
        if let Some(commands) = &commands {
            watch(poller.add(commands, EventSource::Commands))?;
        }
        for (listener, bound) in (0..).zip(&listeners) {
            for (socket, fd) in (0..).zip(bound.sockets()) {
                let source = EventSource::Listener(ListenerSocket { listener, socket });
                watch(poller.add(fd, source))?;
            }
        }
        let master = Master::new(MasterParts {
            config: self.config,
            readiness: self.readiness,
            listeners,
            spawner,
            pinning,
            warnings,
            program,
            poller,
            tls,
            signals,
            commands,
            hooks: self.hooks,
            orphans,
        });
        Ok(Prepared::Ready(Box::new(master)))
    }
}

/// The result of the set-up of a master.
enum Prepared {
    Ready(Box<Master>),
    /// A signal requested a stop during the set-up.
    Stopped(ReceivedSignal),
}

/// The reason why this system cannot have a master. Linux can.
pub(crate) const UNSUPPORTED: Option<&str> = None;

/// Checks what a master needs before it binds, and binds nothing.
///
/// # Errors
/// The error of a start, other than errors of binding and of starting workers.
pub(crate) fn preflight(config: &Config) -> Result<(), Error> {
    check_kernel()?;
    check_fd_limit(config)?;
    open_program()?;
    Ok(())
}

fn open_program() -> Result<Program, Error> {
    Program::current().map_err(cannot("open its own program (/proc/self/exe)"))
}

fn check_kernel() -> Result<(), Error> {
    probe::check_kernel().map_err(|missing| Error::UnsupportedSystemCall {
        call: missing.call,
        source: missing.source,
    })
}

/// Checks the limit of open files before the first child is started.
///
/// Each child needs two descriptors; the rest is an estimate.
fn check_fd_limit(config: &Config) -> Result<(), Error> {
    const OTHERS: usize = 32;
    let workers = config.workers;
    let sockets = config.listen.iter().map(|spec| match spec.ring_width {
        0 => 1,
        _ => workers,
    });
    let sockets: usize = sockets.sum();
    let standbys = usize::try_from(config.standby).unwrap_or(usize::MAX);
    let need = workers
        .saturating_add(standbys)
        .saturating_mul(2)
        .saturating_add(sockets + OTHERS);
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    // A small fleet is not checked: the number of descriptors that are already open is not known.
    if need > 256 && u64::try_from(need).is_ok_and(|need| need > limit) {
        let labels = &config.labels;
        let label = if standbys > workers {
            &labels.standby
        } else {
            &labels.workers
        };
        let and_standbys = match standbys {
            0 => String::new(),
            _ => format!(" and {standbys} standbys"),
        };
        return Err(Error::Options(vec![OptionError {
            label: label.clone(),
            reason: format!(
                "{workers} workers{and_standbys} need about {need} open files in the master, the \
                 limit is {limit} (`ulimit -n`)"
            ),
        }]));
    }
    Ok(())
}

/// Blocks the stop signals while the user's `init` runs in PID 1.
///
/// The kernel sends PID 1 no signal that would have the default action. A blocked signal waits for
/// the handler.
///
/// # Errors
/// The signal mask cannot be set.
pub(crate) fn block_signals() -> Result<(), Error> {
    if !is_init() {
        return Ok(());
    }
    block(&signals_to_take()).map_err(cannot("block its signals (rt_sigprocmask)"))
}

fn signals_to_take() -> Vec<Signal> {
    let wanted = SIGNALS.into_iter().filter(|&signal| !is_ignored(signal));
    wanted.collect()
}

/// # Errors
/// The failed stage, as the end of the sentence 'the master cannot …', and the cause.
fn take_signals() -> Result<SignalReceiver, (&'static str, std::io::Error)> {
    let at = |stage| move |source| (stage, source);
    reset_to_default(Signal::SIGCHLD).map_err(at("reset SIGCHLD (rt_sigaction)"))?;
    let pipe = SignalReceiver::new();
    let pipe = pipe.map_err(at("create an event descriptor for signals (eventfd2)"))?;
    let mut signals = signals_to_take();
    // It reports orphans that exit, and workers that are suspended or resumed.
    signals.push(Signal::SIGCHLD);
    let received = pipe.receive(&signals);
    received.map_err(at(
        "install its signal handlers (rt_sigaction, rt_sigprocmask)",
    ))?;
    Ok(pipe)
}

fn cannot(doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Master { doing, source }
}
