//! The source of a certificate, a key or a client CA, and the errors about it: the option, the file
//! and the reason.
//!
//! These errors are logged, so they never contain text of a file. The error of a parser could: it
//! quotes the line that it rejects, and a key without line ends is one such line.

use std::io;

use prefork_options::Pem;

use crate::error::{Error, TlsErrorKind};

/// The source of a PEM text: the option and its label in errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PemSource {
    pub(crate) option: &'static str,
    /// The variable that set the option, or the option's name, and the file.
    pub(crate) label: String,
}

impl PemSource {
    /// Creates the source of an option that a variable or the program set.
    pub(super) fn new(option: &'static str, label: &str, pem: &Pem) -> Self {
        let label = match pem {
            // Escaped, because a path may contain line ends. Not truncated: its end matters most.
            Pem::Path(path) => format!("{label} ('{}')", path.to_string_lossy().escape_debug()),
            Pem::Bytes(_) => format!("{label} (bytes from the program)"),
        };
        Self { option, label }
    }

    /// Creates the source of a text that a worker got from its master. The master knows the file.
    pub(super) fn bundle(option: &'static str) -> Self {
        let label = format!("{option} (bytes from the master)");
        Self { option, label }
    }

    /// An error about this PEM text. Two errors with the same text count as the same event.
    pub(super) fn error(&self, kind: TlsErrorKind, reason: impl Into<String>) -> Error {
        Error::Tls {
            option: self.option,
            label: self.label.clone(),
            kind,
            reason: reason.into(),
            source: None,
        }
    }

    /// As [`error`](Self::error), with the error of a system call as its cause.
    pub(super) fn system_error(&self, kind: TlsErrorKind, reason: &str, error: io::Error) -> Error {
        Error::Tls {
            option: self.option,
            label: self.label.clone(),
            kind,
            reason: reason.to_owned(),
            source: Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_contains_the_label_the_file_and_the_cause() {
        let pem = Pem::Path("/etc/x\n.pem".into());
        let source = PemSource::new("tls_key", "PREFORK_TLS_KEY", &pem);
        let denied = io::ErrorKind::PermissionDenied;
        let kind = TlsErrorKind::Unreadable;
        let error = source.system_error(kind, "the file cannot be read", denied.into());
        assert_eq!(
            error.chain(),
            r"PREFORK_TLS_KEY ('/etc/x\n.pem'): the file cannot be read: permission denied"
        );
        let source = std::error::Error::source(&error).expect("a cause");
        assert_eq!(source.to_string(), "permission denied");
    }

    #[test]
    fn the_text_contains_the_origin_of_bytes() {
        let program = PemSource::new("tls_key", "tls_key", &Pem::Bytes(b"".into()));
        for (source, text) in [
            (
                program,
                "tls_key (bytes from the program): the content is empty",
            ),
            (
                PemSource::bundle("tls_key"),
                "tls_key (bytes from the master): the content is empty",
            ),
        ] {
            let error = source.error(TlsErrorKind::InvalidPem, "the content is empty");
            assert_eq!(error.to_string(), text);
        }
    }
}
