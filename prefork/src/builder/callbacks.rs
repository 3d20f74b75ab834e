//! The setters of the options that are functions.
//!
//! Each documents when, how often and on which thread its function is called, and what its error
//! does. The functions are called elsewhere: by `hook`, the master and the worker.

use std::io;
use std::panic::Location;

use super::Prefork;
use crate::config::Configuration;
use crate::hook::{
    ChildReady, ChildRecovered, ChildSpawned, FleetReady, IntoHookResult, MasterReady, Role, catch,
};
use crate::listen::{ListenerInfo, OnSocket};
use crate::master::LogLine;
use crate::spawn::ChildCommand;

/// Options that are functions: when and how often each is called.
impl Prefork {
    /// Sets the function that reads all options and may change them.
    ///
    /// Use it for the program's own flags and configuration files. It is called after the
    /// environment was read. It is not called if the program or the environment contains an invalid
    /// value. Checks that compare several options run after it, so it may set a value that is still
    /// missing, such as the port of `listen = "0.0.0.0"`. If it returns an error or panics, the
    /// start fails with [`Error::Configure`](crate::Error::Configure).
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, in single-process mode, and for `PREFORK_EXPLAIN`; on the thread that calls
    /// `run` or `start`, once per call, before anything is bound. Not in workers, which do not read
    /// options.
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
    pub fn configure<R: IntoHookResult>(
        mut self,
        mut configure: impl FnMut(&mut Configuration) -> R + Send + 'static,
    ) -> Self {
        self.options
            .record_callback("configure", Location::caller());
        self.configure = Some(Box::new(move |configuration| {
            configure(configuration).into_result()
        }));
        self
    }

