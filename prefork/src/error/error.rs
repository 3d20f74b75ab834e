//! What can go wrong, one variant per thing that a caller or an operator can do about it.
//!
//! Expected endings (a requested stop) are values, not errors. Only the generated `main` turns an
//! error into an exit status; the library returns it.

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::bad_option::Lines;
use super::{BadOption, TlsReason};

/// Why a master or a worker ended without having been asked to, or never began.
///
/// `Display` names the stage, the place and the thing; [`source`](std::error::Error::source) is the
/// cause where there is one; [`exit_code`](Self::exit_code) is the status of the generated `main`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Options that cannot be used, all of them.
    #[error("{}", Lines(.0))]
    Options(Vec<BadOption>),

    /// The function given as `configure` refused.
    #[error("configure failed")]
    Configure {
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The function given as `init` refused or panicked.
    #[error("init failed ({process})")]
    Init {
        /// In which process: `master`, `worker 2` or `single`.
        process: String,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Nothing was started, since somebody asked for an explanation, which stands on stdout. From
    /// [`start`](crate::Prefork::start) alone: a `run` that explained ends like a master that was asked to stop.
    #[error("{variable} is set: nothing was started")]
    Explained {
        /// By which variable.
        variable: String,
    },

    /// The arguments of `main` do not fit the listeners.
    #[error("the arguments of main do not fit the listeners: {reason}")]
    Arguments {
        /// Which argument or listener is left over, and what is there.
        reason: String,
        /// The variable that replaces the listeners, with the prefix of this program.
        variable: String,
    },

    /// An argument of `main` could not be made in the worker.
    #[error("{} of main cannot be made", Which(name, *index))]
    Argument {
        /// Its name, empty where it is a pattern.
        name: &'static str,
        /// Its place among the arguments, from 0.
        index: usize,
        /// Why not: an [`ArgError`](crate::ArgError).
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Certificate, key or the authorities of clients cannot be used.
    #[error("{place}: {reason}")]
    Tls {
        /// The option that it came by, such as `tls_key`.
        option: &'static str,
        /// Who said that, the variable or else the option, and which file.
        place: String,
        /// What is wrong.
        reason: TlsReason,
        /// What the system said, where it was asked.
        source: Option<io::Error>,
    },

    /// A host name has no address.
    #[error("listener '{listener}': cannot resolve {address}")]
    Resolve {
        /// The listener's name.
        listener: String,
        /// The address as it was given.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },

    /// An address could not be bound.
    #[error("listener '{listener}': cannot {call} {address}")]
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

    /// This kernel, or a filter that the process runs under, lacks a call that a master needs.
    #[error("the system call {call} is not available")]
    Kernel {
        /// The call.
        call: &'static str,
        /// What it answered.
        source: io::Error,
    },

    /// The master could not set itself up or go on.
    #[error("the master cannot {doing}")]
    Master {
        /// What it was about to do.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },

    /// A child could not be started.
    #[error("worker {slot}: cannot start {program}: {call} failed")]
    Start {
        /// The slot that was to be filled.
        slot: usize,
        /// The program.
        program: String,
        /// The system call that failed.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },

    /// The function given as `child_producer` refused.
    #[error("worker {slot}: the child producer failed")]
    Producer {
        /// The slot that was to be filled.
        slot: usize,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A hook failed or panicked.
    #[error("the hook {hook} failed")]
    Hook {
        /// Which one.
        hook: &'static str,
        /// Its own error, or its panic's text.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// More workers ended than `recover_threshold` allows.
    #[error(
        "{} ended unasked{}, {threshold} are allowed; {last}",
        Workers(*exits),
        Within(*window)
    )]
    OverRecovery {
        /// How many ended within the window.
        exits: u64,
        /// How many are allowed.
        threshold: u32,
        /// The window; `None` is the master's whole life, also when no worker was ever ready.
        window: Option<Duration>,
        /// How the last ones ended: `the last: worker 0 (pid 12) exited with status 1 …`, or, if several in a row ended
        /// alike, `each of the last 9 exited with status 1: main returned an error: no database`. If no worker was ever
        /// ready, it begins with that.
        last: String,
        /// The variable that sets `recover_threshold`, with the prefix of this program.
        variable: String,
    },

    /// Children that SIGKILL did not end: they hang in the kernel.
    #[error("killed, but not gone: {}", Pids(.pids))]
    Unkillable {
        /// Their process ids.
        pids: Vec<i32>,
    },

    /// The variables that make a process a child are not those of a master.
    #[error("this process was started as a worker, but {variable} is wrong: {reason}")]
    Role {
        /// The variable.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// An inherited descriptor is not what it was announced as.
    #[error("listener '{listener}' (fd {fd}): {reason}")]
    Inherited {
        /// The listener's name.
        listener: String,
        /// The descriptor's number.
        fd: RawFd,
        /// What is wrong with it.
        reason: String,
    },

    /// The worker could not set itself up.
    #[error("the worker cannot {doing}")]
    Worker {
        /// What it was about to do.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },

    /// A listener of the worker cannot accept connections any more.
    #[error("listener '{listener}': cannot accept connections")]
    Accept {
        /// The listener's name.
        listener: String,
        /// The error of accept.
        source: io::Error,
    },

    /// `run` or `start` was called inside a worker, a second time in one process, or on a builder whose functions are gone.
    #[error("{reason}")]
    SecondRun {
        /// Which of these.
        reason: &'static str,
    },
}

struct Which<'a>(&'a str, usize);

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which("", index) => write!(f, "argument {}", index + 1),
            Which(name, _) => write!(f, "argument '{name}'"),
        }
    }
}

struct Pids<'a>(&'a [i32]);

impl fmt::Display for Pids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pid) in self.0.iter().enumerate() {
            let separator = if index == 0 { "pid " } else { ", pid " };
            write!(f, "{separator}{pid}")?;
        }
        Ok(())
    }
}

struct Workers(u64);

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} worker{plural}", self.0)
    }
}

struct Within(Option<Duration>);

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(window) => write!(f, " within {}", prefork_options::duration::format(window)),
            None => Ok(()),
        }
    }
}
