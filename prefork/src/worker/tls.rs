//! The certificates that a worker was given, for whoever in the body asks for them.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::ServerConfig;

use super::{ArgError, Argument, ArgumentKind, Request, Worker};
use crate::net::TlsListener;
use crate::tls::Handed;

/// As they came until somebody asks, then what was made of them.
#[derive(Debug)]
pub(super) struct Tls {
    handed: Mutex<Option<Handed>>,
    config: OnceLock<Arc<ServerConfig>>,
    /// The body has the configuration itself, and may do handshakes on whatever it takes.
    is_in_the_body: AtomicBool,
}

impl Tls {
    pub(super) fn new(handed: Option<Handed>) -> Self {
        Self {
            handed: Mutex::new(handed),
            config: OnceLock::new(),
            is_in_the_body: AtomicBool::new(false),
        }
    }

    pub(super) fn is_in_the_body(&self) -> bool {
        self.is_in_the_body.load(Ordering::Relaxed)
    }

    /// One for the whole process: sessions, tickets and keys are shared.
    ///
    /// # Errors
    /// The master passed none, or not what this program can read.
    fn config(&self) -> Result<Arc<ServerConfig>, ArgError> {
        // Held until it is made: whoever asks meanwhile waits for that one.
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let given = handed.as_ref().ok_or_else(not_given)?;
        let config = given.server_config().map_err(not_usable)?;
        // Read once, by nobody else: the program has it from now on.
        *handed = None;
        Ok(Arc::clone(self.config.get_or_init(|| config)))
    }
}

/// A wrapper that clears the environment looks the same.
fn not_given() -> ArgError {
    ArgError::new(
        "the master passed no certificate: set tls_cert and tls_key, and leave PREFORK_TLS in the environment of workers",
    )
}

fn not_usable(reason: impl Display) -> ArgError {
    ArgError::new(format!(
        "the certificates that it was given cannot be used: {reason}"
    ))
}

impl Worker {
    /// The configuration of TLS that the master checked and passed: certificates, key, protocols, and the tickets that
    /// all of its workers share. For bodies that do the handshakes by themselves; the same one at each call.
    ///
    /// # Errors
    /// Neither `tls_cert` nor `tls_key` is set, or this program cannot use what the master passed.
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_config(&self) -> Result<Arc<ServerConfig>, ArgError> {
        let tls = self.context.tls();
        let config = tls.config()?;
        tls.is_in_the_body.store(true, Ordering::Relaxed);
        Ok(config)
    }

    /// Takes a listener by its name, for clients that speak TLS; its address need not begin with `tls://` here.
    ///
    /// # Errors
    /// No listener has that name, or it was taken already: by an argument of `main` or by an earlier call. There is no
    /// certificate, or none that can be used, as with [`tls_config`](Self::tls_config).
    ///
    /// # Examples
    /// Whether there is TLS is the operator's choice (`PREFORK_LISTEN=tls://…`):
    /// ```no_run
    /// # async fn serve(_: impl Sized) -> std::io::Result<()> { Ok(()) }
    /// #[prefork::main(listen = "admin=127.0.0.1:9000", workers = 2)]
    /// async fn main(worker: prefork::Worker) -> std::io::Result<()> {
    ///     if worker.is_tls("admin")? {
    ///         serve(worker.tls_listener("admin")?).await
    ///     } else {
    ///         serve(worker.listener("admin")?).await
    ///     }
    /// }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_listener(&self, name: &str) -> Result<TlsListener, ArgError> {
        self.context.take_termination();
        let config = self.context.tls().config()?;
        let listener = self.context.listener(self.place(name)?)?;
        Ok(TlsListener::new(listener, config))
    }
}

impl Argument for TlsListener {
    const KIND: ArgumentKind = ArgumentKind::TlsListener;

    fn from_worker(worker: &Worker, request: &Request<'_>) -> Result<Self, ArgError> {
        let config = worker.context.tls().config()?;
        let listener = worker.context.listener(request.listener()?)?;
        Ok(Self::new(listener, config))
    }
}

impl Argument for Arc<ServerConfig> {
    const KIND: ArgumentKind = ArgumentKind::TlsConfig;

    fn from_worker(worker: &Worker, _request: &Request<'_>) -> Result<Self, ArgError> {
        worker.tls_config()
    }
}
