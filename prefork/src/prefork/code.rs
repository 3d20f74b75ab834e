//! The options that are functions: one setter each, and what it promises about when and where the
//! function is called.

use std::panic::Location;

use super::Prefork;
use crate::config::Configuration;
use crate::hook::{ChildRecovered, ChildSpawned, HookOutcome, MasterReady, Role, contain};
use crate::master::LogLine;
use crate::spawn::ChildCommand;

/// Functions of the user's: where each is called, how often, and what an error of it does.
impl Prefork {
    /// Sees the options last and may change them: the place for a program's own flags and files.
    ///
    /// It is called after the environment was read, and not where that or the program holds a value that cannot be read.
    /// What only shows in the whole is checked after it, so that it may give what was left open: the port of
    /// `listen = "0.0.0.0"`, for example. An error or a panic ends the start with
    /// [`Error::Configure`](crate::Error::Configure).
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, in single mode, and for an explanation (`PREFORK_EXPLAIN`), on the thread that calls `run` or
    /// `start`, once per call and before anything is bound. Not in workers: they do not read the options.
    ///
    /// # Examples
    /// ```no_run
    /// use prefork::Configuration;
    ///
    /// fn flags(configuration: &mut Configuration) -> Result<(), String> {
    ///     match std::env::args().nth(1).as_deref() {
    ///         None => {}
    ///         Some("--single") => {
    ///             configuration.workers(0);
    ///         }
    ///         Some(other) => return Err(format!("unknown flag {other}")),
    ///     }
    ///     Ok(())
    /// }
    ///
    /// #[prefork::main(listen = "127.0.0.1:8080", configure = flags)]
    /// fn main(_listener: prefork::net::Listener) {}
    /// ```
    #[track_caller]
    pub fn configure<R: HookOutcome>(
        &mut self,
        mut configure: impl FnMut(&mut Configuration) -> R + Send + 'static,
    ) -> &mut Self {
        self.options.give("configure", Location::caller());
        self.configure = Some(Box::new(move |configuration| {
            configure(configuration).into_result()
        }));
        self
    }

