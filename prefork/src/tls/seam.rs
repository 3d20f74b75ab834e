//! The only place that depends on feature `tls`: how the master and the worker get their part of
//! TLS.
//!
//! - The master holds an optional [`CertificateSource`]. It asks for the file of each worker and
//!   logs the events.
//! - The worker turns the descriptor of that file into [`WorkerTls`].
//! - Without the feature there is no source. The options of TLS were rejected before.

use std::time::SystemTime;

use super::certificate_source::{CertificateSource, TlsEvent};
#[cfg(feature = "tls")]
use super::certificates::CertificateStore;
#[cfg(feature = "tls")]
pub(crate) use super::certificates::WorkerTls;
use crate::config::Config;
use crate::error::Error;

/// Whether this program is built with feature `tls`.
pub(crate) const HAS_TLS: bool = cfg!(feature = "tls");

/// Reads and checks the certificate and the key; `None` if none is configured.
///
/// # Errors
/// They cannot be used.
pub(crate) fn certificate_source(
    config: &Config,
    now: SystemTime,
) -> Result<Option<Box<dyn CertificateSource>>, Error> {
    #[cfg(feature = "tls")]
    if let Some(store) = CertificateStore::of(config, now)? {
        return Ok(Some(Box::new(store)));
    }
    let _ = (config, now);
    Ok(None)
}

/// Reads the certificate and the key in single-process mode.
///
/// Also returns the events that a master would log after its start.
///
/// # Errors
/// Those of a master.
pub(crate) fn local_tls(
    config: &Config,
    now: SystemTime,
) -> Result<(WorkerTls, Vec<TlsEvent>), Error> {
    #[cfg(feature = "tls")]
    if let Some(mut store) = CertificateStore::of(config, now)? {
        let events = store.warnings(now);
        return Ok((WorkerTls::local(store.into_bundle()), events));
    }
    let _ = (config, now);
    Ok((WorkerTls::from_master(None), Vec::new()))
}

/// How code gets a listener with TLS.
pub(crate) const LISTENER_HELP: &str = if HAS_TLS {
    "call worker.tls_listener, or call worker.tls_config first"
} else {
    // The master has the feature, so this is another program, which a `child_producer` selected.
    "build this program with feature `tls` of prefork"
};

/// A worker whose program cannot read the file of its master.
#[cfg(not(feature = "tls"))]
#[derive(Debug)]
pub(crate) struct WorkerTls;

#[cfg(not(feature = "tls"))]
impl WorkerTls {
    /// Closes the file.
    pub(crate) fn from_master(_file: Option<std::os::fd::OwnedFd>) -> Self {
        Self
    }

    pub(crate) fn is_used_by_main(&self) -> bool {
        false
    }
}
