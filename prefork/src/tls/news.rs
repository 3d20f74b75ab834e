//! What the master tells of its certificates between two starts.

use std::fmt;

use super::refusal::Refusal;

/// What happened to certificate and key since the last start. As text it is a line for the log.
#[derive(Debug)]
pub(crate) enum News {
    /// There is something new that serves from here on; what.
    Renewed(String),
    /// What is there now cannot be used, the last good ones serve on.
    Refused(Refusal),
    /// The certificate that serves has expired meanwhile, and there is no other.
    Expired(Refusal),
}

impl News {
    /// Whether somebody has to do something.
    pub(crate) fn is_bad(&self) -> bool {
        match self {
            Self::Renewed(_) => false,
            Self::Refused(_) | Self::Expired(_) => true,
        }
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renewed(what) => write!(f, "{what}; it serves from the next worker on"),
            Self::Refused(refusal) => {
                let why = refusal.one_line();
                write!(f, "{why}; what was read before serves on")
            }
            Self::Expired(refusal) => {
                write!(f, "{refusal}; it serves on, and clients will refuse it")
            }
        }
    }
}
