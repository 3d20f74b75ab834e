//! The TLS configuration of a worker, created from its bundle at the first use.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;

use super::bundle::TlsBundle;

/// The bundle of a worker, or after the first use the configuration.
#[derive(Debug)]
pub(crate) struct WorkerTls {
    config: Mutex<LazyConfig>,
    /// Whether `main` has the configuration and may do handshakes on any listener.
    is_used_by_main: AtomicBool,
}

#[derive(Debug)]
enum LazyConfig {
    /// No certificate is configured, or the master passed none.
    Missing,
    /// The memory file of the master, not read yet.
    File(OwnedFd),
    /// Read and checked in this process, in single-process mode.
    Local(Box<TlsBundle>),
    Created(Arc<ServerConfig>),
}

impl WorkerTls {
    /// Creates it from the file that the master passed.
    pub(crate) fn from_master(file: Option<OwnedFd>) -> Self {
        Self::of(file.map_or(LazyConfig::Missing, LazyConfig::File))
    }

    /// Creates it in single-process mode.
    pub(crate) fn local(bundle: TlsBundle) -> Self {
        Self::of(LazyConfig::Local(Box::new(bundle)))
    }

    fn of(config: LazyConfig) -> Self {
        Self {
            config: Mutex::new(config),
            is_used_by_main: AtomicBool::new(false),
        }
    }

    /// Notes that the code of the program has the configuration.
    pub(crate) fn note_use_by_main(&self) {
        self.is_used_by_main.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_used_by_main(&self) -> bool {
        self.is_used_by_main.load(Ordering::Relaxed)
    }

    /// Returns the one TLS configuration of this process.
    ///
    /// All listeners share its sessions, tickets and keys.
    ///
    /// # Errors
    /// There is no certificate, or one that this program cannot use.
    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, String> {
        let not_usable = |reason| format!("the certificate cannot be used: {reason}");
        // Other threads wait on this lock for the configuration.
        let mut lazy = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let bundle = match &*lazy {
            LazyConfig::Created(config) => return Ok(Arc::clone(config)),
            // The cause may also be a wrapper that clears the environment.
            LazyConfig::Missing => {
                return Err(
                    "there is no certificate: set tls_cert and tls_key; a wrapper of \
                     workers must not remove PREFORK_TLS"
                        .to_owned(),
                );
            }
            LazyConfig::File(file) => TlsBundle::read(file).map_err(not_usable)?,
            LazyConfig::Local(bundle) => TlsBundle::clone(bundle),
        };
        let config = bundle.server_config();
        let config = config.map_err(|error| not_usable(error.chain()))?;
        // Drops the bundle: the program keeps the configuration from now on.
        *lazy = LazyConfig::Created(Arc::clone(&config));
        Ok(config)
    }
}
