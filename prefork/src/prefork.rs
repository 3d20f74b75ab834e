//! The builder, and the question that comes before everything: which role is this process? With its files the only place
//! that sees both sides.

mod arguments;
mod code;
mod explain;
pub(crate) mod guest;
pub(crate) mod private;
mod single;

use std::fmt;
use std::process::{ExitCode, Termination};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prefork_options::Prefix;

use crate::config::{
    Config, Configuration, Door, Environment, Options, Settled, settle, usable_cpus,
};
use crate::error::{BadOption, Error};
use crate::hook::{Failure, Hooks, Init, LastHook, Role, begin, contain};
use crate::master::{Callbacks, Handle, Log, Logger, Setup, hold_signals};
use crate::runtime::Body;
use crate::spawn::Producer;
use crate::supervisor::Readiness;
use crate::sys::env::is_secure;
use crate::worker::{
    Context, Declared, MainGuard, Want, Wanted, Worker, latched, lay_down, report_end, role_warning,
};
use arguments::{declare, offered_by, oversights};
use single::{leave_alone, serve_alone};

/// A server as a family of processes: what the attribute expands to, for those who want to decide
/// at run time.
///
/// Every option of the attribute is a method of the same name. `Prefork::new()` runs as it is: no
/// listener, one worker per CPU.
///
/// # Examples
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     let result = prefork::Prefork::new()
///         .listen("127.0.0.1:8080")
///         .workers(2)
///         .handle_signals()
///         .run(|worker: prefork::Worker| {
///             let listener = worker.listener("listener0").expect("it was configured");
///             while let Some(connection) = listener.blocking_accept() {
///                 drop(connection);
///             }
///         });
///     prefork::report(result)
/// }
/// ```
#[derive(Default)]
pub struct Prefork {
    options: Options,
    producer: Option<Producer>,
    init: Option<Init>,
    hooks: Hooks,
    on_master_death: Option<LastHook>,
    logger: Option<Logger>,
    configure: Option<Configure>,
    functions: Functions,
    handles_signals: bool,
}

/// Whether the functions of a builder can still be handed to a master.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Functions {
    /// The builder has them.
    #[default]
    Here,
    /// `init` failed: it cannot be called again, and nothing starts without it.
    InitFailed,
    /// An earlier master has them.
    HandedOver,
}

impl Functions {
    /// # Errors
    /// A start now would start without them.
    fn check(self) -> Result<(), Error> {
        let reason = match self {
            Self::Here => return Ok(()),
            Self::InitFailed => {
                "init failed in an earlier call and cannot be called again; make a new builder"
            }
            Self::HandedOver => {
                "this builder has given its functions (hooks, logger, child_producer) to an earlier \
                 master; make a new builder for each master"
            }
        };
        Err(Error::SecondRun { reason })
    }
}

/// The user's function that has the last word on the options.
type Configure = Box<dyn FnMut(&mut Configuration) -> Result<(), Failure> + Send>;

/// All that the layers came to.
struct Resolved {
    settled: Settled,
    environment: Environment,
    /// What a start says first, a line each.
    warnings: Vec<String>,
    /// Mistakes, or what `configure` said.
    verdict: Result<(), Error>,
}

/// How a [`run`](Prefork::run) ended: each process sees its own side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<R> {
    /// This was the master; it was asked to stop, and everything is gone.
    Master,
    /// This was a worker; what its body returned.
    Worker(R),
}

impl Prefork {
    /// Everything at its default.
    pub fn new() -> Self {
        // The role is read, and taken out of the environment, as early as we are asked anything.
        latched();
        Self::default()
    }

    pub(crate) fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// From here on the attribute speaks.
    pub(crate) fn by_attribute(&mut self) {
        self.options.door = Door::Attribute;
    }

    /// The master takes the signals of this process: SIGTERM, SIGQUIT and SIGHUP stop gracefully,
    /// SIGINT too, and 250 ms or more after the first of them at once. The process is also called after its role in `ps -o comm`.
    /// The attribute does this; a builder that does not leaves signals and name to the program.
    pub fn handle_signals(&mut self) -> &mut Self {
        self.handles_signals = true;
        self
    }

    /// Runs as whatever this process is: as the master until it ends, as a worker until the body
    /// returns. The body may be async with feature `tokio`.
    ///
    /// The master starts this program again for every worker; what the program does before `run`
    /// happens in each of them.
    ///
    /// # Errors
    /// In the master whatever ended it other than a requested stop; in a worker that it was not
    /// started as a master starts one; in both a second call.
    pub fn run<R, K>(&mut self, body: impl FnOnce(Worker) -> R) -> Result<Ended<R::Output>, Error>
    where
        R: Body<K>,
    {
        // The body is given a worker, as if main took one.
        let worker = Want::of::<Worker>("worker");
        self.run_with(vec![worker], body)
    }