    /// Sets the function that every process calls first, with the role of the process.
    ///
    /// Use it to install a `tracing` subscriber or a logger, to set limits and locales, and for
    /// anything else that must exist before the first log line, thread or connection.
    ///
    /// If it returns an error or panics, the process ends with [`Error::Init`](crate::Error::Init);
    /// the generated `main` exits with status 70 and writes a paragraph to stderr. A worker that
    /// ends like this is replaced as after a crash, within `recover_threshold`.
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, in every worker and in single-process mode; on the thread that calls `run` or
    /// `start`, once per process (with `start` once per builder). Not for `PREFORK_EXPLAIN`, which
    /// starts nothing, and not in workers that run another program.
    ///
    /// In the master and in single-process mode, `init` runs after the options were validated and
    /// before anything is logged, bound or started. It does not run if an option is invalid, if the
    /// arguments of `main` do not fit the listeners, or if [`configure`](Self::configure) fails.
    ///
    /// In a worker, `init` runs after the worker has read and removed the variables that contain
    /// its role, and before this crate starts a thread. The first accept comes later, so the time
    /// that `init` takes counts towards `ready_timeout`.
    ///
    /// While `init` runs, SIGTERM has its default effect and ends the process. The kernel does not
    /// deliver such a signal to PID 1: if a master or a single process that is PID 1 gets SIGTERM,
    /// it stops when `init` has returned.
    ///
    /// A worker does not inherit the files that `init` opened in the master, nor the threads that
    /// it started there. It does inherit process attributes that `init` changed there: the working
    /// directory, the environment, the limits. So a relative `set_current_dir` takes effect in the
    /// master and again in each worker.
    ///
    /// While `init` runs, [`worker`](crate::worker()) returns `None`, because the worker does not
    /// exist yet. A thread that `init` starts may wait for [`shutdown`](crate::shutdown()); `init`
    /// itself would wait forever. A worker notices the death of its master only after `init` has
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
    ///     tracing::info!(%role, "starting");
    /// })]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn init<R: IntoHookResult>(
        mut self,
        init: impl FnOnce(Role) -> R + Send + 'static,
    ) -> Self {
        self.options.record_callback("init", Location::caller());
        self.init = Some(Box::new(move |role| init(role).into_result()));
        self
    }

    /// Sets the function that gets each socket that the master opens, before it binds the socket.
    ///
    /// Use it for options of sockets that prefork does not have, such as `SO_BINDTODEVICE`,
    /// `TCP_FASTOPEN` or `SO_RCVBUF`. The info has the name, the address and the transport; port 0
    /// stays 0. With `reuseport`, each slot has a socket. A host name has a socket for each of its
    /// addresses: the info then has that address only, with the port of the first one. Sockets that
    /// the process inherited (`fd:3`) are not passed. If the function returns an error or panics, the start fails with
    /// [`Error::Listen`](crate::Error::Listen), and nothing stays bound.
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master and in single-process mode; on the thread that calls `run` or `start`, or on
    /// another one while that thread waits. Once per socket, and again if the master retries a
    /// bind while the address is in use, or binds a socket again that a worker has shut down. It
    /// must not block.
    ///
    /// # Examples
    /// ```no_run
    /// use prefork::{ListenerInfo, socket2::Socket};
    ///
    /// fn keepalive(socket: &Socket, _listener: &ListenerInfo) -> std::io::Result<()> {
    ///     socket.set_keepalive(true)
    /// }
    ///
    /// #[prefork::main(listen = "127.0.0.1:8080", on_socket = keepalive)]
    /// fn main(_listener: prefork::net::Listener) {}
    /// ```
    #[track_caller]
    pub fn on_socket<R: IntoHookResult>(
        mut self,
        hook: impl Fn(&socket2::Socket, &ListenerInfo) -> R + Send + Sync + 'static,
    ) -> Self {
        self.options
            .record_callback("on_socket", Location::caller());
        self.on_socket = Some(OnSocket::new(move |socket, info| {
            catch(|| hook(socket, info).into_result()).map_err(io::Error::other)
        }));
        self
    }

    /// Sets the hook that is called after every start of a child.
    ///
    /// It is also called for replacements, for successors in a rollout and for standbys; not for a
    /// promotion, which starts no process. If it returns an error or panics, the master stops all
    /// children, including the one that was just started, and ends with
    /// [`Error::Hook`](crate::Error::Hook).
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, once per start, after the program was executed and before
    /// `on_child_recover`. It blocks the master, so it should return quickly.
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
    pub fn on_child_spawn<R: IntoHookResult>(
        mut self,
        mut hook: impl FnMut(&ChildSpawned) -> R + Send + 'static,
    ) -> Self {
        self.options
            .record_callback("on_child_spawn", Location::caller());
        self.hooks.spawned = Some(Box::new(move |child| hook(child).into_result()));
        self
    }

    /// Sets the hook that is called after the first child of every slot was started.
    ///
    /// The master replaces no child before this call. If it returns an error or panics, the master
    /// stops all children and ends with [`Error::Hook`](crate::Error::Hook).
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, exactly once. Not in single-process mode. It blocks the
    /// master.
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
    pub fn on_master_ready<R: IntoHookResult>(
        mut self,
        mut hook: impl FnMut(&MasterReady) -> R + Send + 'static,
    ) -> Self {
        self.options
            .record_callback("on_master_ready", Location::caller());
        self.hooks.ready = Some(Box::new(move |master| hook(master).into_result()));
        self
    }

    /// Sets the hook that is called when a child is ready for the first time.
    ///
    /// A child is ready at its first accept, when it calls [`notify_ready`](crate::notify_ready()),
    /// or, if its readiness cannot be observed, after `healthy_after`. The hook is called once per
    /// child, also for replacements, for successors in a rollout, and for standbys before their
    /// promotion; not for a child that was asked to stop before. If the hook returns an error or
    /// panics, the master stops all children and ends with [`Error::Hook`](crate::Error::Hook),
    /// unless a stop has begun: then the error is only logged.
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, after `on_child_spawn` of the same child. It can come before
    /// `on_master_ready`. Not in single-process mode. It blocks the master.
    ///
    /// # Examples
    /// ```no_run
    /// use std::io::Write;
    ///
    /// fn ready(child: &prefork::ChildReady) {
    ///     // `println!` panics if stdout is closed, which would end the master.
    ///     let _ = writeln!(std::io::stdout(), "pid {} took {:?}", child.pid(), child.age());
    /// }
    ///
    /// #[prefork::main(workers = 2, on_child_ready = ready)]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn on_child_ready<R: IntoHookResult>(
        mut self,
        mut hook: impl FnMut(&ChildReady) -> R + Send + 'static,
    ) -> Self {
        self.options
            .record_callback("on_child_ready", Location::caller());
        self.hooks.child_ready = Some(Box::new(move |child| hook(child).into_result()));
        self
    }

    /// Sets the hook that is called when the children of all slots are ready.
    ///
    /// Use it to tell others that the server serves at its full capacity. It is called once, after
    /// the start. If a child exits or takes back its readiness later, only a log line reports that
    /// all children are ready again. If the hook returns an error or panics, the master stops all
    /// children and ends with [`Error::Hook`](crate::Error::Hook), unless a stop has begun: then the
    /// error is only logged.
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, at most once, after `on_master_ready` and after
    /// `on_child_ready` of each of these children. Not in single-process mode. It blocks the
    /// master.
    ///
    /// # Examples
    /// ```no_run
    /// fn announce(fleet: &prefork::FleetReady) -> std::io::Result<()> {
    ///     std::fs::write("server.ready", format!("{:?}", fleet.pids()))
    /// }
    ///
    /// #[prefork::main(workers = 2, on_fleet_ready = announce)]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn on_fleet_ready<R: IntoHookResult>(
        mut self,
        mut hook: impl FnMut(&FleetReady) -> R + Send + 'static,
    ) -> Self {
        self.options
            .record_callback("on_fleet_ready", Location::caller());
        self.hooks.fleet_ready = Some(Box::new(move |fleet| hook(fleet).into_result()));
        self
    }

    /// Sets the hook that is called after the master replaced a child.
    ///
    /// The master replaces a child that exited unexpectedly. If the hook returns an error or
    /// panics, the master stops all children and ends with [`Error::Hook`](crate::Error::Hook). So
    /// the hook can end the master earlier than `recover_threshold` does.
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, after `on_child_spawn` of the new child; not if that failed.
    /// If the new child is a promoted standby, `on_child_spawn` and `on_child_ready` were called for
    /// it earlier, with its number as a standby. It blocks the master.
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
    pub fn on_child_recover<R: IntoHookResult>(
        mut self,
        mut hook: impl FnMut(&ChildRecovered) -> R + Send + 'static,
    ) -> Self {
        self.options
            .record_callback("on_child_recover", Location::caller());
        self.hooks.recovered = Some(Box::new(move |child| hook(child).into_result()));
        self
    }

    /// Sets the hook that is called in each worker after its master died.
    ///
    /// The cause of the death does not matter: the hook is also called after SIGKILL. The worker
    /// drains at the same time, and waits for the hook before it exits, within
    /// `shutdown_grace_period`. If the hook returns an error or panics, the worker writes one line
    /// to stderr.
    ///
    /// Default: nothing. Since 0.1.0.
    ///
    /// # Process
    /// In every worker of that master, on a thread of its own, once, when the drain begins. The
    /// kernel reports the death to the worker, also if the master is PID 1. Nothing is polled.
    ///
    /// # Examples
    /// ```no_run
    /// use std::io::Write;
    ///
    /// fn master_died() {
    ///     let _ = writeln!(std::io::stderr(), "the master died");
    /// }
    ///
    /// #[prefork::main(workers = 2, on_master_death = master_died)]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn on_master_death<R: IntoHookResult>(
        mut self,
        hook: impl FnOnce() -> R + Send + 'static,
    ) -> Self {
        self.options
            .record_callback("on_master_death", Location::caller());
        self.on_master_death = Some(Box::new(move || hook().into_result()));
        self
    }

    /// Sets the function that may change how a child is started.
    ///
    /// It can set the program, its arguments and its environment. If it returns an error or panics
    /// for the worker of a slot, at the first start or later, the master ends with
    /// [`Error::Producer`](crate::Error::Producer). For a successor in a rollout, the rollout is
    /// refused. A standby is not started until a rollout was accepted.
    ///
    /// Default: this program, started again. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, before every start of a child. It blocks the master.
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
    pub fn child_producer<R: IntoHookResult>(
        mut self,
        mut producer: impl FnMut(&mut ChildCommand) -> R + Send + 'static,
    ) -> Self {
        self.options
            .record_callback("child_producer", Location::caller());
        self.producer = Some(Box::new(move |command| {
            catch(|| producer(command).into_result())
        }));
        self
    }

    /// Sets the function that gets the master's log lines.
    ///
    /// Without this function, the lines go to the subscriber or logger that [`init`](Self::init)
    /// has installed (features `tracing` and `log`), or to stderr. A [`LogLine`] has a text, and
    /// the values in the text.
    ///
    /// If the master ends with an error after [`init`](Self::init) has run, the function also gets
    /// that error. The generated `main` and [`report`](crate::report) write the error to stderr
    /// too. A master that was started with [`start`](Self::start) returns its error only to its
    /// [`Handle`](crate::Handle).
    ///
    /// If the function panics, all later lines go to stderr. While it blocks, the master notices no
    /// exit, and replaces and stops no worker.
    ///
    /// Default: stderr. Since 0.1.0.
    ///
    /// # Process
    /// In the master, on its thread, and in single-process mode. It blocks the master.
    ///
    /// # Examples
    /// ```no_run
    /// use std::io::Write;
    ///
    /// fn write(line: &prefork::LogLine) {
    ///     let slot = line.slot().map(|slot| format!("[{slot}] ")).unwrap_or_default();
    ///     // `println!` panics if stdout is closed, and the logger is not called after a panic.
    ///     let _ = writeln!(std::io::stdout(), "{:?}: {slot}{line}", line.level());
    /// }
    ///
    /// #[prefork::main(workers = 2, logger = write)]
    /// fn main() {}
    /// ```
    #[track_caller]
    pub fn logger(mut self, logger: impl FnMut(&LogLine) + Send + 'static) -> Self {
        self.options.record_callback("logger", Location::caller());
        self.logger = Some(Box::new(logger));
        self
    }
}
