//! The error type of the crate: one variant for each thing that a caller or an operator can fix.
//!
//! A requested stop is a value, not an error. Only the generated `main` turns an error into an exit
//! status; the library returns it.

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::option_error::OptionErrorLines;
use super::{OptionError, TlsErrorKind};

/// The reason why a master or a worker failed to start or ended unexpectedly.
///
/// `Display` names what failed: the option, the listener, the worker or the system call.
/// [`source`](std::error::Error::source) returns the cause, if there is one.
/// [`exit_code`](Self::exit_code) is the exit status of the generated `main`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One or more options are invalid; all of them are reported at once.
    #[error("{}", OptionErrorLines(.0))]
    Options(Vec<OptionError>),

    /// The `configure` function returned an error or panicked.
    #[error("configure failed")]
    #[non_exhaustive]
    Configure {
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The `init` function returned an error or panicked.
    #[error("init failed ({process})")]
    #[non_exhaustive]
    Init {
        /// The process: `master`, `worker 2` or `single`.
        process: String,
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The arguments of `main` do not fit the listeners.
    #[error("the arguments of main do not fit the listeners: {reason}")]
    #[non_exhaustive]
    Arguments {
        /// The argument or the listener that does not fit, and the listeners that exist.
        reason: String,
        /// The variable that overrides the listeners, with the prefix of this program.
        variable: String,
    },

    /// An argument of `main` could not be created in the worker.
    #[error("cannot create {} of main", ArgumentLabel(name, *index))]
    #[non_exhaustive]
    Argument {
        /// Its name; empty if the argument is a pattern.
        name: &'static str,
        /// Its index among the arguments, from 0.
        index: usize,
        /// The cause: a [`FromWorkerError`](crate::FromWorkerError).
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The certificate, the private key or the client CA cannot be used.
    #[error("{label}: {reason}")]
    #[non_exhaustive]
    Tls {
        /// The option, such as `tls_key`.
        option: &'static str,
        /// The variable that set the option, or the option's name, and the file.
        label: String,
        /// The kind of error.
        kind: TlsErrorKind,
        /// What is wrong and what to do, as a sentence. It never contains a part of a key.
        reason: String,
        /// The error of the system call, if one failed.
        source: Option<io::Error>,
    },

    /// A host name could not be resolved.
    #[error("listener '{listener}': cannot resolve {address}")]
    #[non_exhaustive]
    Resolve {
        /// The listener's name.
        listener: String,
        /// The address as written.
        address: String,
        /// The error of the resolver.
        source: io::Error,
    },

    /// A listening socket could not be created.
    #[error("listener '{listener}': cannot {call} {address}")]
    #[non_exhaustive]
    Listen {
        /// The listener's name.
        listener: String,
        /// The address.
        address: String,
        /// The system call that failed.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },

    /// The sockets of socket activation cannot be used.
    ///
    /// Their variables are invalid, or a socket has neither the name nor the address of a listener.
    #[error("socket activation: {reason}")]
    #[non_exhaustive]
    Activation {
        /// The variable, or the listener and the socket.
        reason: String,
    },

    /// The kernel or a seccomp filter rejects a system call that the master needs.
    #[error("the system call {call} is not available")]
    #[non_exhaustive]
    UnsupportedSystemCall {
        /// The system call.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },

    /// The master could not start or continue.
    #[error("the master cannot {doing}")]
    #[non_exhaustive]
    Master {
        /// What the process tried to do.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },

    /// A worker could not be started.
    #[error("worker {slot}: cannot start {program}: {call} failed")]
    #[non_exhaustive]
    Spawn {
        /// The slot of the worker.
        slot: usize,
        /// The program.
        program: String,
        /// The system call that failed.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },

    /// The `child_producer` function returned an error or panicked.
    #[error("worker {slot}: child_producer failed")]
    #[non_exhaustive]
    Producer {
        /// The slot of the worker.
        slot: usize,
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A hook returned an error or panicked.
    #[error("hook {hook} failed")]
    #[non_exhaustive]
    Hook {
        /// The name of the hook.
        hook: &'static str,
        /// Its error, or the message of its panic.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// More workers exited unexpectedly than `recover_threshold` allows.
    #[error(
        "{} exited unexpectedly{} (recover_threshold = {threshold}); {last}",
        WorkerCount(*exits),
        WindowLabel(*window)
    )]
    #[non_exhaustive]
    OverRecovery {
        /// The number of unexpected exits within the window.
        exits: u64,
        /// The value of `recover_threshold`.
        threshold: u32,
        /// The window.
        ///
        /// `None` if every exit since the master started counts, because `recover_window` is
        /// `forever` or because no worker was ever ready.
        window: Option<Duration>,
        /// The last exit, as text.
        ///
        /// Example: `last exit: worker 0 (pid 12) exited with status 1 …`. If several workers in a
        /// row exited for the same reason, it is a summary:
        /// `each of the last 9 exited with status 1: main returned an error: no database`. If no
        /// worker was ever ready, the text begins with that fact.
        last: String,
        /// The variable that sets `recover_threshold`, with the prefix of this program.
        variable: String,
    },

    /// Workers did not exit after SIGKILL: they are stuck in the kernel.
    #[error("workers did not exit after SIGKILL: {}", PidList(.pids))]
    #[non_exhaustive]
    Unkillable {
        /// Their process ids.
        pids: Vec<i32>,
    },

    /// The variables that a master sets for a worker are invalid.
    #[error("this process was started as a worker, but {variable} is invalid: {reason}")]
    #[non_exhaustive]
    InvalidChildEnv {
        /// The variable.
        variable: &'static str,
        /// The reason.
        reason: String,
    },

    /// An inherited descriptor is not the listener that the master announced.
    #[error("listener '{listener}' (fd {fd}): {reason}")]
    #[non_exhaustive]
    Inherited {
        /// The listener's name.
        listener: String,
        /// The descriptor's number.
        fd: RawFd,
        /// The reason.
        reason: String,
    },

    /// The worker could not start.
    #[error("the worker cannot {doing}")]
    #[non_exhaustive]
    Worker {
        /// What the process tried to do.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },

    /// A listener of the worker can no longer accept connections.
    #[error("listener '{listener}': cannot accept connections")]
    #[non_exhaustive]
    Accept {
        /// The listener's name.
        listener: String,
        /// The error of accept.
        source: io::Error,
    },

    /// `run` or `start` cannot be called now.
    ///
    /// It was called inside a worker, or `run` was called a second time in one process.
    #[error("{reason}")]
    #[non_exhaustive]
    AlreadyRunning {
        /// Which of these, and what to do.
        reason: &'static str,
    },
}

struct ArgumentLabel<'a>(&'a str, usize);

impl fmt::Display for ArgumentLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArgumentLabel("", index) => write!(f, "argument {}", index + 1),
            ArgumentLabel(name, _) => write!(f, "argument '{name}'"),
        }
    }
}

struct PidList<'a>(&'a [i32]);

impl fmt::Display for PidList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pid) in self.0.iter().enumerate() {
            let separator = if index == 0 { "pid " } else { ", pid " };
            write!(f, "{separator}{pid}")?;
        }
        Ok(())
    }
}

struct WorkerCount(u64);

impl fmt::Display for WorkerCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} worker{plural}", self.0)
    }
}

struct WindowLabel(Option<Duration>);

impl fmt::Display for WindowLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(window) => write!(f, " within {}", prefork_options::duration::format(window)),
            None => Ok(()),
        }
    }
}
