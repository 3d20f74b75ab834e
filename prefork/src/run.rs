//! Running a builder: the decision which role this process has, and what it does in that role.
//!
//! A process is a master, a worker or a single process. This file and its submodules are the only
//! ones that know both the master and the worker.

mod dry_run;
#[cfg(feature = "__testkit")]
pub(crate) mod in_process;
mod match_listeners;
mod single_process;
mod startup;

use std::process::{ExitCode, Termination};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prefork_options::Prefix;

use crate::builder::Prefork;
use crate::config::{Config, Configuration, Environment, resolve, usable_cpus};
use crate::error::Error;
use crate::hook::{Role, catch, run_init};
use crate::listen::adopt_passed_sockets;
use crate::master::{Handle, Log, MasterSetup, Notice, NotifyScope, block_signals, claim};
use crate::runtime::Body;
use crate::supervisor::Readiness;
use crate::sys::env::is_secure;
use crate::worker::{
    ArgumentSpec, BodySpec, Context, MainGuard, WantedArgument, Worker, child_env, report_end,
    role_warning, set_pending, start_from_env,
};
use match_listeners::{
    argument_warnings, check_standby, choose_ring, listeners_of, mark_raw, match_arguments,
};
use single_process::{early_signals, fall_back_to_single, pin_cpus_warning, start_single};
use startup::{Startup, check_has_master};

/// How a [`run`](Prefork::run) ended, depending on the role of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<R> {
    /// This process was the master: it was asked to stop, and its workers have exited.
    ///
    /// Or it was a single process (`workers = 0`) as PID 1 that was asked to stop before it called
    /// its body.
    /// In that process, the listening sockets stay open until the process exits.
    Master,
    /// This process was a worker or a single process: the value that its body returned.
    Worker(R),
}

impl Prefork {
    /// Runs this process as a master, as a worker or as a single process.
    ///
    /// A master runs until it ends, a worker until `body` returns. With feature `tokio`, the body
    /// may be async. The master starts this program again for every worker, so code before `run`
    /// runs in every worker too.
    ///
    /// # Errors
    /// - In the master: it could not start, or it ended without a request to stop.
    /// - In a worker: its variables or descriptors are not those that a master sets, `init` failed,
    ///   or a listener can no longer accept.
    /// - In any process: `run` is called a second time.
    pub fn run<R, K>(self, body: impl FnOnce(Worker) -> R) -> Result<Outcome<R::Output>, Error>
    where
        R: Body<K>,
    {
        // The body gets a `Worker`, as if main had one as argument.
        let worker = ArgumentSpec::of::<Worker>("worker");
        self.run_with(vec![worker], body)
    }

    /// Runs this process and returns its exit status: the whole `main` of a program.
    ///
    /// It is [`handle_signals`](Self::handle_signals), [`run`](Self::run) and [`report`], as in the
    /// `main` that the attribute generates. For a master that was asked to stop, the status is 0;
    /// for a worker, it is the status of what `body` returned; after an error, it is
    /// [`Error::exit_code`], and stderr has the error as one paragraph.
    pub fn main<R, K>(self, body: impl FnOnce(Worker) -> R) -> ExitCode
    where
        R: Body<K>,
        R::Output: Termination,
    {
        report(self.handle_signals().run(body))
    }

    /// Starts a master on its own thread, in a process that also does other work.
    ///
    /// Its children are this program, started again, unless
    /// [`child_producer`](Self::child_producer) sets another one. In a child, the program must call
    /// [`run`](Self::run). `start` changes neither signals nor the name of the process.
    ///
    /// The master reports its readiness through `PREFORK_NOTIFY_FD`, and not to `NOTIFY_SOCKET`.
    ///
    /// If `PREFORK_EXPLAIN` is set, this prints the explanation to stdout and starts nothing. The
    /// handle then is that of a master that was asked to stop: it has no listeners, and
    /// [`wait`](Handle::wait) returns at once.
    ///
    /// # Errors
    /// - The master could not start: for example, an option is invalid or an address cannot be
    ///   bound.
    /// - It is called inside a worker.
    /// - `init` failed.
    pub fn start(mut self) -> Result<Handle, Error> {
        if is_child() {
            return Err(Error::AlreadyRunning {
                reason: "start was called inside a worker; only a master starts workers",
            });
        }
        // First, so that no program that `configure` or `init` starts gets the descriptor.
        let unusable = claim(NotifyScope::Embedded);
        // Unknown here: whether the body that the children run needs a runtime.
        let mut startup = self.read(cfg!(feature = "tokio"));
        if startup.environment.explains {
            dry_run::print(startup, None, unusable)?;
            return Ok(Handle::without_master());
        }
        startup.warnings.extend(unusable);
        startup.result?;
        let config = startup.resolved.config;
        check_has_master(&config)?;
        run_init(self.init.take(), Role::Master)?;
        let log = self.log(startup.warnings);
        self.setup(config, &BodySpec::default()).start(log)
    }