    /// Called first in every process, and told which one it is: the place for a `tracing` subscriber or a logger, for
    /// limits and locales, for whatever must be there before the first line, thread or connection.
    ///
    /// An error or a panic ends the process with [`Error::Init`](crate::Error::Init), of which the generated `main` makes
    /// status 70 and a paragraph on stderr. A worker that ends like this is replaced as if it had crashed, within the
    /// `recover_threshold`.
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, in every worker and in single mode, on the thread that calls `run` or `start`, once per process
    /// (with `start` once per builder). In the master and in single mode when the options hold and fit `main`, since only
    /// these tell the two apart, and before anything is logged, bound or started: what stands in the way of that, and
    /// what [`configure`](Self::configure) wants to say, comes before. In a worker after its role was read and taken out
    /// of the environment, and before any thread of ours: the first accept comes later, so that its time counts for the
    /// `ready_timeout`. A stop in that moment ends the process by SIGTERM's default; a master that is PID 1, to
    /// which the kernel gives nothing by default, stops when it has returned. Not for an explanation
    /// (`PREFORK_EXPLAIN`), which starts nothing, and not in workers that run another program.
    ///
    /// What it opens is its own process's: a worker inherits neither files nor threads of the master's. It does inherit the
    /// directory, the environment, the limits and the like as `init` has left them in the master: there, a relative
    /// `set_current_dir` goes one step further in each worker.
    ///
    /// It runs before there is a worker: [`worker`](crate::worker()) is `None` there. A thread that it starts may wait for
    /// [`shutdown`](crate::shutdown()); `init` itself would wait for ever. The death of a master is noticed when it has
    /// returned.
    ///
    /// # Examples
    /// ```no_run
    /// fn init(role: prefork::Role) -> std::io::Result<()> {
    ///     let name = match role {
    ///         prefork::Role::Worker { slot, .. } => format!("worker-{slot}.log"),
    ///         _ => "master.log".to_owned(),
    ///     };
    ///     std::fs::write(name, format!("{role}, pid {}\n", std::process::id()))
    /// }
    ///
    /// #[prefork::main(workers = 2, init = init)]
    /// fn main() {}
    /// ```
    /// With the crate `tracing-subscriber`, and feature `tracing` for the master's lines:
    /// ```ignore
    /// #[prefork::main(workers = 2, init = |role| {
    ///     tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    ///     tracing::info!(%role, "begins");
    /// })]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn init<R: HookOutcome>(
        &mut self,
        init: impl FnOnce(Role) -> R + Send + 'static,
    ) -> &mut Self {
        self.options.give("init", Location::caller());
        self.init = Some(Box::new(move |role| init(role).into_result()));
        self
    }

    /// Called after every start of a child, the first and later ones.
    ///
    /// An error or a panic stops all children and ends the master with [`Error::Hook`](crate::Error::Hook); the child that
    /// was just started is waited for like the others.
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, once per start, after the program was executed and before
    /// `on_child_recover`. The master does nothing else meanwhile: it should return soon.
    ///
    /// # Examples
    /// ```no_run
    /// use std::io::Write;
    ///
    /// fn spawned(child: &prefork::ChildSpawned) {
    ///     // `println!` panics if stdout is closed, which would end the master.
    ///     let _ = writeln!(std::io::stdout(), "pid {}", child.pid());
    /// }
    ///
    /// #[prefork::main(workers = 2, on_child_spawn = spawned)]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn on_child_spawn<R: HookOutcome>(
        &mut self,
        mut hook: impl FnMut(&ChildSpawned) -> R + Send + 'static,
    ) -> &mut Self {
        self.options.give("on_child_spawn", Location::caller());
        self.hooks.spawned = Some(Box::new(move |child| hook(child).into_result()));
        self
    }

    /// Called when every slot's first child was started, before any of them is replaced.
    ///
    /// An error or a panic stops all children and ends the master with [`Error::Hook`](crate::Error::Hook).
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, exactly once; not in single mode. The master does nothing else meanwhile.
    ///
    /// # Examples
    /// ```no_run
    /// fn announce(master: &prefork::MasterReady) -> std::io::Result<()> {
    ///     std::fs::write("server.pids", format!("{:?}", master.pids()))
    /// }
    ///
    /// #[prefork::main(workers = 2, on_master_ready = announce)]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn on_master_ready<R: HookOutcome>(
        &mut self,
        mut hook: impl FnMut(&MasterReady) -> R + Send + 'static,
    ) -> &mut Self {
        self.options.give("on_master_ready", Location::caller());
        self.hooks.ready = Some(Box::new(move |master| hook(master).into_result()));
        self
    }

    /// Called when a child that ended, and that nobody had asked to, was replaced.
    ///
    /// An error or a panic stops all children and ends the master with [`Error::Hook`](crate::Error::Hook): the place
    /// for a recovery policy of one's own.
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, after `on_child_spawn` of the new child; not when that failed.
    /// The master does nothing else meanwhile.
    ///
    /// # Examples
    /// ```no_run
    /// use std::io::Write;
    ///
    /// fn recovered(child: &prefork::ChildRecovered) {
    ///     // `eprintln!` panics if stderr is closed, which would end the master.
    ///     let _ = writeln!(std::io::stderr(), "{} replaces {}", child.new_pid(), child.old_pid());
    /// }
    ///
    /// #[prefork::main(workers = 2, on_child_recover = recovered)]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn on_child_recover<R: HookOutcome>(
        &mut self,
        mut hook: impl FnMut(&ChildRecovered) -> R + Send + 'static,
    ) -> &mut Self {
        self.options.give("on_child_recover", Location::caller());
        self.hooks.recovered = Some(Box::new(move |child| hook(child).into_result()));
        self
    }

    /// Called when the master died, by whatever: SIGKILL included.
    ///
    /// The worker drains meanwhile, and its end waits for the hook to return, within the
    /// `shutdown_grace_period`. An error or a panic is one line on stderr.
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In every worker of that master, on a thread of its own, once, when the drain begins. The
    /// kernel tells: nothing is polled, and it works where the master is PID 1.
    ///
    /// # Examples
    /// ```no_run
    /// use std::io::Write;
    ///
    /// fn alone() {
    ///     let _ = writeln!(std::io::stderr(), "the master is gone");
    /// }
    ///
    /// #[prefork::main(workers = 2, on_master_death = alone)]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn on_master_death<R: HookOutcome>(
        &mut self,
        hook: impl FnOnce() -> R + Send + 'static,
    ) -> &mut Self {
        self.options.give("on_master_death", Location::caller());
        self.on_master_death = Some(Box::new(move || hook().into_result()));
        self
    }

    /// A function that may alter how a child is started: its program, arguments, environment.
    ///
    /// An error or a panic ends the master with [`Error::Producer`](crate::Error::Producer), at the first start and later.
    ///
    /// Default: this program, started again. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, before every start. The master does nothing else meanwhile.
    ///
    /// # Examples
    /// ```no_run
    /// # use prefork::ChildCommand;
    /// #[prefork::main(workers = 2, child_producer = |child: &mut ChildCommand| {
    ///     child.wrapper("/usr/bin/nice", ["-n", "5"]).env("RUST_LOG", "info");
    /// })]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn child_producer<R: HookOutcome>(
        &mut self,
        mut producer: impl FnMut(&mut ChildCommand) -> R + Send + 'static,
    ) -> &mut Self {
        self.options.give("child_producer", Location::caller());
        self.producer = Some(Box::new(move |command| {
            contain(|| producer(command).into_result())
        }));
        self
    }

    /// Takes the master's lines, which otherwise go to what [`init`](Self::init) has installed (features `tracing` and
    /// `log`), or to stderr.
    ///
    /// It is also told why the master ends, once [`init`](Self::init) has run; that stands on stderr as well where the
    /// generated `main` or [`report`](crate::report) ends the process. A master of [`start`](Self::start) tells its
    /// [`Handle`](crate::Handle) alone.
    ///
    /// A [`LogLine`] is a text, and holds what it is about as values. A panic of the logger sends the lines to stderr
    /// from then on. One that blocks holds up the master: no death is heard and nobody is replaced or stopped meanwhile.
    ///
    /// Default: stderr. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread; and in single mode. The master does nothing else meanwhile.
    ///
    /// # Examples
    /// ```no_run
    /// use std::io::Write;
    ///
    /// fn write(line: &prefork::LogLine<'_>) {
    ///     let slot = line.slot().map(|slot| format!("[{slot}] ")).unwrap_or_default();
    ///     // `println!` panics if stdout is closed, and the logger is not called after a panic.
    ///     let _ = writeln!(std::io::stdout(), "{:?}: {slot}{line}", line.level());
    /// }
    ///
    /// #[prefork::main(workers = 2, logger = write)]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn logger(&mut self, logger: impl FnMut(&LogLine<'_>) + Send + 'static) -> &mut Self {
        self.options.give("logger", Location::caller());
        self.logger = Some(Box::new(logger));
        self
    }
}
