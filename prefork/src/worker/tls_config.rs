//! The TLS configuration of a worker, created from the master's certificate at its first use.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::ServerConfig;

use super::arg_error::ArgError;
use crate::tls::BundleSource;

/// The certificate from the master, or after the first use the configuration.
#[derive(Debug)]
pub(super) struct LazyTlsConfig {
    source: Mutex<Option<BundleSource>>,
    config: OnceLock<Arc<ServerConfig>>,
    /// Whether `main` has the configuration and may do handshakes on any listener.
    is_in_the_body: AtomicBool,
}

impl LazyTlsConfig {
    pub(super) fn new(source: Option<BundleSource>) -> Self {
        Self {
            source: Mutex::new(source),
            config: OnceLock::new(),
            is_in_the_body: AtomicBool::new(false),
        }
    }

    /// Notes that the code of the program has the configuration.
    pub(super) fn note_use_by_body(&self) {
        self.is_in_the_body.store(true, Ordering::Relaxed);
    }

    pub(super) fn body_does_tls(&self) -> bool {
        self.is_in_the_body.load(Ordering::Relaxed)
    }

    /// Returns the one TLS configuration of this process.
    ///
    /// All listeners share its sessions, tickets and keys.
    ///
    /// # Errors
    /// The master passed no certificate, or one that this program cannot read.
    pub(super) fn config(&self) -> Result<Arc<ServerConfig>, ArgError> {
        // Other threads wait on this lock for the configuration.
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let bundle = source.as_ref().ok_or_else(not_given)?;
        let config = bundle.server_config().map_err(not_usable)?;
        // Drop the source: the program keeps the configuration from now on.
        *source = None;
        Ok(Arc::clone(self.config.get_or_init(|| config)))
    }
}

/// The cause may also be a wrapper that clears the environment.
fn not_given() -> ArgError {
    ArgError::new(
        "the master passed no certificate: set tls_cert and tls_key; a wrapper of workers must not remove PREFORK_TLS",
    )
}

fn not_usable(reason: impl Display) -> ArgError {
    ArgError::new(format!(
        "the certificate that the master passed cannot be used: {reason}"
    ))
}
