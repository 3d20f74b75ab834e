//! The methods of `Worker` and the arguments of `main` for TLS.

use std::sync::Arc;

use rustls::ServerConfig;

use super::net::TlsListener;
use crate::worker::{ArgumentInfo, FromWorker, FromWorkerError, Needs, Worker};

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
    pub fn tls_config(&self) -> Result<Arc<ServerConfig>, FromWorkerError> {
        let config = config_of(self)?;
        self.context.tls.note_use_by_main();
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
    pub fn tls_listener(&self, name: &str) -> Result<TlsListener, FromWorkerError> {
        self.context.handle_sigterm();
        let config = config_of(self)?;
        let listener = self.context.listener(self.index_of(name)?)?;
        Ok(TlsListener::new(listener, config))
    }
}

impl FromWorker for TlsListener {
    const NEEDS: Needs = Needs::TlsListener;

    fn from_worker(worker: &Worker, request: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
        let config = config_of(worker)?;
        let listener = worker.context.listener(request.listener()?)?;
        Ok(Self::new(listener, config))
    }
}

impl FromWorker for Arc<ServerConfig> {
    const NEEDS: Needs = Needs::TlsConfig;

    fn from_worker(worker: &Worker, _request: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
        worker.tls_config()
    }
}

fn config_of(worker: &Worker) -> Result<Arc<ServerConfig>, FromWorkerError> {
    worker.context.tls.config().map_err(FromWorkerError::new)
}
