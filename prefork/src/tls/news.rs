//! What the master tells of its certificates while it serves.

use std::fmt;

use super::refusal::{Provenance, Refusal};

/// What happened to certificate and key, or to the time that is left. As text it is a line for the log.
#[derive(Debug)]
pub(crate) enum News {
    /// There is something new that serves from here on.
    Renewed { change: Change, until: String },
    /// What is there now cannot be used, the last good ones serve on.
    Refused(Refusal),
    /// One certificate of the chain that serves leads nowhere; its number, from 1.
    Astray {
        provenance: Provenance,
        number: usize,
    },
    /// The certificate that serves expires soon, and there is no other.
    NearItsEnd {
        provenance: Provenance,
        until: String,
    },
    /// The certificate that serves has expired meanwhile, and there is no other.
    Expired(Refusal),
}

/// What is new in what serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(super) pair: bool,
    pub(super) client_ca: bool,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Good,
    /// Something goes wrong soon.
    Warning,
    /// Something is wrong now.
    Bad,
}

impl News {
    pub(crate) fn weight(&self) -> Weight {
        match self {
            Self::Renewed { .. } => Weight::Good,
            Self::Astray { .. } | Self::NearItsEnd { .. } => Weight::Warning,
            Self::Refused(_) | Self::Expired(_) => Weight::Bad,
        }
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renewed { change, until } => {
                let pair = format!("new certificate, good until {until}");
                let what = match (change.pair, change.client_ca) {
                    (true, true) => format!("{pair}, and new client CA"),
                    (true, false) => pair,
                    (false, _) => "new client CA".to_owned(),
                };
                write!(f, "{what}; it serves from the next worker on")
            }
            Self::Astray { provenance, number } => write!(
                f,
                "{provenance}: certificate {number} has signed none of those before it; where one is missing, clients \
                 find no way to a root"
            ),
            Self::Refused(refusal) => {
                let why = refusal.one_line();
                write!(f, "{why}; what was read before serves on")
            }
            Self::NearItsEnd { provenance, until } => {
                write!(
                    f,
                    "{provenance}: the certificate expires at {until}, and there is no newer one yet"
                )
            }
            Self::Expired(refusal) => {
                write!(f, "{refusal}; it serves on, and clients will refuse it")
            }
        }
    }
}
