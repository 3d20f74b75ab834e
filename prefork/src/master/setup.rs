//! Everything that can fail before the first child is started; then there is a master.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use super::binding::{Bind, bind};
use super::commands::{Commands, pair};
use super::master::Parts;
use super::poller::{ListenerSocket, Poller, Source};
use super::strangers::Strangers;
use super::{Callbacks, Handle, Level, Log, LogLine, Master, Unstarted};
use crate::config::Config;
use crate::error::{BadOption, Error};
use crate::listen::{Binding, Bound, bind_all, set_modes};
use crate::spawn::{Program, Spawner, Tools};
use crate::supervisor::Readiness;
use crate::sys::probe;
use crate::sys::process::name_after_role;
use crate::sys::signals::{Received, SignalPipe, hold, is_ignored, reset};
use crate::tls::Keeper;

/// What a master is made from.
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// What can be assumed of this program when it runs as a child.
    pub(crate) readiness: Readiness,
    /// The places of the listeners that wait in `accept(2)` themselves.
    pub(crate) blocking: Vec<usize>,
    pub(crate) callbacks: Callbacks,
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
        let ground = match log.ending(self.prepare(None))? {
            Prepared::Ground(ground) => ground,
            Prepared::Stopped(received) => {
                let what = "stopped before the addresses were bound";
                log.line(&LogLine::of_signal(Level::Info, received, what));
                return Ok(());
            }
        };
        if owns_process {
            name_after_role("master");
        }
        self.build(*ground).run(log)
    }

    /// Runs the master on a thread of its own.
    ///
    /// # Errors
    /// Whatever kept it from beginning, with the user's functions: a second attempt needs them.
    pub(crate) fn start(self, log: Log) -> Result<Handle, Box<Unstarted>> {
        let prepared = pair()
            .map_err(cannot("make a pipe for commands"))
            .and_then(|(commander, commands)| Ok((commander, self.prepare(Some(commands))?)));
        let (commander, ground) = match prepared {
            Ok((commander, Prepared::Ground(ground))) => (commander, ground),
            // Nothing can stop it before it has a handle.
            Ok((_, Prepared::Stopped(_))) => unreachable!("it hears no signals"),
            Err(error) => {
                return Err(Box::new(Unstarted {
                    error,
                    callbacks: self.callbacks,
                    log,
                }));
            }
        };
        let master = self.build(*ground);
        let addrs = master.addrs();
        // A thread that cannot be started drops its closure: the master is passed beside it.
        let passed = Arc::new(Mutex::new(Some((master, log))));
        let take = |passed: &Mutex<Option<(Master, Log)>>| {
            passed.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        let of_thread = Arc::clone(&passed);
        let thread = thread::Builder::new()
            .name("prefork-master".to_owned())
            .spawn(move || take(&of_thread).map_or(Ok(()), |(master, log)| master.run(log)));
        match thread {
            Ok(thread) => Ok(Handle {
                commander,
                addrs,
                thread: Some(thread),
            }),
            Err(source) => {
                let error = cannot("start its thread")(source);
                let (callbacks, log) = take(&passed)
                    .map(|(master, log)| (master.into_callbacks(), log))
                    .unwrap_or_default();
                Err(Box::new(Unstarted {
                    error,
                    callbacks,
                    log,
                }))
            }
        }
    }

    /// Takes from the system all that a master needs, and no function of the user's.
    fn prepare(&self, commands: Option<Commands>) -> Result<Prepared, Error> {
        need_kernel()?;
        need_descriptors(&self.config)?;
        // Before anything takes time: as PID 1 a signal without a handler is lost.
        let signals = self.owns_signals.then(own_signals).transpose();
        let signals = signals.map_err(|(doing, source)| cannot(doing)(source))?;
        // Before the addresses are taken from whoever has a good certificate for them.
        let tls = Keeper::of(&self.config, SystemTime::now())?;
        let mut listeners = match (&signals, &commands) {
            (Some(signals), None) => match bind(&self.config, signals)? {
                Bind::Bound(listeners) => listeners,
                Bind::Stopped(received) => return Ok(Prepared::Stopped(received)),
            },
            (_, Some(_)) | (None, None) => {
                bind_all(&self.config.listen, Binding::of(&self.config))?
            }
        };
        set_modes(&mut listeners, &self.blocking)
            .map_err(cannot("set the mode of a socket (fcntl)"))?;
        // Orphans of this PID namespace are ours to reap, where the process is ours.
        let strangers = (self.owns_signals && is_init()).then(Strangers::default);
        let tools = Tools::new().map_err(|(doing, source)| cannot(doing)(source))?;
        // A producer may start another program each time; if it does not, the start of the worker fails.
        if self.callbacks.producer.is_none() {
            let checked = tools.check_program();
            checked.map_err(|(doing, source)| cannot(doing)(source))?;
        }
        let sockets = listeners.iter().flat_map(Bound::sockets).count();
        let poller = Poller::new(self.config.workers, sockets)
            .map_err(cannot("create an epoll instance (epoll_create1)"))?;
        let watch = |source: std::io::Result<()>| {
            source.map_err(cannot("watch its descriptors (epoll_ctl)"))
        };
        if let Some(signals) = &signals {
            watch(poller.add(signals, Source::Signals))?;
        }
        if let Some(commands) = &commands {
            watch(poller.add(commands, Source::Commands))?;
        }
        for (listener, bound) in (0..).zip(&listeners) {
            for (socket, fd) in (0..).zip(bound.sockets()) {
                let source = Source::Listener(ListenerSocket { listener, socket });
                watch(poller.add(fd, source))?;
            }
        }
        let ground = Ground {
            listeners,
            tools,
            poller,
            tls,
            signals,
            commands,
            strangers,
        };
        Ok(Prepared::Ground(Box::new(ground)))
    }

    fn build(self, ground: Ground) -> Master {
        let Callbacks { producer, hooks } = self.callbacks;
        Master::new(Parts {
            config: self.config,
            readiness: self.readiness,
            listeners: ground.listeners,
            spawner: Spawner::new(ground.tools, producer),
            poller: ground.poller,
            tls: ground.tls,
            signals: ground.signals,
            commands: ground.commands,
            hooks,
            strangers: ground.strangers,
        })
    }
}

