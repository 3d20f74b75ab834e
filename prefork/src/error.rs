//! What can go wrong, one variant per thing that a caller or an operator can do about it.
//!
//! Expected endings (a requested stop) are values, not errors. Only the generated `main` turns an
//! error into an exit status; the library returns it.

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use prefork_options::one_line;

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
        /// The option, and the file that it names.
        place: String,
        /// What is wrong.
        reason: String,
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
        "{} ended unasked{}, {threshold} are allowed; the last: {last}",
        Workers(*exits),
        Within(*window)
    )]
    OverRecovery {
        /// How many ended within the window.
        exits: u64,
        /// How many are allowed.
        threshold: u32,
        /// The window; `None` is the master's whole life.
        window: Option<Duration>,
        /// How the last one ended.
        last: String,
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

    /// `run` or `start` was called inside a worker, or a second time in one process.
    #[error("{reason}")]
    SecondRun {
        /// Which of the two.
        reason: &'static str,
    },
}

impl Error {
    /// The exit status that the generated `main` ends with, from `sysexits.h` where that has a
    /// word for it:
    ///
    /// | status | what happened |
    /// |---|---|
    /// | 0 | an explanation was asked for instead of a start |
    /// | 68 | a host name has no address |
    /// | 69 | an address could not be bound |
    /// | 70 | `run` twice, or inside a worker; `init`, a hook or the child producer failed |
    /// | 71 | a system call is missing, or the master could not go on |
    /// | 72 | a child could not be started |
    /// | 74 | children were killed and did not go |
    /// | 75 | more workers ended than `recover_threshold` allows |
    /// | 76 | a worker's variables or descriptors are not those of a master |
    /// | 78 | an option cannot be used, `configure` failed, a certificate or its key cannot be used, or an argument of `main` does not fit or cannot be made |
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Explained { .. } => 0,
            Self::Resolve { .. } => 68,
            Self::Listen { .. } => 69,
            Self::SecondRun { .. }
            | Self::Init { .. }
            | Self::Producer { .. }
            | Self::Hook { .. } => 70,
            Self::Kernel { .. } | Self::Master { .. } | Self::Worker { .. } => 71,
            Self::Start { .. } => 72,
            Self::Unkillable { .. } => 74,
            Self::OverRecovery { .. } => 75,
            Self::Role { .. } | Self::Inherited { .. } => 76,
            Self::Options(_)
            | Self::Configure { .. }
            | Self::Tls { .. }
            | Self::Arguments { .. }
            | Self::Argument { .. } => 78,
        }
    }

    /// What to do about it, as a sentence.
    fn way_out(&self) -> &'static str {
        match self {
            Self::Options(options) if options.len() > 1 => "Correct them and start again.",
            Self::Options(_) => "Correct the option and start again.",
            Self::Explained { .. } => "Remove the variable to start.",
            Self::Configure { .. } => "Correct what it was given to read, or the function itself.",
            Self::Init { .. } => "This process did nothing else. Correct the function.",
            Self::Arguments { .. } => {
                "Give main one argument per listener, called like it where it has a name; \
                 PREFORK_LISTEN (with another prefix where the program has one) replaces the list \
                 that it was written with."
            }
            Self::Argument { .. } => {
                "Mend what it is made from, or take it as a `Result<_, prefork::ArgError>`, with which the \
                 body is called all the same."
            }
            Self::Tls { .. } => {
                "Give tls_cert the server's certificate and those that lead to a root, tls_key its \
                 private key, both as PEM; `openssl x509 -in FILE -noout -text` shows one."
            }
            Self::Resolve { .. } => "Check the host name and the machine's resolver.",
            Self::Listen { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => {
                    "Another process listens there (`ss -ltnp` shows it): stop it or choose \
                     another port."
                }
                io::ErrorKind::PermissionDenied => {
                    "Ports below 1024 need root or CAP_NET_BIND_SERVICE: choose another port or \
                     grant it."
                }
                io::ErrorKind::AddrNotAvailable => "This machine does not have that address.",
                _ => "Check the address.",
            },
            Self::Kernel { .. } => {
                "A master needs Linux 5.10 or newer and a seccomp filter that lets it manage \
                 processes; with workers = 0 the program serves without a master."
            }
            Self::Master { .. } | Self::Worker { .. } => {
                "Check the limits of this process (open files, threads and processes, memory), and \
                 that /proc is mounted."
            }
            Self::Start { .. } => {
                "Check that the program is there, may be executed, and that the limits of \
                 processes and open files leave room for one more."
            }
            Self::Producer { .. } => "Correct the child producer.",
            Self::Hook { .. } => "The workers were stopped. Correct the hook.",
            Self::OverRecovery { .. } => {
                "The lines above say how each of them ended. Mend the cause, or raise \
                 recover_threshold (PREFORK_RECOVER_THRESHOLD, with another prefix where the \
                 program has one)."
            }
            Self::Unkillable { .. } => {
                "They hang in the kernel, often on a file system that does not answer, or give back \
                 very much memory; `cat /proc/<pid>/stack` tells where."
            }
            Self::Role { .. } | Self::Inherited { .. } => {
                "These variables are a master's to set: start the program without them. A wrapper \
                 around workers has to execute the program in its own place."
            }
            Self::SecondRun { .. } => "Call it once, at the beginning of main.",
        }
    }

    /// What happened, where, what to do: one paragraph for stderr.
    pub(crate) fn paragraph(&self) -> String {
        // A line has a limit, and what to do stands at its end.
        const MAX_REASON: usize = 3_000;
        let reason = one_line(&self.one_line(), MAX_REASON);
        // A question ends by itself.
        let stop = if reason.ends_with('?') { "" } else { "." };
        format!("{reason}{stop} {}", self.way_out())
    }

    /// What happened and where, with its causes.
    pub(crate) fn one_line(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// One option that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadOption {
    pub(crate) place: String,
    pub(crate) reason: String,
}

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// Several are numbered: they stay one line, and a reason may hold any mark that could part them.
struct Lines<'a>(&'a [BadOption]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [option] = self.0 {
            return write!(f, "{option}");
        }
        write!(f, "{} options cannot be used:", self.0.len())?;
        for (index, option) in self.0.iter().enumerate() {
            write!(f, " ({}) {option}", index + 1)?;
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paragraph_names_the_place_the_cause_and_the_way_out() {
        let error = Error::Listen {
            listener: "http".to_owned(),
            address: "127.0.0.1:80".to_owned(),
            call: "bind",
            source: io::ErrorKind::AddrInUse.into(),
        };
        let text = error.paragraph();
        assert!(text.starts_with("listener 'http': cannot bind 127.0.0.1:80: "));
        assert!(text.contains("ss -ltnp"), "{text}");
    }

    #[test]
    fn a_long_reason_leaves_room_for_the_way_out() {
        let error = Error::Init {
            process: "master".to_owned(),
            source: "\n".repeat(10_000).into(),
        };
        let text = error.paragraph();
        assert!(text.ends_with("\\n…. This process did nothing else. Correct the function."));
        assert!(text.len() < 3_200, "{}", text.len());
    }

    #[test]
    fn every_bad_option_is_named() {
        let bad = |place: &str| BadOption {
            place: place.to_owned(),
            reason: "no".to_owned(),
        };
        let error = Error::Options(vec![bad("workers"), bad("PREFORK_LISTEN")]);
        assert_eq!(
            error.paragraph(),
            "2 options cannot be used: (1) workers: no (2) PREFORK_LISTEN: no. Correct them and start again."
        );
        assert_eq!(error.exit_code(), 78);
        let error = Error::Options(vec![bad("workers")]);
        assert_eq!(
            error.paragraph(),
            "workers: no. Correct the option and start again."
        );
    }

    #[test]
    fn a_question_is_not_followed_by_a_full_stop() {
        let error = Error::Options(vec![BadOption {
            place: "PREFORK_WORKER".to_owned(),
            reason: "did you mean PREFORK_WORKERS?".to_owned(),
        }]);
        let text = error.paragraph();
        assert!(
            text.contains("PREFORK_WORKERS? Correct the option"),
            "{text}"
        );
    }
}