    pub(crate) fn run_with<R, K>(
        mut self,
        wants: Vec<ArgumentSpec>,
        body: impl FnOnce(Worker) -> R,
    ) -> Result<Outcome<R::Output>, Error>
    where
        R: Body<K>,
    {
        let Some(context) = self.run_until_body(wants, R::NEEDS_RUNTIME)? else {
            return Ok(Outcome::Master);
        };
        // The attribute has reported the end of main, with its error, before this. For a builder's
        // body, only this guard reports it.
        let guard = MainGuard::new();
        let body = body(Worker::new(Arc::clone(&context)));
        let returned = body.finish(context.threads(), || {
            report_end(&context);
            context.exit_time_left()
        });
        report_end(&context);
        drop(guard);
        context.finish()?;
        Ok(Outcome::Worker(returned))
    }

    /// Does all that comes before the body: in a master, all of its work.
    ///
    /// Returns the context of the body; `None` after the end of a master or an explanation.
    ///
    /// Does not depend on the type of the body. Otherwise, this code would be compiled again in
    /// each program, once for each `main`.
    fn run_until_body(
        &mut self,
        wants: Vec<ArgumentSpec>,
        needs_runtime: bool,
    ) -> Result<Option<Arc<Context>>, Error> {
        claim_process(ProcessGuard::Check)?;
        let wanted: Vec<WantedArgument<'static>> = wants.iter().map(ArgumentSpec::info).collect();
        let (context, declared) = if let Some(latched) = child_env() {
            claim_process(ProcessGuard::Claim)?;
            let (init, hook) = (self.init.take(), self.on_master_death.take());
            let (prefix, options) = (self.prefix(), self.options.declared());
            start_from_env(latched, init, hook, |offered, has_certificate| {
                let spec = match_arguments(&wanted, offered, has_certificate, &prefix)?;
                Ok(BodySpec { options, ..spec })
            })?
        } else {
            match self.run_parent(&wanted, needs_runtime)? {
                Some(single) => single,
                None => return Ok(None),
            }
        };
        set_pending(wants, declared.assigned);
        Ok(Some(context))
    }