/// How the preparation of a master ended.
enum Prepared {
    Ground(Box<Ground>),
    /// This signal requested a stop meanwhile.
    Stopped(Received),
}

/// What a master takes from the system before it starts its first child.
struct Ground {
    listeners: Vec<Bound>,
    tools: Tools,
    poller: Poller,
    tls: Option<Keeper>,
    signals: Option<SignalPipe>,
    commands: Option<Commands>,
    strangers: Option<Strangers>,
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
    Program::current().map_err(cannot(Tools::PROGRAM))?;
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
    hold(&wanted_signals()).map_err(cannot("hold its signals (rt_sigprocmask)"))
}

fn wanted_signals() -> Vec<Signal> {
    let wanted = SIGNALS.into_iter().filter(|&signal| !is_ignored(signal));
    wanted.collect()
}

/// # Errors
/// The stage that failed, as the end of the sentence 'the master cannot …', and why.
fn own_signals() -> Result<SignalPipe, (&'static str, std::io::Error)> {
    let at = |stage| move |source| (stage, source);
    reset(Signal::SIGCHLD).map_err(at("reset SIGCHLD (rt_sigaction)"))?;
    let pipe = SignalPipe::new();
    let pipe = pipe.map_err(at("create an event descriptor for signals (eventfd2)"))?;
    let mut signals = wanted_signals();
    if is_init() {
        signals.push(Signal::SIGCHLD);
    }
    let received = pipe.receive(&signals);
    received.map_err(at("receive signals (rt_sigaction, rt_sigprocmask)"))?;
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
