//! Turns a server into a master and supervised workers that share its sockets.
//!
//! The master replaces workers that exit unexpectedly. In a stop, the workers finish the requests
//! that they have accepted.
//!
#![cfg_attr(feature = "axum", doc = "```no_run")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! use axum::{Router, routing::get};
//!
//! #[prefork::main(listen = "0.0.0.0:8080", workers = "auto", recover_threshold = 8)]
//! async fn main(listener: prefork::net::Listener) -> std::io::Result<()> {
//!     let app = Router::new().route("/", get(async || "hello\n"));
//!     axum::serve(listener, app).with_graceful_shutdown(prefork::shutdown()).await
//! }
//! ```
//!
//! The process that you start becomes the *master*. It binds the addresses and starts one *worker*
//! per CPU. A worker is the same program, started again: it runs `main` and serves the connections.
//! The master never serves a connection itself.
//!
//! The builder [`Prefork`] has the same options as the attribute [`main`], for programs
//! that choose them at run time.
//!
//! # Limitations
//!
//! Systems:
//!
//! - A master needs Linux 5.10 or newer. If the kernel or a seccomp filter rejects a system call
//!   that it needs, the start fails with an error that names the call. The crate has never been run
//!   with musl or on an architecture other than x86-64.
//! - On other Unix systems (macOS, the BSDs) there is no master: one process serves, as with
//!   `workers = 0`, and one log line reports this. This is enough for development.
//!   [`Prefork::start`] returns an error there. This mode is tested on Linux, with
//!   `--cfg prefork_portable`; it has never been compiled or run on another system.
//!
//! Start:
//!
//! - With the builder, code before [`Prefork::run`] runs in the master and in every worker. The
//!   function given as [`Prefork::init`] also runs in each of them, and gets the role of the
//!   process. With the attribute, the generated `main` evaluates the values of the options in every
//!   process; no other code of the program runs before.
//! - The master sets variables that contain the role of a worker (`PREFORK_CHILD`, `PREFORK_ADDRS`,
//!   `PREFORK_TLS`, `LISTEN_*`). The worker reads them and removes them. If the process already has
//!   a second thread, it does not remove them: it empties them in place, and the empty entries stay
//!   in the environment. If the program itself has set a variable of one of these names before,
//!   that variable stays too.
//! - A program that is set-user-ID or set-group-ID, or has file capabilities, reads no options from
//!   the environment. One log line lists the variables that it ignores. With file capabilities, the
//!   user who starts the program can still make it run as a worker of a forged master, because a
//!   worker checks only the user and group ids of its master, and file capabilities do not change
//!   those.
//! - If a server is started through a loader (`ld.so program`), its workers are started without the
//!   loader. If such a start would differ, because the program names another loader or the loader
//!   was given options, the start of the master fails.
//! - A wrapper ([`ChildCommand::wrapper`]) must execute the program in its own process
//!   (`execve(2)`), not in a child process.
//!
//! Stop:
//!
//! - `main` learns of a stop through [`shutdown()`] or when its [`net::Listener`] ends. Code that
//!   uses neither runs until it is killed at the end of `shutdown_grace_period`. There is one
//!   exception: if `main` takes no `Worker`, `Listener`, `TlsListener` or `Ready`, and the worker
//!   never calls [`shutdown()`] or [`worker()`], SIGTERM has its default effect and ends the worker
//!   at once.
//! - A stop does not wait for `WebSockets` and other upgraded connections. It cuts them, without a
//!   close frame, as soon as the worker has no other request. To close them properly, send a close
//!   frame when [`closing()`] resolves, and await [`streams_ended()`] before `main` returns.
//! - A stop ends a blocking read only on the [`net::Stream`] of [`net::Listener::blocking_accept`].
//!   It does not end one on a stream of a std listener, or after [`net::Stream::into_inner`].
//! - When a worker closes its listener in a stop, the master's copy stays open until all workers
//!   have closed theirs. A connection that arrives meanwhile can still enter the queue, and is
//!   reset later.
//! - A worker that is paused (SIGSTOP, a debugger) when its master is killed exits only after it is
//!   continued.
//!
//! Workers:
//!
//! - The attribute reports the end of `main`, with its error, before the runtime waits for blocking
//!   tasks. With the builder's [`Prefork::run`], the master learns that the function returned or
//!   panicked, but not which error it returned.
//! - With the runtime of another crate (`#[tokio::main]`), a worker whose `main` has ended and
//!   whose blocking tasks still run is killed at the end of `shutdown_grace_period`. The runtime of
//!   this crate stops waiting for such tasks before that.
//! - prefork does not manage processes that a worker starts; the code that starts them must end
//!   them. A program that a worker executes inherits no descriptor and no variable of prefork. A
//!   process that a worker forks without an exec, or that gets a copy of a listener from it, does
//!   not keep the port in use after a stop, because the master calls `shutdown(2)` on the listening
//!   socket.
//! - With `panic = "abort"`, the message of a panic in a worker still reaches the master, because
//!   the panic hook runs before the abort. A panic in the master ends it, and its workers drain.
//!
//! # Configuration
//!
//! Each option has one name in three sources: `workers = 4` in the attribute, `.workers(4)` of
//! [`Prefork`], `PREFORK_WORKERS=4` in the environment. A text means the same in all of them
//! ([`IntoOption`]). The methods of [`Prefork`] are the reference: they document the effect, unit,
//! default and variable of each option. Precedence, lowest first:
//!
//! | source | |
//! |---|---|
//! | default | |
//! | `WEB_CONCURRENCY`, `PORT` | used only if the program leaves the value open: `workers` is not set or is `"auto"`; an address has no port |
//! | attribute, builder | |
//! | `PREFORK_<OPTION>` | [`Prefork::env_prefix`] sets another prefix |
//! | [`Prefork::configure`] | a function that reads the resulting options and may change them, for example from the program's own flags |
//!
//! An empty or blank variable counts as unset. A program that has more privileges than the user who
//! started it (set-user-ID, set-group-ID, file capabilities) reads none of these variables, as with
//! `secure_getenv(3)`.
//!
//! `PREFORK_EXPLAIN=1` prints to stdout each option with its value and its origin, the listeners,
//! the warnings, and the values that are ignored. It checks everything that a start checks before
//! it binds. It binds and starts nothing, and calls no function of the program except `configure`
//! (not even `init`). The generated `main` exits with the status that the start would have had;
//! [`Prefork::start`] returns a handle without a master.
//!
//! # What needs `prefork::net::Listener`
//!
//! The listener types of this crate give more guarantees than a listener of std or tokio:
//!
//! | | [`net::Listener`], `net::TlsListener` | std or tokio listener |
//! |---|---|---|
//! | if a worker dies, a connection in the queue is served by another worker | yes | yes |
//! | with `reuseport = true`, a connection does not wait for a worker that is suspended, or blocked while the next one is not | yes | no: only the worker of a slot accepts from its socket |
//! | in a rollout, a new worker accepts its first connection | when the master has seen that it is ready | at once |
//! | the workers can have standbys ([`Prefork::standby`]) | yes | no |
//! | a worker counts as healthy | at its first accept | after `healthy_after` (1 s), or when it calls [`notify_ready()`] |
//! | during a stop, connections that already wait in the queue are answered | yes | only those that the code still accepts |
//! | [`shutdown()`] resolves | when the queue is empty and each accepted connection has been read, at the latest after half of the grace period | at once |
//! | a stop ends a blocking read from a silent client | after 250 ms | no |
//! | a shortage of descriptors or memory is logged | yes | no |
//! | during a stop, new clients are refused | as soon as all workers closed their listeners | as soon as all workers exited |
//! | after the master was killed, its address is free | as soon as its workers drained their queues | as soon as their `main` ended |
//!
//! # Rollouts
//!
//! [`Handle::reload`] and SIGHUP replace all workers by those of the program that the path of the
//! master names now. A new worker must be ready before it replaces the old one. If the new program
//! fails, the previous one serves on. The master itself is not replaced: it keeps its options and
//! its listeners.
//!
//! A worker that calls [`not_ready()`] leaves new connections to the others. In a rollout, such a
//! call of a new worker refuses the new program. Standbys are described at [`Prefork::standby`].
//!
//! # TLS
//!
//! Feature `tls` uses rustls. The master reads the certificate and the key ([`Prefork::tls_cert`],
//! [`Prefork::tls_key`]; files, or bytes in the program), checks them before it binds anything, and
//! passes them to the workers in memory. It reads them again before each later start of a worker.
//! If a new pair is invalid, the previous one stays in use.
//!
//! A listener uses TLS if its address contains `tls://`, as in `"https=tls://0.0.0.0:443"`. `main`
//! takes it as a `net::TlsListener`, or takes an `Arc<rustls::ServerConfig>` and performs the
//! handshakes itself.
//!
//! A client can resume its session with any worker, because all workers share the keys of session
//! tickets. The master replaces the keys every six hours. If clients must present certificates,
//! sessions are not resumed.
//!
//! # Connect info with axum
//!
//! Wrap the listener with `axum::serve::ListenerExt`:
//! `axum::serve(listener.tap_io(|_| {}), app.into_make_service_with_connect_info::<Addr>())`, with
//! [`Addr`] from this crate.
//! For a listener of another crate, axum passes the client's address to handlers only through this
//! wrapper.
//!
//! # Signals
//!
//! The generated `main` handles these signals in the master:
//!
//! | signal | effect |
//! |---|---|
//! | TERM, QUIT | stop gracefully; a repetition changes nothing |
//! | INT | stop gracefully; 100 ms or more after the first stop signal: kill the workers now |
//! | HUP | roll out: replace every worker by one of the program that its path names now |
//! | USR1, USR2, TTIN, TTOU | ignored, with a log line |
//! | others | the system's default |
//!
//! - A stop signal within 100 ms of the first one counts as a repetition, even if it is another
//!   signal: a terminal sends INT to the whole process group, and a package runner or `timeout(1)`
//!   relays its own copy.
//! - If the master stops for another reason (it gave up, or a hook failed), the first INT during
//!   the stop kills the workers.
//! - The master compares the times at which the signals arrived, even if a hook kept it busy
//!   meanwhile.
//! - The master logs equal signals in one line with their count. For signals that change nothing,
//!   it logs at most one line per second.
//! - If the master had a controlling terminal at its start and the terminal has hung up, HUP stops
//!   it gracefully.
//! - A signal that was ignored when the program started stays ignored (`nohup(1)`).
//! - After [`Prefork::run`] of a builder with [`Prefork::handle_signals`] has returned, these
//!   signals have no effect any more.
//!
//! In a worker, TERM begins the drain. INT, HUP and QUIT do nothing, because a terminal sends them
//! to all processes and the master decides. All others keep the system's default, and USR1 and USR2
//! end the worker. So send signals to the master's pid, not to all processes by name.
//!
//! In single-process mode (`workers = 0`) INT, QUIT and HUP act like TERM. A second INT, 100 ms or
//! more after the first signal, ends the process at once with status 130.
//!
//! # Logging
//!
//! The master logs lines of text. Each line goes to the first of these that exists:
//!
//! 1. the function given as [`Prefork::logger`];
//! 2. with feature `tracing`: the subscriber that is set for the master's thread;
//! 3. with feature `log`: the installed logger, if its maximum level is not `Off`;
//! 4. stderr, with the prefix `prefork: `.
//!
//! Install a subscriber or logger in [`Prefork::init`]. Each line has the target `prefork` and the
//! fields below that apply to it. A [`LogLine`] has the same values:
//!
//! | field | |
//! |---|---|
//! | `slot`, `pid` | the worker; in the first line of a master or of a single process, `pid` is its own pid |
//! | `status`, `signal` | how the worker ended; `signal` is the name of the signal that killed the worker, or that the master received |
//! | `age_ms` | the time from the worker's start to its end, in milliseconds |
//! | `reason` | why the worker ended, if it reported a reason |
//! | `sender` | the pid of the process that sent the master a signal |
//!
//! - Logging to stderr never blocks; dropped lines are counted and reported later.
//! - A logger or subscriber is called on the master's thread and may block it. If it writes to a
//!   pipe, a disk or a network, it should use a thread of its own; otherwise supervision waits.
//! - If a logger or subscriber panics, it is not called again. That line and all later ones go to
//!   stderr.
//! - The error with which the generated `main` exits is always written to stderr, so that no filter
//!   can hide it. If it occurs after `init` and a [`Prefork::logger`] is set, that function gets it
//!   too. Otherwise the subscriber or the installed logger gets it.
//! - A worker writes its own lines to stderr: if its master died, if it did not finish in time, or
//!   if it could not start.
//! - In single-process mode, a separate thread logs a shortage of descriptors or memory.
//!
//! # Process names
//!
//! `ps -o comm` shows a master as `hello master` and a worker as `hello worker 2`; the number is
//! the slot. If the name is longer than the kernel allows, the program's part is shortened. The
//! arguments of the process are not changed.
//!
//! A process keeps its name in single-process mode, and if it runs a master with [`Prefork::start`]
//! or without [`Prefork::handle_signals`].
//!
//! `pkill -x hello` and `killall hello` find neither master nor workers. Signal the master by its
//! pid or with `pkill -x 'hello master'`.
//!
//! # Exit statuses
//!
//! A master exits with 0 after a requested stop. After any other end, it exits with a status from
//! the table of [`Error::exit_code`] and writes one paragraph to stderr: what happened, to what,
//! and what to do.
//!
//! A worker exits with the status of its `main`. If it does not finish in time and has no master
//! left to kill it, it exits with 124 (with 0 if `shutdown_grace_period` is zero).
//!
//! # The end of `main`
//!
//! If `main` of a worker returns, fails or panics, the worker reports this to the master, with the
//! error (`Debug`, at most 1,024 bytes) or the panic message. The master starts the replacement
//! when the process has exited, at the latest after 100 ms.
//!
//! If blocking tasks, threads or the rest of a builder's program still run in the process, the
//! worker drains. If the process still runs after `shutdown_grace_period`, the master kills it.
//! During a requested stop, it has only the rest of that period.
//!
//! If several workers in a row end for the same reason, the master logs that reason in full at most
//! once a minute. If it gives up, its error summarizes these exits.
//!
//! # Features
//!
//! No feature is on by default.
//!
//! - `tokio`: async `main`, `net::Listener::accept`, and the sockets of `tokio::net` as arguments.
//!   The runtime is a current-thread runtime, unless `runtime_threads` is larger than 1. If `main`
//!   has the attribute of another runtime, that runtime is used.
//! - `axum`: [`net::Listener`] in `axum::serve`. Includes `tokio`.
//! - `stream`: `net::Listener::incoming`, a `futures_core::Stream` of connections. Includes
//!   `tokio`.
//! - `tonic`: that stream as an argument of `serve_with_incoming_shutdown` of tonic's server.
//!   Includes `stream`.
//! - `http`: `http::DrainLayer`, a layer of `tower`. In a drain, HTTP/1 responses announce that
//!   their connection closes, so that clients of kept connections lose no request.
//! - `tls`: see [TLS](#tls). Includes `tokio`.
//! - `tracing`, `log`: the master's log lines as events of `tracing` or records of `log`.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(target_os = "linux", not(prefork_portable))),
    allow(dead_code, unused_imports, reason = "used only by a master")
)]

