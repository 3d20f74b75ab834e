//! The TLS configuration of a worker, created from the master's certificate at its first use.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::ServerConfig;

use super::{ArgError, Argument, ArgumentInfo, ArgumentKind, Worker};
use crate::net::TlsListener;
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

    pub(super) fn body_does_tls(&self) -> bool {
        self.is_in_the_body.load(Ordering::Relaxed)
    }

    /// Returns the one TLS configuration of this process.
    ///
    /// All listeners share its sessions, tickets and keys.
    ///
    /// # Errors
    /// The master passed no certificate, or one that this program cannot read.
    fn config(&self) -> Result<Arc<ServerConfig>, ArgError> {
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

impl Worker {
    /// Returns the TLS configuration that the master checked and passed.
    ///
    /// It contains the certificates, the key, the protocols, and the ticket keys that all workers
    /// share. It is for code that performs the handshakes itself. Each call returns the same
    /// configuration.
    ///
    /// # Errors
    /// `tls_cert` and `tls_key` are not set, or this program cannot use what the master passed.
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_config(&self) -> Result<Arc<ServerConfig>, ArgError> {
        let tls = self.context.tls();
        let config = tls.config()?;
        tls.is_in_the_body.store(true, Ordering::Relaxed);
        Ok(config)
    }

    /// Takes a listener by its name, as a listener with TLS.
    ///
    /// The listener gets TLS even if its address does not have `tls://`.
    ///
    /// # Errors
    /// - No listener has this name.
    /// - An argument of `main` or an earlier call has already taken the listener.
    /// - [`tls_config`](Self::tls_config) would fail.
    ///
    /// # Examples
    /// A server for which the operator decides about TLS (`PREFORK_LISTEN=tls://…`):
    /// ```no_run
    /// # async fn serve(_: impl Sized) -> std::io::Result<()> { Ok(()) }
    /// #[prefork::main(listen = "admin=127.0.0.1:9000", workers = 2)]
    /// async fn main(worker: prefork::Worker) -> std::io::Result<()> {
    ///     if worker.listener_info("admin")?.transport() == prefork::Transport::Tls {
    ///         serve(worker.tls_listener("admin")?).await
    ///     } else {
    ///         serve(worker.listener("admin")?).await
    ///     }
    /// }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_listener(&self, name: &str) -> Result<TlsListener, ArgError> {
        self.context.handle_sigterm();
        let config = self.context.tls().config()?;
        let listener = self.context.listener(self.index_of(name)?)?;
        Ok(TlsListener::new(listener, config))
    }
}

impl Argument for TlsListener {
    const KIND: ArgumentKind = ArgumentKind::TlsListener;

    fn from_worker(worker: &Worker, request: &ArgumentInfo<'_>) -> Result<Self, ArgError> {
        let config = worker.context.tls().config()?;
        let listener = worker.context.listener(request.listener()?)?;
        Ok(Self::new(listener, config))
    }
}

impl Argument for Arc<ServerConfig> {
    const KIND: ArgumentKind = ArgumentKind::TlsConfig;

    fn from_worker(worker: &Worker, _request: &ArgumentInfo<'_>) -> Result<Self, ArgError> {
        worker.tls_config()
    }
}