    /// Runs a master on a thread of its own, in a process that does other things as well.
    ///
    /// Its children are this program started again, unless a
    /// [`child_producer`](Self::child_producer) says otherwise; they must reach a `run`. It
    /// touches no signals, and not the process's name.
    ///
    /// If it fails, the builder keeps its functions, and another call tries again; an [`init`](Self::init) that succeeded
    /// is not called again. If it succeeds, the master has the functions.
    ///
    /// # Errors
    /// Whatever kept it from beginning: options, addresses, a missing system call; a call inside
    /// a worker; a call on a builder whose functions an earlier master has, or whose `init` failed.
    pub fn start(&mut self) -> Result<Handle, Error> {
        if is_child() {
            return Err(Error::SecondRun {
                reason: "start was called inside a worker; only a master starts workers",
            });
        }
        // Which body its children reach is not known here.
        let said = self.read(cfg!(feature = "tokio"));
        if said.environment.explains {
            let variable = said.environment.explain_variable();
            explain::explain(said, None)?;
            return Err(Error::Explained { variable });
        }
        said.verdict?;
        let config = said.settled.config;
        need_master(&config)?;
        self.functions.check()?;
        self.begin(Role::Master)?;
        let log = self.log(said.warnings);
        match self.setup(config, &Declared::default()).start(log) {
            Ok(handle) => Ok(handle),
            Err(unstarted) => {
                self.functions = Functions::Here;
                self.producer = unstarted.callbacks.producer;
                self.hooks = unstarted.callbacks.hooks;
                self.logger = unstarted.log.into_logger();
                Err(unstarted.error)
            }
        }
    }

    /// Calls `init`, once.
    fn begin(&mut self, role: Role) -> Result<(), Error> {
        let result = begin(self.init.take(), role);
        if result.is_err() {
            self.functions = Functions::InitFailed;
        }
        result
    }

    pub(crate) fn run_with<R, K>(
        &mut self,
        wants: Vec<Want>,
        body: impl FnOnce(Worker) -> R,
    ) -> Result<Ended<R::Output>, Error>
    where
        R: Body<K>,
    {
        claim_process(Claim::Look)?;
        let wanted: Vec<Wanted<'static>> = wants.iter().map(Want::wanted).collect();
        let (context, declared) = if let Some(latched) = latched() {
            claim_process(Claim::Take)?;
            let (init, hook) = (self.init.take(), self.on_master_death.take());
            let prefix = self.prefix();
            Context::of_child(latched, init, hook, |offered, has_certificate| {
                declare(&wanted, offered, has_certificate, &prefix)
            })?
        } else {
            match self.lead(&wanted, R::NEEDS_RUNTIME)? {
                Some(single) => single,
                None => return Ok(Ended::Master),
            }
        };
        lay_down(wants, declared.assigned);
        // The attribute has reported more by then; how a builder's body ended is known here alone.
        let guard = MainGuard::new();
        let body = body(Worker::new(Arc::clone(&context)));
        let returned = body.finish(context.threads(), || {
            report_end(&context);
            context.time_to_exit()
        });
        report_end(&context);
        drop(guard);
        context.conclude()?;
        Ok(Ended::Worker(returned))
    }

