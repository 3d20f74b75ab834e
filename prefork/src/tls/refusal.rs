//! The error of a certificate, a key or a client CA: the option, the file and the reason.
//!
//! It is logged, so it never contains text of a file. The error of a parser could: it quotes the line
//! that it rejects, and a key without line ends is one such line.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::Error;
pub(crate) use crate::error::TlsErrorKind as Reason;

/// A certificate, a key or a client CA that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{provenance}: {reason}")]
pub(crate) struct Refusal {
    pub(crate) provenance: Provenance,
    pub(crate) reason: Reason,
    /// The error of the system call, if one failed.
    #[source]
    pub(crate) source: Option<io::Error>,
}

impl Refusal {
    pub(crate) fn new(provenance: &Provenance, reason: Reason) -> Self {
        Self {
            provenance: provenance.clone(),
            reason,
            source: None,
        }
    }

    pub(crate) fn from_system(provenance: &Provenance, reason: Reason, source: io::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::new(provenance, reason)
        }
    }

    /// The error with its cause. Two errors with the same text count as the same event.
    pub(crate) fn one_line(&self) -> String {
        match &self.source {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Tls {
            option: refusal.provenance.option,
            place: refusal.provenance.to_string(),
            reason: refusal.reason,
            source: refusal.source,
        }
    }
}

/// The source of a PEM text: the option, its label and the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provenance {
    pub(crate) option: &'static str,
    /// The variable that set the option, or the option's name.
    pub(crate) said_by: String,
    pub(crate) holder: Holder,
}

/// Where a PEM text was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    File(PathBuf),
    /// The program contains the text.
    Program,
    /// The worker got the text from its master. The master knows the file.
    Master,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.said_by;
        match &self.holder {
            // Escaped, because a path may contain line ends. Not truncated: its end matters most.
            Holder::File(path) => {
                let path = path.to_string_lossy();
                write!(f, "{label} ('{}')", path.escape_debug())
            }
            Holder::Program => write!(f, "{label} (bytes from the program)"),
            Holder::Master => write!(f, "{label} (bytes from the master)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_contains_the_label_the_file_and_the_cause() {
        let provenance = Provenance {
            option: "tls_key",
            said_by: "PREFORK_TLS_KEY".to_owned(),
            holder: Holder::File("/etc/x\n.pem".into()),
        };
        let denied = io::ErrorKind::PermissionDenied;
        let error = Refusal::from_system(&provenance, Reason::Unreadable, denied.into());
        let line = error.one_line();
        assert_eq!(
            line,
            r"PREFORK_TLS_KEY ('/etc/x\n.pem'): cannot be read: permission denied"
        );
        let source = std::error::Error::source(&error).expect("a cause");
        assert_eq!(source.to_string(), "permission denied");
    }

    #[test]
    fn the_text_contains_the_origin_of_bytes() {
        for (holder, text) in [
            (
                Holder::Program,
                "tls_key (bytes from the program): is empty",
            ),
            (Holder::Master, "tls_key (bytes from the master): is empty"),
        ] {
            let provenance = Provenance {
                option: "tls_key",
                said_by: "tls_key".to_owned(),
                holder,
            };
            let error = Refusal::new(&provenance, Reason::Empty);
            assert_eq!(error.to_string(), text);
        }
    }
}
