//! The error of a certificate, a key or a client CA: the option, the file and the reason.
//!
//! It is logged, so it never contains text of a file. The error of a parser could: it quotes the
//! line that it rejects, and a key without line ends is one such line.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::Error;
pub(crate) use crate::error::TlsErrorKind as Reason;

/// A certificate, a key or a client CA that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{pem_source}: {reason}")]
pub(crate) struct TlsError {
    pub(crate) pem_source: PemSource,
    pub(crate) reason: Reason,
    /// The error of the system call, if one failed.
    #[source]
    pub(crate) source: Option<io::Error>,
}

impl TlsError {
    pub(crate) fn new(provenance: &PemSource, reason: Reason) -> Self {
        Self {
            pem_source: provenance.clone(),
            reason,
            source: None,
        }
    }

    pub(crate) fn from_system(provenance: &PemSource, reason: Reason, source: io::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::new(provenance, reason)
        }
    }

    /// The error with its cause. Two errors with the same text count as the same event.
    pub(crate) fn chain(&self) -> String {
        match &self.source {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls {
            option: error.pem_source.option,
            label: error.pem_source.to_string(),
            reason: error.reason,
            source: error.source,
        }
    }
}

/// The source of a PEM text: the option, its label and the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PemSource {
    pub(crate) option: &'static str,
    /// The variable that set the option, or the option's name.
    pub(crate) label: String,
    pub(crate) holder: PemOrigin,
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

impl fmt::Display for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match &self.holder {
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
            holder: PemOrigin::File("/etc/x\n.pem".into()),
        };
        let denied = io::ErrorKind::PermissionDenied;
        let error = TlsError::from_system(&provenance, Reason::Unreadable, denied.into());
        let line = error.chain();
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
                PemOrigin::Program,
                "tls_key (bytes from the program): is empty",
            ),
            (
                PemOrigin::Master,
                "tls_key (bytes from the master): is empty",
            ),
        ] {
            let provenance = PemSource {
                option: "tls_key",
                label: "tls_key".to_owned(),
                holder,
            };
            let error = TlsError::new(&provenance, Reason::Empty);
            assert_eq!(error.to_string(), text);
        }
    }
}
