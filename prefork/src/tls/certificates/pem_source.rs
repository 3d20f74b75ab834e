//! The source of a certificate, a key or a client CA, and the errors about it: the option, the file
//! and the reason.
//!
//! These errors are logged, so they never contain text of a file. The error of a parser could: it
//! quotes the line that it rejects, and a key without line ends is one such line.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::{Error, TlsErrorKind};

/// The source of a PEM text: the option, its label and the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PemSource {
    pub(crate) option: &'static str,
    /// The variable that set the option, or the option's name.
    pub(crate) label: String,
    pub(crate) origin: PemOrigin,
}

/// Where a PEM text was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PemOrigin {
    File(PathBuf),
    /// The program contains the text.
    Program,
    /// The worker got the text from its master. The master knows the file.
    Master,
}

impl PemSource {
    /// An error about this PEM text. Two errors with the same text count as the same event.
    pub(super) fn error(&self, kind: TlsErrorKind, reason: impl Into<String>) -> Error {
        Error::Tls {
            option: self.option,
            label: self.to_string(),
            kind,
            reason: reason.into(),
            source: None,
        }
    }

    /// As [`error`](Self::error), with the error of a system call as its cause.
    pub(super) fn system_error(
        &self,
        kind: TlsErrorKind,
        reason: &str,
        source: io::Error,
    ) -> Error {
        Error::Tls {
            option: self.option,
            label: self.to_string(),
            kind,
            reason: reason.to_owned(),
            source: Some(source),
        }
    }
}

impl fmt::Display for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match &self.origin {
            // Escaped, because a path may contain line ends. Not truncated: its end matters most.
            PemOrigin::File(path) => {
                let path = path.to_string_lossy();
                write!(f, "{label} ('{}')", path.escape_debug())
            }
            PemOrigin::Program => write!(f, "{label} (bytes from the program)"),
            PemOrigin::Master => write!(f, "{label} (bytes from the master)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_contains_the_label_the_file_and_the_cause() {
        let provenance = PemSource {
            option: "tls_key",
            label: "PREFORK_TLS_KEY".to_owned(),
            origin: PemOrigin::File("/etc/x\n.pem".into()),
        };
        let denied = io::ErrorKind::PermissionDenied;
        let kind = TlsErrorKind::Unreadable;
        let error = provenance.system_error(kind, "the file cannot be read", denied.into());
        let line = error.chain();
        assert_eq!(
            line,
            r"PREFORK_TLS_KEY ('/etc/x\n.pem'): the file cannot be read: permission denied"
        );
        let source = std::error::Error::source(&error).expect("a cause");
        assert_eq!(source.to_string(), "permission denied");
    }

    #[test]
    fn the_text_contains_the_origin_of_bytes() {
        for (origin, text) in [
            (
                PemOrigin::Program,
                "tls_key (bytes from the program): the content is empty",
            ),
            (
                PemOrigin::Master,
                "tls_key (bytes from the master): the content is empty",
            ),
        ] {
            let provenance = PemSource {
                option: "tls_key",
                label: "tls_key".to_owned(),
                origin,
            };
            let error = provenance.error(TlsErrorKind::InvalidPem, "the content is empty");
            assert_eq!(error.to_string(), text);
        }
    }
}
