//! What an error ends a process with: a status, and a paragraph of what happened, where, and what to do.

use std::borrow::Cow;

use prefork_options::one_line;

use super::{Error, TlsReason, hint};

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
    /// | 71 | a system call is missing, the master could not go on, or a listener of a worker cannot accept any more |
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
            Self::Kernel { .. }
            | Self::Master { .. }
            | Self::Worker { .. }
            | Self::Accept { .. } => 71,
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
    fn way_out(&self) -> Cow<'static, str> {
        let text = match self {
            Self::Options(options) if options.len() > 1 => "Correct them and start again.",
            Self::Options(_) => "Correct the option and start again.",
            Self::Accept { .. } => {
                "Look for code that shuts down or closes the socket: all workers share it. A filter of system calls \
                 that refuses accept4 has the same effect."
            }
            Self::Explained { .. } => "Remove the variable to start.",
            Self::Configure { .. } => "Correct what it was given to read, or the function itself.",
            Self::Init { .. } => "This process did nothing else. Correct the function.",
            Self::Arguments { variable, .. } => {
                return Cow::Owned(format!(
                    "Give main one argument per listener, called like it where it has a name; \
                     {variable} replaces the list that it was written with."
                ));
            }
            Self::Argument { .. } => {
                "Mend what it is made from, or take it as a `Result<_, prefork::ArgError>`, with which the \
                 body is called all the same."
            }
            Self::Tls {
                reason: TlsReason::Missing | TlsReason::Unreadable,
                ..
            } => {
                "Check the path, and that the user of the master may read what is there; workers need not."
            }
            Self::Tls {
                reason: TlsReason::Expired(_) | TlsReason::NotYetValid(_),
                ..
            } => {
                "Renew it, or mend the clock; `openssl x509 -in FILE -noout -dates` shows its time."
            }
            Self::Tls {
                reason: TlsReason::NoRandom | TlsReason::NoClock | TlsReason::NotHandedOut,
                ..
            } => {
                "Check the limits of this process (open files, file sizes, memory), and its seccomp \
                 filter."
            }
            Self::Tls {
                option: "tls_client_ca",
                ..
            } => {
                "Give tls_client_ca the certificates of those who sign the clients', as PEM; \
                 `openssl x509 -in FILE -noout -text` shows one."
            }
            Self::Tls { .. } => {
                "Give tls_cert the server's certificate and those that lead to a root, tls_key its \
                 private key, both as PEM; `openssl x509 -in FILE -noout -text` shows one."
            }
            Self::Resolve { address, .. } if address.contains('%') => {
                "`ip link` shows the interfaces of this machine: correct the zone behind '%', or \
                 start the program after the interface."
            }
            Self::Resolve { .. } => "Check the host name and the machine's resolver.",
            Self::Listen {
                address,
                call,
                source,
                ..
            } => hint::listen(address, call, source),
            Self::Kernel { .. } => {
                "A master needs Linux 5.10 or newer and a seccomp filter that lets it manage \
                 processes; with workers = 0 the program serves without a master."
            }
            Self::Master { doing, source } | Self::Worker { doing, source } => {
                hint::system(doing, source)
            }
            Self::Start { call, source, .. } => hint::start(call, source),
            Self::Producer { .. } => "Correct the child producer.",
            Self::Hook { .. } => "The workers were stopped. Correct the hook.",
            Self::OverRecovery { variable, .. } => {
                return Cow::Owned(format!(
                    "The lines above say how each of them ended. Mend the cause, or raise \
                     recover_threshold ({variable})."
                ));
            }
            Self::Unkillable { .. } => {
                "They hang in the kernel, often on a file system that does not answer, or give back \
                 very much memory; `cat /proc/<pid>/stack` tells where."
            }
            Self::Role { .. } | Self::Inherited { .. } => {
                "These variables are a master's to set: start the program without them. A wrapper \
                 around workers has to execute the program in its own place."
            }
            Self::SecondRun { .. } => {
                "A process calls run once, at the beginning of main; each master needs a builder of \
                 its own."
            }
        };
        Cow::Borrowed(text)
    }

    /// What happened, where, what to do: one paragraph for stderr.
    pub(crate) fn paragraph(&self) -> String {
        // A line has a limit, and what to do stands at its end.
        const MAX_REASON: usize = 3_000;
        let reason = one_line(&self.one_line(), MAX_REASON);
        // The text of a cause may bring its own end of a sentence.
        let stop = if reason.ends_with(['?', '!', '.']) {
            ""
        } else {
            "."
        };
        format!("{reason}{stop} {}", self.way_out())
    }

    /// What happened and where, with its causes.
    pub(crate) fn one_line(&self) -> String {
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
    use crate::error::BadOption;

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
    fn a_cause_that_ends_with_a_full_stop_gets_no_second_one() {
        let error = Error::OverRecovery {
            exits: 9,
            threshold: 8,
            window: None,
            last: "worker 0 (pid 7) exited with status 1; it said: see the log for details."
                .to_owned(),
            variable: "MYAPP_RECOVER_THRESHOLD".to_owned(),
        };
        let text = error.paragraph();
        assert!(text.contains("for details. The lines above"), "{text}");
        assert!(
            text.ends_with("raise recover_threshold (MYAPP_RECOVER_THRESHOLD)."),
            "{text}"
        );
        let cause = io::Error::other("no route to host.");
        let error = Error::Init {
            process: "master".to_owned(),
            source: Box::new(crate::ArgError::new("cannot connect.").with_source(cause)),
        };
        let text = error.paragraph();
        assert!(
            text.starts_with(
                "init failed (master): cannot connect: no route to host. This process"
            ),
            "{text}"
        );
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
