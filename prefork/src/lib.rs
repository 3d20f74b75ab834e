//! One attribute turns a server into a supervised family of processes that share its listening
//! sockets, recover from crashes, and stop without losing what they were given.
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
//! The program that is started becomes the *master*. It binds the addresses, starts one *worker* per
//! CPU, each of which is the same program and runs `main`, and never serves a connection itself. The
//! attribute [`main`] is the short way; the builder [`Prefork`] has the same options for those who
//! decide at run time.
//!
//! # Limitations
//!
//! - Linux 5.10 or newer. A system call that the kernel or a seccomp filter withholds is an error
//!   at start that names it. Not run by us so far: musl, and machines other than x86-64.
//! - On other Unix (macOS, the BSDs) one process serves, as with `workers = 0`, and one line says so: enough to develop
//!   there. [`Prefork::start`] is an error there. That path is tested on Linux, with `--cfg prefork_portable`; on the real
//!   thing it was neither compiled nor run.
//! - What the program does before `run` (with the builder; the attribute does nothing before)
//!   happens in the master and in every worker; what [`Prefork::init`] does as well, told which it is.
//! - If a thread exists before the worker's variables (`PREFORK_CHILD`, `PREFORK_ADDRS`, `PREFORK_TLS`, `LISTEN_*`) are
//!   read, they are blanked where the kernel put them, and empty entries stay in the environment. A variable of these
//!   names that the program itself set before stays.
//! - A server that is set-user-ID or set-group-ID, or has file capabilities, reads nothing from the environment, and one
//!   line says which variables it ignores. With file capabilities a worker's role can still be forged by the user
//!   who starts the program: only the ids of the master's process are compared.
//! - A server that is started through a loader (`ld.so program`) starts its workers without it, or is refused if that would
//!   not be the same.
//! - A wrapper ([`ChildCommand::wrapper`]) has to execute the program in its own place.
//! - The body is told by [`shutdown`], or by a listener of ours that ends. One that asks nobody goes
//!   on until it is killed at the end of the `shutdown_grace_period`; one that takes nothing of ours
//!   ends by SIGTERM's default.
//! - `WebSockets` and other upgraded connections are not waited for: a stop cuts them, with no close frame, as soon as the
//!   worker has no other request. A server that must end them in order keeps track of them, and awaits them after
//!   `axum::serve` and before `main` returns.
//! - A blocking read is ended by a stop only on the `Stream` of [`net::Listener::blocking_accept`], not on a stream of a
//!   raw listener, nor after [`net::Stream::into_inner`].
//! - A worker that was stopped (SIGSTOP, a debugger) when its master was killed stays until it is
//!   continued.
//! - The end of `main` is reported by the attribute, before the body's runtime waits for blocking tasks. Of a body that
//!   was given to [`Prefork::run`] the master learns that it returned or panicked, not which error it returned.
//! - With a runtime of another crate (`#[tokio::main]`) a worker whose `main` has ended and whose blocking tasks go on is
//!   killed at the end of the `shutdown_grace_period`. Our own runtime stops waiting for them before that.
//! - A worker's own children are not ours: those that execute a program inherit none of our descriptors or variables, and
//!   a body that starts some ends them. One that is only forked, or is given a copy of a listener, does not keep the
//!   port after a stop: the master ends listening.
//! - Between a worker's close of its listener in a stop and the master's, which waits for all
//!   workers, a new connection can still queue; it is reset.
//! - With `panic = "abort"` a panic's text reaches the master as well, since the hook runs before the
//!   abort; a panic of the master itself ends it, and its workers drain.
//!
//! # What holds
//!
//! Each option is said under one name in three places: `workers = 4` in the attribute, `.workers(4)` of
//! [`Prefork`], `PREFORK_WORKERS=4` in the environment; a text means the same in all of them
//! ([`IntoOption`]). The methods of [`Prefork`] are the reference: what each option does, its unit, default and
//! variable. From the weakest to the strongest:
//!
//! | layer | |
//! |---|---|
//! | default | |
//! | `WEB_CONCURRENCY`, `PORT` | for what the program leaves open: no `workers` or `"auto"`, an address without a port |
//! | attribute, builder | |
//! | `PREFORK_<OPTION>` | or another prefix, see [`Prefork::env_prefix`] |
//! | [`Prefork::configure`] | sees what holds, and may read the program's own flags |
//!
//! The layers of the environment do not exist for a program that has more rights than the user who started it (set-id or
//! file capabilities, as for `secure_getenv(3)`).
//! A variable that is empty or blank counts as unset.
//!
//! `PREFORK_EXPLAIN=1` prints all options with value and origin, the listeners, and what was ignored, on stdout; it
//! checks what a start would check, calls no function but `configure` (not even `init`), binds and starts nothing, and ends with the
//! status of that start (the generated `main`) or with [`Error::Explained`] ([`Prefork::start`]).
//!
//! # Which promises need our listener
//!
//! | | [`net::Listener`], `net::TlsListener` | raw std or tokio listener |
//! |---|---|---|
//! | a queued connection survives a worker's death | yes | yes |
//! | ready is seen | at the first accept | after a second, or by [`ready()`] |
//! | a stop answers what already waits | yes | what the body still accepts |
//! | `shutdown()` resolves | when everything accepted is seen | at once |
//! | a stop ends a blocking read of a silent client | after 250 ms | no |
//! | a shortage of descriptors is logged | yes | no |
//! | late clients are refused | when all workers closed | when all workers ended |
//! | a killed master's address is free again | when its workers have drained their queues | when their bodies ended |
//!
//! # TLS
//!
//! Feature `tls`, on rustls. The master reads certificate and key ([`Prefork::tls_cert`], [`Prefork::tls_key`]: files, or
//! bytes in the program), checks them before it binds anything, and hands them to its workers in memory; it reads them
//! again for each later worker, and a bad new pair leaves the last good one serving. A listener speaks TLS where its
//! address says so, `"https=tls://0.0.0.0:443"`: `main` takes it as a `net::TlsListener`, or takes an
//! `Arc<rustls::ServerConfig>` and does the handshakes itself. Sessions resume whichever worker answers, unless clients
//! have to show certificates: all share the keys of tickets, which are replaced every six hours.
//!
//! # Connect info with axum
//!
//! `axum::serve(listener.tap_io(|_| {}), app.into_make_service_with_connect_info::<SocketAddr>())`
//! with `axum::serve::ListenerExt`: the wrapper is what axum gives handlers a foreign listener's
//! peer address by.
//!
//! # Signals
//!
//! The generated `main` owns the signals of the master:
//!
//! | signal | meaning |
//! |---|---|
//! | TERM, QUIT, HUP | stop gracefully; a repeat changes nothing |
//! | INT | the same; 250 ms or more after the first stop signal: kill the workers now |
//! | USR1, USR2, TTIN, TTOU | ignored, with a line in the log |
//! | others | as the system has it |
//!
//! A stop signal within 250 ms of the first one repeats it, whichever the two are: a terminal sends
//! INT to the whole group, and a package runner or `timeout` relays its own copy. If the master stops for
//! another reason (it gives up, or a hook failed), the first INT during the stop kills the workers. The times
//! at which the signals arrived decide, also if the master was busy with a hook.
//!
//! Equal signals get one line with their count, at most one a second if they change nothing.
//!
//! A signal that was ignored when the program started stays ignored: `nohup` means it. After a
//! builder's `run` with [`Prefork::handle_signals`] has returned, these signals do nothing any more.
//!
//! In a worker TERM begins its drain; INT, HUP and QUIT do nothing, since a terminal sends them to
//! everybody and the master decides. USR1, USR2 and the others have the system's meaning there, which
//! ends the worker: signal the master by its pid, not everybody by name. In single mode INT, QUIT and HUP mean what TERM means, and a
//! second INT, 250 ms or more after the first signal, ends the process at once, with status 130.
//!
//! # Lines
//!
//! The master says what happens in lines of text. Each goes to one place:
//!
//! 1. the function given as [`Prefork::logger`];
//! 2. with feature `tracing`: the subscriber that is set for the master's thread;
//! 3. with feature `log`: the logger that is installed, where its maximum level is not `Off`;
//! 4. stderr, with `prefork: ` in front.
//!
//! [`Prefork::init`] is the place to install one. Both know the target `prefork` and these fields, each where a line is
//! about such a thing ([`LogLine`] has them as well):
//!
//! | field | |
//! |---|---|
//! | `slot`, `pid` | of the worker; `pid` also of the process that begins |
//! | `status`, `signal` | by which the worker ended; `signal`, by its name, also the one that the master got |
//! | `age_ms` | how old the worker became, in milliseconds |
//! | `reason` | why the worker ended, as far as it reported that itself |
//! | `sender` | the pid of the process that sent the master a signal |
//!
//! Nothing of ours waits for the reader of stderr: lines that it does not take are counted and told later. A logger or
//! subscriber is called on the master's thread, and may block it: one that writes to a pipe, a disk or a network should
//! hand over to a thread of its own, or supervision waits for it. One that panics is not asked again; that line and all
//! later ones go to stderr. The paragraph by which the generated `main` ends stands on stderr in any case, since a filter
//! must not hide it; it is told to the logger as well, where it ends a master that had run `init`, else to a subscriber or
//! the crate `log`. What a worker has to say itself (that its master died, that it did not end in time, why it could not
//! begin) goes to stderr. In single mode the lines about a shortage of descriptors or memory come from a thread beside the
//! body.
//!
//! # Names
//!
//! `ps -o comm` shows a master as `hello master` and a worker as `hello worker 2`, the number being its slot; of a long
//! name the program's part is shortened to what the kernel keeps. The arguments are not touched. A single process, and one
//! that runs a master without [`Prefork::handle_signals`] or by [`Prefork::start`], keeps its name. `pkill -x hello`
//! and `killall hello` find none of ours: signal the master by its pid, or by `pkill -x 'hello master'`.
//!
//! # Exit statuses
//!
//! A master that was asked to stop ends with 0; every other end of it has a status in the table of
//! [`Error::exit_code`] and one paragraph on stderr: what happened, where, what to do. A worker ends
//! with its body's own status; one whose body did not end in time, with no master left to kill it,
//! with 124 (with 0 where the `shutdown_grace_period` is zero).
//!
//! # The end of `main`
//!
//! A worker whose `main` returns, fails or panics reports that to its master, with its error (by `Debug`, at most 1,024
//! bytes) or its panic. Its slot is filled again when the process has exited, at the latest after 100 ms. What still runs
//! in the process (blocking tasks, threads, the rest of a builder's program) drains, and is killed if it is still there
//! after the `shutdown_grace_period`. In a requested stop it has what is left of the grace period. Equal reasons in a row
//! are named once a minute, and summed up in the paragraph by which a master gives up.
//!
//! # Features
//!
//! None is on by default. `tokio`: async `main` (on a current-thread runtime, unless
//! `runtime_threads` says more or another runtime's attribute stands beside ours), `net::Listener::accept`, `tokio::net::TcpListener` as an argument.
//! `axum`: [`net::Listener`] in `axum::serve`; includes `tokio`. `tls`: see above; includes `tokio`. `tracing`, `log`: the master's lines for those.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(target_os = "linux", not(prefork_portable))),
    allow(dead_code, unused_imports, reason = "what a master alone needs")
)]

