//! Replaces the master on systems that cannot have one: every start returns an error.
//!
//! A master is built on facilities of Linux: a process held by descriptor (`pidfd_open(2)`), a
//! program executed by descriptor (`execveat(2)`), and exits that are reported without polling.

use std::io;

use super::{Handle, Log};
use crate::config::Config;
use crate::error::Error;
use crate::hook::Hooks;
use crate::listen::OnSocket;
use crate::spawn::CommandHook;
use crate::supervisor::Readiness;

/// The input of a start, as on Linux.
pub(crate) struct MasterSetup {
    pub(crate) config: Config,
    pub(crate) readiness: Readiness,
    pub(crate) blocking: Vec<usize>,
    pub(crate) producer: Option<CommandHook>,
    pub(crate) on_socket: Option<OnSocket>,
    pub(crate) hooks: Hooks,
    pub(crate) owns_signals: bool,
}

impl MasterSetup {
    /// # Errors
    /// Always.
    #[expect(clippy::unused_self, reason = "same signature as on Linux")]
    pub(crate) fn run(self, _log: Log) -> Result<(), Error> {
        Err(unsupported())
    }

    /// # Errors
    /// Always.
    #[expect(clippy::unused_self, reason = "same signature as on Linux")]
    pub(crate) fn start(self, _log: Log) -> Result<Handle, Error> {
        Err(unsupported())
    }
}

/// The reason why this system cannot have a master.
pub(crate) const UNSUPPORTED: Option<&str> = Some("a master needs Linux");

/// # Errors
/// Always.
pub(crate) fn preflight(_config: &Config) -> Result<(), Error> {
    Err(unsupported())
}

/// # Errors
/// Always.
pub(crate) fn block_signals() -> Result<(), Error> {
    Err(unsupported())
}

fn unsupported() -> Error {
    Error::UnsupportedSystemCall {
        call: "pidfd_open",
        source: io::ErrorKind::Unsupported.into(),
    }
}
