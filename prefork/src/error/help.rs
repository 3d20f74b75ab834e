//! Exit status and help text of each error.

use std::borrow::Cow;

use prefork_options::one_line;

use super::{Error, TlsErrorKind, hint};

impl Error {
    /// Returns the exit status of the generated `main`.
    ///
    /// The statuses are those of `sysexits.h` where they match:
    ///
    /// | status | what happened |
    /// |---|---|
    /// | 0 | `PREFORK_EXPLAIN` is set: nothing was started |
    /// | 68 | a host name could not be resolved |
    /// | 69 | a listening socket could not be created |
    /// | 70 | `run` was called twice or inside a worker; `init`, a hook or `child_producer` failed |
    /// | 71 | a system call is missing; the master or the worker could not continue; a listener can no longer accept |
    /// | 72 | a worker could not be started |
    /// | 74 | workers did not exit after SIGKILL |
    /// | 75 | more workers exited unexpectedly than `recover_threshold` allows |
    /// | 76 | the variables or descriptors of a worker are not those that a master sets |
    /// | 78 | an option is invalid; a socket of socket activation fits no listener; `configure` failed; a certificate or key cannot be used; an argument of `main` has no listener or cannot be created |
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Resolve { .. } => 68,
            Self::Listen { .. } => 69,
            Self::AlreadyRunning { .. }
            | Self::Init { .. }
            | Self::Producer { .. }
            | Self::Hook { .. } => 70,
            Self::UnsupportedSystemCall { .. }
            | Self::Master { .. }
            | Self::Worker { .. }
            | Self::Accept { .. } => 71,
            Self::Spawn { .. } => 72,
            Self::Unkillable { .. } => 74,
            Self::OverRecovery { .. } => 75,
            Self::InvalidChildEnv { .. } | Self::Inherited { .. } => 76,
            Self::Options(_)
            | Self::Activation { .. }
            | Self::Configure { .. }
            | Self::Tls { .. }
            | Self::Arguments { .. }
            | Self::Argument { .. } => 78,
        }
    }

    /// What to do, as a sentence.
    fn help(&self) -> Cow<'static, str> {
        let text = match self {
            Self::Options(options) if options.len() > 1 => "Correct the options and start again.",
            Self::Options(_) => "Correct the option and start again.",
            Self::Accept { .. } => {
                "Look for code that shuts down or closes the socket: all workers share it. A seccomp filter \
                 that rejects accept4 has the same effect."
            }
            Self::Configure { .. } => {
                "Correct the configure function, or the input that it reads, such as flags and files."
            }
            Self::Init { .. } => "Correct the init function. Nothing was bound or started.",
            Self::Arguments { variable, .. } => {
                return Cow::Owned(format!(
                    "Give main one argument per listener; the argument of a named listener has the same \
                     name. {variable} overrides the listeners."
                ));
            }
            Self::Argument { .. } => {
                "Fix the cause, or take the argument as `Result<_, prefork::FromWorkerError>` to handle the \
                 failure in main."
            }
            Self::Tls {
                kind: TlsErrorKind::Unreadable,
                ..
            } => {
                "Check that the path is correct and that the user of the master may read the file; workers \
                 do not read it."
            }
            Self::Tls {
                kind: TlsErrorKind::OutsideValidity,
                ..
            } => {
                "Renew the certificate or correct the clock; `openssl x509 -in FILE -noout -dates` shows \
                 the dates."
            }
            Self::Tls {
                kind: TlsErrorKind::System,
                ..
            } => {
                "Check the limits of this process (open files, file size, memory) and its seccomp filter."
            }
            Self::Tls {
                option: "tls_client_ca",
                ..
            } => {
                "tls_client_ca takes the CA certificates that sign client certificates, as PEM; \
                 `openssl x509 -in FILE -noout -text` shows a certificate."
            }
            Self::Tls { .. } => {
                "tls_cert takes the certificate of the server followed by the intermediate certificates, \
                 tls_key takes its private key, both as PEM; `openssl x509 -in FILE -noout -text` \
                 shows a certificate."
            }
            Self::Resolve { address, .. } if address.contains('%') => {
                "`ip link` lists the interfaces of this machine: correct the zone after '%', or start \
                 the program after the interface is up."
            }
            Self::Resolve { .. } => "Check the host name and the resolver of this machine.",
            Self::Listen {
                address,
                call,
                source,
                ..
            } => hint::listen(address, call, source),
            Self::Activation { .. } => {
                "The socket unit names its sockets with `FileDescriptorName=` (systemd.socket(5)): use the \
                 name or the address of the listener."
            }
            Self::UnsupportedSystemCall { .. } => {
                "A master needs Linux 5.10 or newer and a seccomp filter that allows it to manage \
                 processes. With workers = 0 one process serves without a master."
            }
            Self::Master { doing, source } | Self::Worker { doing, source } => {
                hint::system(doing, source)
            }
            Self::Spawn { call, source, .. } => hint::start(call, source),
            Self::Producer { .. } => "Correct the child_producer function.",
            Self::Hook { .. } => "All workers were stopped. Correct the hook.",
            Self::OverRecovery { variable, .. } => {
                return Cow::Owned(format!(
                    "See the log above for each exit. Fix the cause or raise recover_threshold ({variable})."
                ));
            }
            Self::Unkillable { .. } => {
                "They are stuck in the kernel, often on an unresponsive network file system, or still \
                 free a large amount of memory; `cat /proc/<pid>/stack` shows where."
            }
            Self::InvalidChildEnv { .. } | Self::Inherited { .. } => {
                "Only a master sets these variables: start the program without them. A wrapper of workers \
                 must execute the program in the same process."
            }
            Self::AlreadyRunning { .. } => {
                "Call run once in a process, at the beginning of main, and create a new builder for each \
                 master."
            }
        };
        Cow::Borrowed(text)
    }

    /// What happened, to what, why, and what to do: one paragraph for stderr.
    pub(crate) fn report(&self) -> String {
        // The length of a line is limited, and the help is at its end.
        const MAX_REASON: usize = 3_000;
        let reason = one_line(&self.chain(), MAX_REASON);
        // The text of a cause may end with a full stop.
        let stop = if reason.ends_with(['?', '!', '.']) {
            ""
        } else {
            "."
        };
        format!("{reason}{stop} {}", self.help())
    }

    /// The error and its causes, without the help.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.truncate(text.trim_end_matches(['.', ' ']).len());
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::OptionError;

    #[test]
    fn the_report_names_what_failed_the_cause_and_what_to_do() {
        let error = Error::Listen {
            listener: "http".to_owned(),
            address: "127.0.0.1:80".to_owned(),
            call: "bind",
            source: io::ErrorKind::AddrInUse.into(),
        };
        let text = error.report();
        assert!(text.starts_with("listener 'http': cannot bind 127.0.0.1:80: "));
        assert!(text.contains("ss -ltnp"), "{text}");
    }

    #[test]
    fn a_cause_that_ends_with_a_full_stop_gets_no_second_one() {
        let error = Error::OverRecovery {
            exits: 9,
            threshold: 8,
            window: None,
            last: "worker 0 (pid 7) exited with status 1: see the log for details.".to_owned(),
            variable: "MYAPP_RECOVER_THRESHOLD".to_owned(),
        };
        let text = error.report();
        assert!(text.contains("for details. See the log above"), "{text}");
        assert!(
            text.ends_with("raise recover_threshold (MYAPP_RECOVER_THRESHOLD)."),
            "{text}"
        );
        let cause = io::Error::other("no route to host.");
        let error = Error::Init {
            process: "master".to_owned(),
            source: Box::new(crate::FromWorkerError::new("cannot connect.").with_source(cause)),
        };
        let text = error.report();
        assert!(
            text.starts_with(
                "init failed (master): cannot connect: no route to host. Correct the init function"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_long_reason_is_cut_before_the_help() {
        let error = Error::Init {
            process: "master".to_owned(),
            source: "\n".repeat(10_000).into(),
        };
        let text = error.report();
        assert!(text.ends_with("\\n…. Correct the init function. Nothing was bound or started."));
        assert!(text.len() < 3_200, "{}", text.len());
    }

    #[test]
    fn every_invalid_option_is_named() {
        let invalid = |label: &str| OptionError {
            label: label.to_owned(),
            reason: "no".to_owned(),
        };
        let error = Error::Options(vec![invalid("workers"), invalid("PREFORK_LISTEN")]);
        assert_eq!(
            error.report(),
            "2 options are invalid: (1) workers: no (2) PREFORK_LISTEN: no. Correct the options and start again."
        );
        assert_eq!(error.exit_code(), 78);
        let error = Error::Options(vec![invalid("workers")]);
        assert_eq!(
            error.report(),
            "workers: no. Correct the option and start again."
        );
    }

    #[test]
    fn a_question_is_not_followed_by_a_full_stop() {
        let error = Error::Options(vec![OptionError {
            label: "PREFORK_WORKER".to_owned(),
            reason: "did you mean PREFORK_WORKERS?".to_owned(),
        }]);
        let text = error.report();
        assert!(
            text.contains("PREFORK_WORKERS? Correct the option"),
            "{text}"
        );
    }
}