    /// The process that nobody started: the master, to its end, or the one process of single mode.
    fn lead(
        &mut self,
        wanted: &[Wanted<'_>],
        needs_runtime: bool,
    ) -> Result<Option<(Arc<Context>, Declared)>, Error> {
        let mut said = self.read(needs_runtime);
        said.warnings.extend(leave_alone(&mut said.settled));
        if said.environment.explains {
            return explain::explain(said, Some(wanted)).map(|()| None);
        }
        said.verdict?;
        let config = said.settled.config;
        let offered = offered_by(&config);
        let has_certificate = config.tls_cert.is_some();
        let declared = declare(wanted, &offered, has_certificate, &config.env_prefix)?;
        said.warnings
            .extend(oversights(wanted, &declared, &offered, &config));
        self.functions.check()?;
        // Options that were refused may be corrected and run.
        claim_process(Claim::Take)?;
        let role = match config.workers {
            0 => Role::Single,
            _ => Role::Master,
        };
        if role == Role::Master && self.handles_signals {
            hold_signals()?;
        }
        self.begin(role)?;
        let log = self.log(said.warnings);
        if config.workers > 0 {
            self.setup(config, &declared).run(log)?;
            return Ok(None);
        }
        Ok(Some((serve_alone(&config, &declared, log)?, declared)))
    }

    /// Reads all layers: what the program says, the environment, `configure`.
    fn read(&mut self, needs_runtime: bool) -> Resolved {
        let prefix = self.prefix();
        let (environment, untrusted) = if is_secure() {
            Environment::untrusted(prefix, std::env::vars_os())
        } else {
            (Environment::read(prefix, std::env::vars_os()), None)
        };
        let mut options = self.options.clone();
        options.directory = std::env::current_dir().ok();
        options.overlay(&environment);
        let mut answer = Ok(());
        // It is not asked about what nobody can read. What was left open, or does not fit together, it may mend.
        if let (true, Some(configure)) = (options.is_readable(), &mut self.configure) {
            let mut configuration = Configuration::new(options, environment.clone());
            answer = contain(|| configure(&mut configuration));
            options = configuration.into_options();
        }
        let unused = if needs_runtime {
            None
        } else {
            options.spare_threads()
        };
        let mut settled = settle(options, &environment, usable_cpus);
        settled.idle.extend(unused.clone());
        let verdict = answer
            .map_err(|source| Error::Configure { source })
            .and_then(|()| settled.check());
        let warnings = role_warning().into_iter().chain(untrusted);
        let warnings = warnings
            .chain(environment.warning())
            .chain(settled.overruled.clone())
            .chain(unused)
            .collect();
        Resolved {
            settled,
            environment,
            warnings,
            verdict,
        }
    }

    /// What the program's variables begin with. Only the program can set it, so each of its processes knows it.
    fn prefix(&self) -> Prefix {
        self.options.env_prefix.value().cloned().unwrap_or_default()
    }

    /// The master's log, and its first lines where there is cause for some.
    fn log(&mut self, warnings: Vec<String>) -> Log {
        if self.logger.is_some() {
            self.functions = Functions::HandedOver;
        }
        let mut log = Log::new(self.logger.take());
        for warning in warnings {
            log.warn(&warning);
        }
        log
    }

    fn setup(&mut self, config: Config, declared: &Declared) -> Setup {
        if self.producer.is_some() || !self.hooks.is_empty() {
            self.functions = Functions::HandedOver;
        }
        Setup {
            config,
            readiness: if declared.announces_ready {
                Readiness::Announced
            } else {
                Readiness::Unseen
            },
            blocking: declared.blocking.clone(),
            callbacks: Callbacks {
                producer: self.producer.take(),
                hooks: std::mem::take(&mut self.hooks),
            },
            owns_signals: self.handles_signals,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    Look,
    Take,
}

/// A process runs once: as one master, or as one worker.
fn claim_process(claim: Claim) -> Result<(), Error> {
    static HAS_RUN: AtomicBool = AtomicBool::new(false);
    let has_run = match claim {
        Claim::Look => HAS_RUN.load(Ordering::Acquire),
        Claim::Take => HAS_RUN.swap(true, Ordering::AcqRel),
    };
    if has_run {
        return Err(Error::SecondRun {
            reason: "run was called a second time in one process",
        });
    }
    Ok(())
}

/// What [`Prefork::start`] asks beyond what a run does.
fn need_master(config: &Config) -> Result<(), Error> {
    if config.workers > 0 {
        return Ok(());
    }
    Err(Error::Options(vec![BadOption {
        place: config.places.workers.clone(),
        reason: "0 is single mode, which has no master to start; use run".to_owned(),
    }]))
}

impl fmt::Debug for Prefork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefork")
            .field("options", &self.options)
            .field("handles_signals", &self.handles_signals)
            .finish_non_exhaustive()
    }
}

/// Whether this process was started by a master.
///
/// The first call, at the latest the one inside [`Prefork::new`] or the generated `main`, reads the
/// answer from the environment; later changes of the environment do not alter it.
pub fn is_child() -> bool {
    latched().is_some()
}

/// Turns the end of a [`run`](Prefork::run) into what `main` returns: 0 for a master that was asked
/// to stop, the body's own status for a worker, else the status of
/// [`Error::exit_code`], with one paragraph on stderr.
pub fn report<R: Termination>(result: Result<Ended<R>, Error>) -> ExitCode {
    match result {
        Ok(Ended::Master) => ExitCode::SUCCESS,
        Ok(Ended::Worker(returned)) => returned.report(),
        Err(error) => {
            Log::last(&error.paragraph());
            ExitCode::from(error.exit_code())
        }
    }
}
