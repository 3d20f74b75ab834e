//! In the place of a master, on systems where there is none: why, and the refusal to make one.
//!
//! What a master stands on has no like there: a process held by descriptor, a program executed by descriptor, an
//! end that is heard without asking.

use std::io;

use super::{Callbacks, Handle, Log, Unstarted};
use crate::config::Config;
use crate::error::Error;
use crate::supervisor::Readiness;

/// What a master would be made from.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) readiness: Readiness,
    pub(crate) blocking: Vec<usize>,
    pub(crate) callbacks: Callbacks,
    pub(crate) owns_signals: bool,
}

impl Setup {
    /// # Errors
    /// Always.
    #[expect(clippy::unused_self, reason = "the master that would be has one")]
    pub(crate) fn run(self, _log: Log) -> Result<(), Error> {
        Err(refusal())
    }

    /// # Errors
    /// Always.
    pub(crate) fn start(self, log: Log) -> Result<Handle, Box<Unstarted>> {
        Err(Box::new(Unstarted {
            error: refusal(),
            callbacks: self.callbacks,
            log,
        }))
    }
}

/// Why this system cannot have a master.
pub(crate) const WHY_THERE_IS_NONE: Option<&str> = Some("a master needs Linux");

/// # Errors
/// Always.
pub(crate) fn rehearse(_config: &Config) -> Result<(), Error> {
    Err(refusal())
}

/// # Errors
/// Always.
pub(crate) fn hold_signals() -> Result<(), Error> {
    Err(refusal())
}

fn refusal() -> Error {
    Error::Kernel {
        call: "pidfd_open",
        source: io::ErrorKind::Unsupported.into(),
    }
}
