//! Events of certificates that the master logs.

use std::fmt;

use super::error::{PemSource, TlsError};

/// An event of the certificate, the key or the client CA. Its text is a log line.
#[derive(Debug)]
pub(crate) enum TlsEvent {
    /// The sources changed, and the new credentials are active.
    Renewed { change: Change, until: String },
    /// The sources changed, and the new credentials cannot be used.
    Rejected(TlsError),
    /// A certificate of the active chain is unrelated to the others; its number, from 1.
    UnrelatedCertificate {
        provenance: PemSource,
        number: usize,
    },
    /// The active certificate expires soon.
    NearItsEnd {
        provenance: PemSource,
        until: String,
    },
    /// The active certificate has expired.
    Expired(TlsError),
}

/// What changed in a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(super) pair: bool,
    pub(super) client_ca: bool,
}

/// The log level of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsEventLevel {
    Info,
    /// Clients will reject the certificate soon, or some of them do.
    Warning,
    /// The new credentials cannot be used, or clients reject the certificate.
    Error,
}

impl TlsEvent {
    pub(crate) fn level(&self) -> TlsEventLevel {
        match self {
            Self::Renewed { .. } => TlsEventLevel::Info,
            Self::UnrelatedCertificate { .. } | Self::NearItsEnd { .. } => TlsEventLevel::Warning,
            Self::Rejected(_) | Self::Expired(_) => TlsEventLevel::Error,
        }
    }
}

impl fmt::Display for TlsEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renewed { change, until } => {
                let pair = format!("new certificate, valid until {until}");
                let change = match (change.pair, change.client_ca) {
                    (true, true) => format!("{pair}, and new client CA"),
                    (true, false) => pair,
                    (false, _) => "new client CA".to_owned(),
                };
                write!(f, "{change}; used by all workers that start from now on")
            }
            Self::UnrelatedCertificate { provenance, number } => write!(
                f,
                "{provenance}: certificate {number} is not the issuer of any certificate before it; if an intermediate \
                 certificate is missing, clients reject the chain"
            ),
            Self::Rejected(error) => {
                let error = error.chain();
                write!(f, "{error}; keeping the previous certificate")
            }
            Self::NearItsEnd { provenance, until } => {
                write!(
                    f,
                    "{provenance}: the certificate expires at {until}; renew it"
                )
            }
            Self::Expired(error) => {
                write!(
                    f,
                    "{error} and is still in use: clients reject it until it is renewed"
                )
            }
        }
    }
}