#[cfg(not(unix))]
compile_error!("prefork needs a Unix system: it passes listening sockets from process to process");

/// Begins the example of an option, which may need feature `tls`.
#[cfg(all(unix, feature = "tls"))]
macro_rules! option_example {
    () => {
        "```no_run"
    };
}

#[cfg(all(unix, not(feature = "tls")))]
macro_rules! option_example {
    () => {
        "```ignore"
    };
}

// Nothing else is compiled on other systems, so the error above is the only one.
#[cfg(unix)]
mod builder;
#[cfg(unix)]
mod channel;
#[cfg(unix)]
mod config;
#[cfg(unix)]
mod error;
#[cfg(all(unix, test))]
mod explore;
#[cfg(unix)]
mod hook;
#[cfg(all(unix, feature = "http"))]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
#[cfg(unix)]
mod listen;
#[cfg(unix)]
mod macro_support;
#[cfg(unix)]
mod master;
#[cfg(unix)]
#[cfg_attr(
    not(feature = "tls"),
    expect(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "streams take notes for a layer such as TLS, whose types are here too"
    )
)]
pub mod net;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod runtime;
#[cfg(unix)]
mod spawn;
#[cfg(unix)]
mod stop_signals;
#[cfg(unix)]
mod supervisor;
#[cfg(unix)]
#[cfg_attr(
    not(any(feature = "tls", test)),
    expect(dead_code, reason = "only TLS uses sealed memory files")
)]
mod sys;
#[cfg(unix)]
mod tls;
#[cfg(unix)]
mod worker;

