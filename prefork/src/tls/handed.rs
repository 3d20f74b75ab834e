//! Where a worker gets its TLS bundle from: the master, or the configuration in single-process mode.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;

use super::{Keeper, News, Parcel};
use crate::config::Config;
use crate::error::Error;

/// The source of the TLS bundle, kept until `main` needs the configuration.
#[derive(Debug)]
pub(crate) enum Handed {
    /// The memory file of the master, not read yet.
    File(OwnedFd),
    /// Read and checked in this process.
    Here(Box<Parcel>),
}

impl Handed {
    /// Creates it in single-process mode; `None` if no certificate is configured.
    ///
    /// Also returns the events that a master would log after its start.
    ///
    /// # Errors
    /// Those of a master.
    pub(crate) fn by_itself(
        config: &Config,
        now: SystemTime,
    ) -> Result<(Option<Self>, Vec<News>), Error> {
        let Some(mut store) = Keeper::of(config, now)? else {
            return Ok((None, Vec::new()));
        };
        let events = store.concerns(now);
        Ok((Some(Self::Here(Box::new(store.into_parcel()))), events))
    }

    /// Creates the configuration of a TLS server.
    ///
    /// # Errors
    /// The file does not come from a master, or this program cannot use its contents.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, String> {
        let bundle = match self {
            Self::File(fd) => Parcel::read(fd)?,
            Self::Here(bundle) => Parcel::clone(bundle),
        };
        bundle.server_config().map_err(|error| error.one_line())
    }
}
