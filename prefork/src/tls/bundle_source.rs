//! Where a worker gets its TLS bundle from: the master, or the configuration in single-process
//! mode.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;

use super::{CertificateStore, TlsBundle, TlsEvent};
use crate::config::Config;
use crate::error::Error;

/// The source of the TLS bundle, kept until `main` needs the configuration.
#[derive(Debug)]
pub(crate) enum BundleSource {
    /// The memory file of the master, not read yet.
    File(OwnedFd),
    /// Read and checked in this process.
    Local(Box<TlsBundle>),
}

impl BundleSource {
    /// Creates it in single-process mode; `None` if no certificate is configured.
    ///
    /// Also returns the events that a master would log after its start.
    ///
    /// # Errors
    /// Those of a master.
    pub(crate) fn from_config(
        config: &Config,
        now: SystemTime,
    ) -> Result<(Option<Self>, Vec<TlsEvent>), Error> {
        let Some(mut store) = CertificateStore::of(config, now)? else {
            return Ok((None, Vec::new()));
        };
        let events = store.warnings(now);
        Ok((Some(Self::Local(Box::new(store.into_bundle()))), events))
    }

    /// Creates the configuration of a TLS server.
    ///
    /// # Errors
    /// The file does not come from a master, or this program cannot use its contents.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, String> {
        let bundle = match self {
            Self::File(fd) => TlsBundle::read(fd)?,
            Self::Local(bundle) => TlsBundle::clone(bundle),
        };
        bundle.server_config().map_err(|error| error.chain())
    }
}