#[cfg(unix)]
pub use builder::Prefork;
#[cfg(unix)]
pub use config::Configuration;
#[cfg(unix)]
pub use error::{Error, OptionError, TlsErrorKind};
#[cfg(unix)]
pub use hook::{
    ChildReady, ChildRecovered, ChildSpawned, FleetReady, IntoHookResult, MasterReady, Role,
};
#[cfg(unix)]
pub use listen::ListenerInfo;
#[cfg(unix)]
pub use master::{Handle, Level, LogLine, Reload, RolloutRefusal, RolloutStage, RolloutVerdict};
pub use prefork_macros::main;
pub use prefork_options::{Addr, IntoOption, ParseError, Transport};
#[cfg(unix)]
pub use run::{Outcome, is_child, report};
#[cfg(unix)]
#[doc(inline)]
pub use socket2;
#[cfg(unix)]
pub use spawn::ChildCommand;
#[cfg(unix)]
pub use worker::{
    ArgumentInfo, Closing, FromWorker, FromWorkerError, Needs, Ready, Shutdown, SocketKind,
    StreamsEnded, Worker, closing, is_stopping, not_ready, notify_ready, shutdown, streams_ended,
    worker,
};

/// Items that the attribute expands to. Not a public API, and not stable.
#[cfg(unix)]
#[doc(hidden)]
pub mod __private {
    pub use crate::macro_support::{extract, run};
    pub use crate::runtime::Body;
    pub use crate::worker::{ArgumentSpec, Describe, MainGuard, Returned};
}

