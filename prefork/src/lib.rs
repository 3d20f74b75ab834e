//! Turns a server into a master and supervised workers that share its sockets.
//!
//! The master replaces workers that exit unexpectedly. A stop finishes the requests that the
//! workers accepted.
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
//!   that it needs, the start fails with an error that names the call. The crate was never run with
//!   musl or on a machine other than x86-64.
//! - On other Unix systems (macOS, the BSDs) there is no master: one process serves, as with
//!   `workers = 0`, and one log line reports this. That is enough for development.
//!   [`Prefork::start`] returns an error there. This code path is tested on Linux, with
//!   `--cfg prefork_portable`; it was never compiled or run on another system.
//!
//! Start:
//!
//! - With the builder, code before [`Prefork::run`] runs in the master and in every worker. The
//!   function given as [`Prefork::init`] also runs in each of them, and gets the role of the
//!   process. With the attribute, no code runs before.
//! - The master tells a worker its role in variables (`PREFORK_CHILD`, `PREFORK_ADDRS`,
//!   `PREFORK_TLS`, `LISTEN_*`), and the worker removes them when it reads them. If the process has
//!   a second thread by then, it overwrites them with empty entries instead, in the memory that the
//!   kernel filled, and the empty entries stay. A variable of one of these names that the program
//!   itself set earlier stays too.
//! - A program that is set-user-ID or set-group-ID, or has file capabilities, reads no options from
//!   the environment. One log line lists the variables that it ignores. With file capabilities, the
//!   user who starts the program can still make it run as a worker of a forged master, because only
//!   the user and group ids of the master's process are compared.
//! - If a server is started through a loader (`ld.so program`), its workers are started without the
//!   loader. If that would not be equivalent, because the program names another loader or the
//!   loader was given options, the start fails.
//! - A wrapper ([`ChildCommand::wrapper`]) must execute the program in its own process
//!   (`execve(2)`), not in a child process.
//!
//! Stop:
//!
//! - `main` learns of a stop through [`shutdown()`] or when its [`net::Listener`] ends. Code that
//!   uses neither runs until it is killed at the end of `shutdown_grace_period`. If `main` takes no
//!   `Worker`, `Listener`, `TlsListener` or `Ready` and the worker never calls [`shutdown()`] or
//!   [`worker()`], SIGTERM has its default effect and ends the worker at once.
//! - A stop does not wait for `WebSockets` and other upgraded connections. It cuts them, without a
//!   close frame, as soon as the worker has no other request. To end them in order, keep track of
//!   them and await them after `axum::serve` and before `main` returns.
//! - A stop ends a blocking read only on the [`net::Stream`] of
//!   [`net::Listener::blocking_accept`]. It does not end one on a stream of a std listener, or after
//!   [`net::Stream::into_inner`].
//! - When a worker closes its listener in a stop, the master's copy stays open until all workers
//!   have closed theirs. A connection that arrives in between can still enter the queue, and is
//!   then reset.
//! - A worker that was stopped (SIGSTOP, a debugger) when its master was killed exits only after it
//!   is continued.
//!
//! Workers:
//!
//! - The attribute reports the end of `main`, with its error, before the runtime waits for blocking
//!   tasks. With the builder's [`Prefork::run`], the master learns that the function returned or
//!   panicked, but not which error it returned.
//! - With the runtime of another crate (`#[tokio::main]`), a worker whose `main` has ended and whose
//!   blocking tasks still run is killed at the end of `shutdown_grace_period`. The runtime of this
//!   crate stops waiting for such tasks before that.
//! - prefork does not manage processes that a worker starts; the code that starts them must end
//!   them. A program that a worker executes inherits no descriptor and no variable of prefork. A
//!   process that a worker only forks, or gives a copy of a listener, does not keep the port in use
//!   after a stop, because the master shuts the listening socket down.
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
//! | `WEB_CONCURRENCY`, `PORT` | used only for what the program leaves open: no `workers` or `"auto"`; an address without a port |
//! | attribute, builder | |
//! | `PREFORK_<OPTION>` | [`Prefork::env_prefix`] sets another prefix |
//! | [`Prefork::configure`] | a function that reads the resulting options and may change them, for example by the program's own flags |
//!
//! An empty or blank variable counts as unset. A program that has more privileges than the user who
//! started it (set-user-ID, set-group-ID, file capabilities) reads none of these variables, as with
//! `secure_getenv(3)`.
//!
//! `PREFORK_EXPLAIN=1` prints all options with value and origin, the listeners, and what was
//! ignored, to stdout. It checks everything that a start checks before it binds. It calls no
//! function except `configure` (not even `init`), binds nothing and starts nothing. The generated
//! `main` exits with the status that the start would have had; [`Prefork::start`] returns
//! [`Error::Explained`].
//!
//! # What needs `prefork::net::Listener`
//!
//! The listener types of this crate give more guarantees than a listener of std or tokio:
//!
//! | | [`net::Listener`], `net::TlsListener` | std or tokio listener |
//! |---|---|---|
//! | if a worker dies, a connection in the queue is served by another worker | yes | yes |
//! | a worker counts as ready | at its first accept | after `healthy_after` (1 s), or when it calls [`ready()`] |
//! | during a stop, connections that already wait in the queue are answered | yes | only those that the code still accepts |
//! | [`shutdown()`] resolves | when every accepted connection was read from | immediately |
//! | a stop ends a blocking read from a silent client | after 250 ms | no |
//! | a shortage of descriptors or memory is logged | yes | no |
//! | during a stop, new clients are refused | as soon as all workers closed their listeners | as soon as all workers exited |
//! | after the master was killed, its address is free | as soon as its workers drained their queues | as soon as their `main` ended |
//!
//! # TLS
//!
//! Feature `tls` uses rustls. The master reads the certificate and the key ([`Prefork::tls_cert`],
//! [`Prefork::tls_key`]; files, or bytes in the program), checks them before it binds anything, and
//! passes them to the workers in memory. It reads them again before it starts a later worker. If a
//! new pair is invalid, the previous one stays in use.
//!
//! A listener uses TLS if its address contains `tls://`, as in `"https=tls://0.0.0.0:443"`. `main`
//! takes it as a `net::TlsListener`, or takes an `Arc<rustls::ServerConfig>` and runs the handshakes
//! itself.
//!
//! A client can resume its session with any worker, because all workers share the keys of session
//! tickets. The keys are replaced every six hours. If clients must show certificates, sessions are
//! not resumed.
//!
//! # Connect info with axum
//!
//! Wrap the listener with `axum::serve::ListenerExt`:
//! `axum::serve(listener.tap_io(|_| {}), app.into_make_service_with_connect_info::<SocketAddr>())`.
//! For a listener of another crate, axum passes the client's address to handlers only through this
//! wrapper.
//!
//! # Signals
//!
//! The generated `main` handles these signals in the master:
//!
//! | signal | effect |
//! |---|---|
//! | TERM, QUIT, HUP | stop gracefully; a repetition changes nothing |
//! | INT | the same; 250 ms or more after the first stop signal: kill the workers now |
//! | USR1, USR2, TTIN, TTOU | ignored, with a log line |
//! | others | the system's default |
//!
//! - A stop signal within 250 ms of the first one counts as a repetition, whichever stop signals
//!   the two are: a terminal sends INT to the whole process group, and a package runner or
//!   `timeout(1)` relays its own copy.
//! - If the master stops for another reason (it gave up, or a hook failed), the first INT during the
//!   stop kills the workers.
//! - The times at which the signals arrived decide, even if the master was busy with a hook.
//! - Equal signals are logged in one line with their count. If they change nothing, there is at most
//!   one line per second.
//! - A signal that was ignored when the program started stays ignored (`nohup(1)`).
//! - After [`Prefork::run`] of a builder with [`Prefork::handle_signals`] returned, these signals
//!   have no effect any more.
//!
//! In a worker, TERM begins its drain. INT, HUP and QUIT do nothing, because a terminal sends them
//! to all processes and the master decides. USR1, USR2 and all others keep the system's default,
//! which ends the worker: send signals to the master's pid, not to all processes by name.
//!
//! In single-process mode (`workers = 0`) INT, QUIT and HUP act like TERM. A second INT, 250 ms or
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
//! Install a subscriber or logger in [`Prefork::init`]. Both get the target `prefork` and these
//! fields, each only if the line is about such a thing ([`LogLine`] has them too):
//!
//! | field | |
//! |---|---|
//! | `slot`, `pid` | the worker; `pid` also in the first line of a master or single process: its own |
//! | `status`, `signal` | how the worker ended; `signal` is a name, and also names the signal that the master received |
//! | `age_ms` | the time from the worker's start to its end, in milliseconds |
//! | `reason` | why the worker ended, if it reported a reason |
//! | `sender` | the pid of the process that sent the master a signal |
//!
//! - Logging to stderr never blocks; dropped lines are counted and reported later.
//! - A logger or subscriber is called on the master's thread and may block it. If it writes to a
//!   pipe, a disk or a network, it should use a thread of its own; otherwise supervision waits.
//! - If a logger or subscriber panics, it is not called again. That line and all later ones go to
//!   stderr.
//! - The error with which the generated `main` exits is always written to stderr, because a filter
//!   must not hide it. It also goes to the logger if the master had run `init`, otherwise to the
//!   subscriber or the crate `log`.
//! - A worker logs its own events to stderr: the master died, the worker did not finish in time, it
//!   could not start.
//! - In single-process mode, a separate thread logs a shortage of descriptors or memory.
//!
//! # Process names
//!
//! `ps -o comm` shows a master as `hello master` and a worker as `hello worker 2`; the number is the
//! slot. If the name is longer than the kernel allows, the program's part is shortened. Arguments
//! are not changed.
//!
//! A process keeps its name in single-process mode, and if it runs a master with [`Prefork::start`]
//! or without [`Prefork::handle_signals`].
//!
//! `pkill -x hello` and `killall hello` find neither master nor workers. Signal the master by its
//! pid or with `pkill -x 'hello master'`.
//!
//! # Exit statuses
//!
//! A master exits with 0 after a requested stop. Every other end has a status in the table of
//! [`Error::exit_code`] and one paragraph on stderr: what happened, to what, and what to do.
//!
//! A worker exits with the status of its `main`. If it does not finish in time and has no master
//! left to kill it, it exits with 124 (with 0 if `shutdown_grace_period` is zero).
//!
//! # The end of `main`
//!
//! If `main` of a worker returns, fails or panics, the worker reports this to the master, with the
//! error (`Debug`, at most 1,024 bytes) or the panic message. The master starts the replacement when
//! the process has exited, at the latest after 100 ms.
//!
//! Whatever still runs in the process (blocking tasks, threads, the rest of a builder's program)
//! drains. If it still runs after `shutdown_grace_period`, it is killed. During a requested stop it
//! has only the rest of that period.
//!
//! Equal reasons in a row are logged in full once a minute, and are summed up in the error with
//! which a master gives up.
//!
//! # Features
//!
//! No feature is on by default.
//!
//! - `tokio`: async `main`, `net::Listener::accept`, and `tokio::net::TcpListener` as an argument.
//!   The runtime is a current-thread runtime, unless `runtime_threads` is larger than 1 or `main`
//!   has the attribute of another runtime.
//! - `axum`: [`net::Listener`] in `axum::serve`. Includes `tokio`.
//! - `tls`: see [TLS](#tls). Includes `tokio`.
//! - `tracing`, `log`: the master's log lines as events of `tracing` or records of `log`.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(target_os = "linux", not(prefork_portable))),
    allow(dead_code, unused_imports, reason = "used only by a master")
)]

