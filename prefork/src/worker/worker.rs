//! The worker as its `main` sees it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use prefork_options::Transport;
use prefork_options::suggest::nearest;

use super::arg_error::ArgError;
use super::context::Context;
use super::listeners::{TakeAs, TakeResult};
use super::shutdown::Shutdown;
use crate::listen::{ListenAddr, ListenerInfo};
use crate::net::Listener;
#[cfg(feature = "tls")]
use crate::net::TlsListener;

/// The worker that runs in this process: its slot, its listeners and its shutdown.
///
/// It is an argument of `main` and of the function given to
/// [`Prefork::run`](crate::Prefork::run), and [`worker`](crate::worker()) returns it.
#[derive(Debug, Clone)]
pub struct Worker {
    pub(super) context: Arc<Context>,
}

impl Worker {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Returns the slot of this worker, from 0.
    ///
    /// Its replacement has the same slot.
    pub fn slot(&self) -> usize {
        self.context.slot
    }

    /// Returns the names, addresses and transports of all listeners.
    pub fn listeners(&self) -> &[ListenerInfo] {
        self.context.infos()
    }

    /// Returns the name, address and transport of one listener. Does not take it.
    ///
    /// If the operator decides about TLS, its [`transport`](ListenerInfo::transport) is the
    /// decision: take a listener with [`Transport::Tls`](crate::Transport::Tls) with
    /// `tls_listener` (feature `tls`), and every other one with [`listener`](Self::listener).
    ///
    /// # Errors
    /// No listener has this name.
    pub fn listener_info(&self, name: &str) -> Result<&ListenerInfo, ArgError> {
        Ok(&self.listeners()[self.index_of(name)?])
    }

    /// Takes a listener by its name; unnamed listeners are `listener0`, `listener1`, …
    ///
    /// # Errors
    /// - No listener has this name.
    /// - An argument of `main` or an earlier call has already taken the listener.
    /// - Its address has `tls://`, and the code has not taken the TLS configuration before. To
    ///   perform the handshakes itself, the code first calls `tls_config`, or `main` takes an
    ///   `Arc<rustls::ServerConfig>` (feature `tls`).
    pub fn listener(&self, name: &str) -> Result<Listener, ArgError> {
        self.context.handle_sigterm();
        self.context.listener(self.plain_index_of(name)?)
    }

    /// Takes the socket of a listener as a `std::net::TcpListener`.
    ///
    /// The socket is in non-blocking mode, unless `main` has an argument of kind
    /// [`StdTcpListener`](crate::ArgumentKind::StdTcpListener) for this listener. A stop does not
    /// end an accept on it; the crate page lists the guarantees that it does not give.
    ///
    /// # Errors
    /// As [`listener`](Self::listener), or the worker is shutting down and has closed the listener.
    pub fn tcp_listener(&self, name: &str) -> Result<TcpListener, ArgError> {
        self.context.raw_listener(self.plain_index_of(name)?)
    }

    /// Reports that this worker is ready; see [`notify_ready`](crate::notify_ready()).
    pub fn notify_ready(&self) {
        self.context.notify_ready();
    }

    /// Returns a future that resolves when the server should close its connections.
    ///
    /// See [`shutdown`](crate::shutdown()).
    pub fn shutdown(&self) -> Shutdown {
        // If `main` takes no `Worker`, this was called through an argument of the user's own type.
        self.context.handle_sigterm();
        Shutdown::new(&self.context.shutdown)
    }

    /// Returns the index of a listener, or an error if the code must use TLS.
    fn plain_index_of(&self, name: &str) -> Result<usize, ArgError> {
        let index = self.index_of(name)?;
        if self.listeners()[index].transport() != Transport::Tls {
            return Ok(index);
        }
        #[cfg(feature = "tls")]
        if self.context.tls.body_does_tls() {
            return Ok(index);
        }
        Err(ArgError::new(format!(
            "listener '{name}' uses TLS (tls://): {TLS_HELP}"
        )))
    }

    pub(super) fn index_of(&self, name: &str) -> Result<usize, ArgError> {
        let mut listeners = self.listeners().iter();
        listeners
            .position(|listener| listener.name() == name)
            .ok_or_else(|| {
                let names: Vec<&str> = self.listeners().iter().map(ListenerInfo::name).collect();
                ArgError::new(absent(name, &names))
            })
    }
}

#[cfg(feature = "tls")]
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
    pub fn tls_config(&self) -> Result<Arc<rustls::ServerConfig>, ArgError> {
        let tls = &self.context.tls;
        let config = tls.config()?;
        tls.note_use_by_body();
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
        let config = self.context.tls.config()?;
        let listener = self.context.listener(self.index_of(name)?)?;
        Ok(TlsListener::new(listener, config))
    }
}

#[cfg(feature = "tls")]
const TLS_HELP: &str = "call worker.tls_listener, or call worker.tls_config first";

/// The master has the feature, so this is another program, which a `child_producer` selected.
#[cfg(not(feature = "tls"))]
const TLS_HELP: &str = "build this program with feature `tls` of prefork";

impl Context {
    pub(super) fn listener(&self, index: usize) -> Result<Listener, ArgError> {
        let (name, addr) = self.name_and_addr(index)?;
        match self.listeners.take(index, TakeAs::Managed) {
            TakeResult::Socket(fd) => Ok(Listener::new(fd, addr, &self.tracker)),
            TakeResult::Already => Err(taken(name)),
            // The worker is already draining: nothing is left to accept.
            TakeResult::Closed => Ok(Listener::ended(addr, &self.tracker)),
        }
    }

    pub(super) fn raw_listener(&self, index: usize) -> Result<TcpListener, ArgError> {
        let (name, _) = self.name_and_addr(index)?;
        match self.listeners.take(index, TakeAs::Raw) {
            TakeResult::Socket(fd) => Ok(fd.into()),
            TakeResult::Already => Err(taken(name)),
            TakeResult::Closed => {
                let reason = format!("listener '{name}' is closed: the worker is shutting down");
                Err(ArgError::new(reason))
            }
        }
    }

    fn name_and_addr(&self, index: usize) -> Result<(&str, SocketAddr), ArgError> {
        let listener = self.infos().get(index);
        let info =
            listener.ok_or_else(|| ArgError::new("the worker does not have this listener"))?;
        let ListenAddr::Ip(addr) = info.address;
        Ok((&info.name, addr))
    }
}

/// The error for an unknown name; it contains the names of all listeners.
fn absent(name: &str, all: &[&str]) -> String {
    let near = match nearest(name, all.iter().copied()) {
        Some(near) => format!(" (did you mean '{near}'?)"),
        None => String::new(),
    };
    let known = match all {
        [] => "no listener is configured: set listen in the attribute or the builder".to_owned(),
        [one] => format!("there is only '{one}'"),
        many => format!("there are only '{}'", many.join("', '")),
    };
    format!("there is no listener '{name}'{near}; {known}")
}

fn taken(name: &str) -> ArgError {
    ArgError::new(format!(
        "listener '{name}' was already taken by an argument of main or an earlier call"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_an_unknown_name_contains_the_names() {
        for (names, text) in [
            (
                &["listener0"][..],
                "there is no listener 'http'; there is only 'listener0'",
            ),
            (
                &["htpp", "admin"],
                "there is no listener 'http' (did you mean 'htpp'?); there are only 'htpp', 'admin'",
            ),
            (
                &[],
                "there is no listener 'http'; no listener is configured: set listen in the attribute or the builder",
            ),
        ] {
            assert_eq!(absent("http", names), text);
        }
    }
}
