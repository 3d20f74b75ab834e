//! Why a certificate, a key or a client CA cannot be used: which option, which file, what is wrong with it.
//!
//! A refusal goes to logs. No text of a file ever stands in it, also not where a parser's own error would quote the line
//! that it stumbled over: a key whose line ends were lost is one such line.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::Error;
pub(crate) use crate::error::TlsReason as Reason;

/// Something that TLS cannot be spoken with.
#[derive(Debug, thiserror::Error)]
#[error("{provenance}: {reason}")]
pub(crate) struct Refusal {
    pub(crate) provenance: Provenance,
    pub(crate) reason: Reason,
    /// What the system said, where it was asked.
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

    /// What was refused and why, with the cause: the same words mean that nothing new happened.
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

/// Where a text came from: by which option, who said that, and from which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provenance {
    pub(crate) option: &'static str,
    /// The variable, else the option.
    pub(crate) said_by: String,
    pub(crate) holder: Holder,
}

/// Who had the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    File(PathBuf),
    /// The program gave the text itself.
    Program,
    /// A worker got it from its master, who knows which file it was.
    Master,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said_by = &self.said_by;
        match &self.holder {
            // Escaped, since a path may hold line ends; not cut, since its end tells most.
            Holder::File(path) => {
                let path = path.to_string_lossy();
                write!(f, "{said_by} ('{}')", path.escape_debug())
            }
            Holder::Program => write!(f, "{said_by} (bytes from the program)"),
            Holder::Master => write!(f, "{said_by} (bytes from the master)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_who_said_it_the_file_and_the_cause() {
        let provenance = Provenance {
            option: "tls_key",
            said_by: "PREFORK_TLS_KEY".to_owned(),
            holder: Holder::File("/etc/x\n.pem".into()),
        };
        let denied = io::ErrorKind::PermissionDenied;
        let refusal = Refusal::from_system(&provenance, Reason::Unreadable, denied.into());
        let line = refusal.one_line();
        assert_eq!(
            line,
            r"PREFORK_TLS_KEY ('/etc/x\n.pem'): cannot be read: permission denied"
        );
        let source = std::error::Error::source(&refusal).expect("a cause");
        assert_eq!(source.to_string(), "permission denied");
    }

    #[test]
    fn bytes_are_named_by_who_had_them() {
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
            let refusal = Refusal::new(&provenance, Reason::Empty);
            assert_eq!(refusal.to_string(), text);
        }
    }
}