#[cfg(not(unix))]
compile_error!("prefork needs a Unix system: it passes listening sockets from process to process");

// Nothing else is compiled on other systems, so the error above is the only one.
#[cfg(unix)]
mod builder;
#[cfg(unix)]
mod channel;
#[cfg(unix)]
mod config;
#[cfg(unix)]
mod error;
#[cfg(unix)]
mod hook;
#[cfg(unix)]
mod listen;
#[cfg(unix)]
mod macro_support;
#[cfg(unix)]
mod master;
#[cfg(unix)]
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
mod sys;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/disabled.rs"]
mod tls;
#[cfg(unix)]
mod worker;

#[cfg(unix)]
pub use builder::Prefork;
#[cfg(unix)]
pub use config::{Configuration, IntoOption, Settings};
#[cfg(unix)]
pub use error::{Error, OptionError, TlsErrorKind};
#[cfg(unix)]
pub use hook::{ChildRecovered, ChildSpawned, HookOutcome, MasterReady, Role};
#[cfg(unix)]
pub use master::{Handle, Level, LogLine};
pub use prefork_macros::main;
#[cfg(unix)]
pub use run::{Outcome, is_child, report};
#[cfg(unix)]
pub use spawn::ChildCommand;
#[cfg(unix)]
pub use worker::{
    ArgError, Argument, ArgumentInfo, ArgumentKind, Ready, Shutdown, Worker, ready, shutdown,
    worker,
};

/// Items that the attribute expands to. Not a public API, and not stable.
#[cfg(unix)]
#[doc(hidden)]
pub mod __private {
    pub use crate::macro_support::{extract, run};
    pub use crate::run::in_process::in_process_worker;
    pub use crate::runtime::Body;
    pub use crate::worker::{ArgumentSpec, InProcessWorker, WorkerEvent};
    pub use crate::worker::{Describe, MainGuard, Returned};
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