    /// Runs a process that no master started, as a master or as a single process.
    ///
    /// Returns the context of a single process. Returns `None` after the end of a master, after an
    /// explanation, and if PID 1 was asked to stop before it called `main`.
    fn run_parent(
        &mut self,
        wanted: &[WantedArgument<'_>],
        needs_runtime: bool,
    ) -> Result<Option<(Arc<Context>, BodySpec)>, Error> {
        // First, so that no program that `configure` or `init` starts gets the descriptor.
        let unusable = claim(NotifyScope::Service);
        let mut startup = self.read(needs_runtime);
        let fallback = fall_back_to_single(&mut startup.resolved);
        let unpinned = pin_cpus_warning(&mut startup.resolved);
        if startup.environment.explains {
            let body = dry_run::Body {
                wanted,
                needs_runtime,
            };
            return dry_run::print(startup, Some(body), unusable).map(|()| None);
        }
        startup
            .warnings
            .extend(unusable.into_iter().chain(fallback).chain(unpinned));
        startup.result?;
        let mut config = startup.resolved.config;
        let offered = listeners_of(&config);
        let has_certificate = config.tls_cert.is_some();
        let declared = match_arguments(wanted, &offered, has_certificate, &config.env_prefix)?;
        check_standby(&declared, &config)?;
        startup
            .warnings
            .extend(argument_warnings(wanted, &declared, &offered, &config));
        mark_raw(wanted, &declared, &mut config.listen);
        if needs_runtime {
            choose_ring(wanted, &declared, config.reuseport, &mut config.listen);
        }
        // Only now: after an error above, the program may correct the options and call run again.
        claim_process(ProcessGuard::Claim)?;
        let role = match config.workers {
            0 => Role::Single,
            _ => Role::Master,
        };
        let early = match role {
            Role::Master if self.handles_signals => block_signals().map(|()| None)?,
            Role::Single => early_signals()?,
            Role::Master | Role::Worker { .. } => None,
        };
        run_init(self.init.take(), role)?;
        let log = self.log(startup.warnings);
        if config.workers > 0 {
            self.setup(config, &declared).run(log)?;
            return Ok(None);
        }
        let context = start_single(
            &config,
            self.on_socket.as_ref(),
            &declared,
            early.as_ref(),
            log,
        )?;
        Ok(context.map(|context| (context, declared)))
    }

    /// Reads all sources of options: the program, the environment, `configure`.
    fn read(&mut self, needs_runtime: bool) -> Startup {
        let activation = adopt_passed_sockets();
        let prefix = self.prefix();
        let (environment, untrusted) = if is_secure() {
            Environment::untrusted(prefix, std::env::vars_os())
        } else {
            (Environment::read(prefix, std::env::vars_os()), None)
        };
        let mut options = self.options.clone();
        options.directory = std::env::current_dir().ok();
        options.apply_env(&environment);
        let mut configured = Ok(());
        // `configure` is not called if a value is invalid. It may set missing values and resolve
        // conflicts between options.
        if let (true, Some(configure)) = (options.is_valid(), &mut self.configure) {
            let mut configuration = Configuration::new(options, environment.clone());
            configured = catch(|| configure(&mut configuration));
            options = configuration.into_options();
        }
        let unused = if needs_runtime {
            None
        } else {
            options.drop_unused_threads()
        };
        let mut resolved = resolve(options, &environment, usable_cpus);
        resolved.ignored.extend(unused.clone());
        let result = configured
            .map_err(|source| Error::Configure { source })
            .and_then(|()| resolved.check())
            .and(activation);
        let warnings = role_warning().into_iter().chain(untrusted);
        let warnings = warnings
            .chain(environment.warning())
            .chain(resolved.overridden.clone())
            .chain(unused)
            .collect();
        Startup {
            resolved,
            environment,
            warnings,
            result,
        }
    }

    /// The prefix of the variables. Only the program can set it, so each of its processes knows it.
    fn prefix(&self) -> Prefix {
        self.options.env_prefix.value().cloned().unwrap_or_default()
    }

    /// Creates the master's log and writes the warnings to it.
    fn log(&mut self, warnings: Vec<String>) -> Log {
        let mut log = Log::new(self.logger.take());
        for warning in warnings {
            log.notice(&Notice::StartWarning(&warning));
        }
        log
    }

    fn setup(&mut self, config: Config, declared: &BodySpec) -> MasterSetup {
        MasterSetup {
            config,
            readiness: if declared.notifies_ready {
                Readiness::Notified
            } else {
                Readiness::Assumed
            },
            blocking: declared.blocking.clone(),
            producer: self.producer.take(),
            on_socket: self.on_socket.take(),
            hooks: std::mem::take(&mut self.hooks),
            owns_signals: self.handles_signals,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ProcessGuard {
    Check,
    Claim,
}

/// Makes sure that a process calls `run` only once, as one master or as one worker.
fn claim_process(claim: ProcessGuard) -> Result<(), Error> {
    static HAS_RUN: AtomicBool = AtomicBool::new(false);
    let has_run = match claim {
        ProcessGuard::Check => HAS_RUN.load(Ordering::Acquire),
        ProcessGuard::Claim => HAS_RUN.swap(true, Ordering::AcqRel),
    };
    if has_run {
        return Err(Error::AlreadyRunning {
            reason: "run was called a second time in one process",
        });
    }
    Ok(())
}

/// Returns whether this process was started by a master.
///
/// The process reads the environment once: in the first call of this function, in [`Prefork::new`]
/// or in the generated `main`. Later changes of the environment do not change the result.
pub fn is_child() -> bool {
    child_env().is_some()
}

/// Converts the result of [`run`](Prefork::run) into the exit status of the process.
///
/// For a master that was asked to stop, the status is 0; for a worker, it is the status of the
/// body. For an error, it is [`Error::exit_code`], and the error is written to stderr as one
/// paragraph.
pub fn report<R: Termination>(result: Result<Outcome<R>, Error>) -> ExitCode {
    match result {
        Ok(Outcome::Master) => ExitCode::SUCCESS,
        Ok(Outcome::Worker(returned)) => returned.report(),
        Err(error) => {
            Log::fatal(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
