//! What a process that no master started reads before it binds or starts anything.

use crate::config::{Config, Environment, Resolved};
use crate::error::{Error, OptionError};

/// The result of reading all sources of options.
pub(super) struct Startup {
    pub(super) resolved: Resolved,
    pub(super) environment: Environment,
    /// The log lines at the beginning of a start.
    pub(super) warnings: Vec<String>,
    /// The errors of the options, or the error of `configure`.
    pub(super) result: Result<(), Error>,
}

/// Checks that the options ask for a master, which [`Prefork::start`](crate::Prefork::start) needs.
pub(super) fn check_has_master(config: &Config) -> Result<(), Error> {
    if config.workers > 0 {
        return Ok(());
    }
    Err(Error::Options(vec![OptionError {
        label: config.labels.workers.clone(),
        reason: "0 means single-process mode, which has no master to start; use run".to_owned(),
    }]))
}
