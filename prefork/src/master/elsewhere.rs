//! In the place of a master, on systems where there is none: why, and the refusal to make one.
//!
//! What a master stands on has no like there: a process held by descriptor, a program executed by descriptor, an
//! end that is heard without asking.

use std::io;

use super::{Handle, Log};
use crate::config::Config;
use crate::error::Error;
use crate::hook::Hooks;
use crate::spawn::Producer;
use crate::supervisor::Readiness;

/// What a master would be made from.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) readiness: Readiness,
    pub(crate) blocking: Vec<usize>,
    pub(crate) producer: Option<Producer>,
    pub(crate) hooks: Hooks,
    pub(crate) owns_signals: bool,
}

#[expect(clippy::unused_self, reason = "the master that would be has one")]
impl Setup {
    /// # Errors
    /// Always.
    pub(crate) fn run(self, _log: Log) -> Result<(), Error> {
        Err(refusal())
    }

    /// # Errors
    /// Always.
    pub(crate) fn start(self, _log: Log) -> Result<Handle, Error> {
        Err(refusal())
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