/// Items that `prefork-testkit` uses. Not a public API, and not stable.
#[cfg(all(unix, feature = "__testkit"))]
#[doc(hidden)]
pub mod __testkit {
    pub use crate::run::in_process::in_process_worker;
    pub use crate::worker::{InProcessWorker, WorkerEvent};
}

/// Expands to the call that runs an async `main`. Needs feature `tokio`.
#[cfg(feature = "tokio")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_tokio {
    ($($call:tt)*) => { $($call)* };
}

/// Expands to the call that sets an option of feature `tls`.
#[cfg(feature = "tls")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_tls {
    ($option:ident: $($call:tt)*) => { $($call)* };
}

/// Without feature `tls`, expands to an error: every start would reject the option.
#[cfg(not(feature = "tls"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_tls {
    ($option:ident: $($call:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "`",
            ::core::stringify!($option),
            "` needs feature `tls` of prefork"
        ));
    };
}

/// Without feature `tokio`, expands to an error that names the feature.
#[cfg(not(feature = "tokio"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_tokio {
    ($($call:tt)*) => {{
        ::core::compile_error!(
            "an async `main` needs feature `tokio` of prefork, or a runtime's attribute such as \
             `#[tokio::main]` below, or `runtime = path`"
        );
        ::std::process::ExitCode::FAILURE
    }};
}