#[cfg(not(unix))]
compile_error!("prefork needs a Unix: it passes listening sockets from process to process");

// The error above is the only one: nothing else is compiled there.
#[cfg(unix)]
mod channel;
#[cfg(unix)]
mod config;
#[cfg(unix)]
mod error;
#[cfg(unix)]
mod escalation;
#[cfg(unix)]
mod hook;
#[cfg(unix)]
mod listen;
#[cfg(unix)]
mod master;
#[cfg(unix)]
pub mod net;
#[cfg(unix)]
mod prefork;
#[cfg(unix)]
mod runtime;
#[cfg(unix)]
mod spawn;
#[cfg(unix)]
mod supervisor;
#[cfg(unix)]
mod sys;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/off.rs"]
mod tls;
#[cfg(unix)]
mod worker;

#[cfg(unix)]
pub use config::{Configuration, IntoOption, Settings};
#[cfg(unix)]
pub use error::{BadOption, Error, TlsReason};
#[cfg(unix)]
pub use hook::{ChildRecovered, ChildSpawned, HookOutcome, MasterReady, Role};
#[cfg(unix)]
pub use master::{Handle, Level, LogLine};
#[cfg(unix)]
pub use prefork::{Ended, Prefork, is_child, report};
pub use prefork_macros::main;
#[cfg(unix)]
pub use spawn::ChildCommand;
#[cfg(unix)]
pub use worker::{
    ArgError, Argument, ArgumentKind, Ready, Request, Shutdown, Worker, ready, shutdown, worker,
};

/// What the attribute expands to; not for anybody else, and not kept stable.
#[cfg(unix)]
#[doc(hidden)]
pub mod __private {
    pub use crate::prefork::guest::guest;
    pub use crate::prefork::private::{run, take};
    pub use crate::runtime::Body;
    pub use crate::worker::{Describe, MainGuard, Returned};
    pub use crate::worker::{Guest, Want, Word};
}

/// The call that runs an async `main` without another runtime, where feature `tokio` is on.
#[cfg(feature = "tokio")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_tokio {
    ($($call:tt)*) => { $($call)* };
}

/// An option of feature `tls`, where that is on.
#[cfg(feature = "tls")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_tls {
    ($option:ident: $($call:tt)*) => { $($call)* };
}

/// Without it the option would be refused at every start; it is refused here.
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

/// Without the feature the call could only fail in words that do not name it, so it is left out.
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
