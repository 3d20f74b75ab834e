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
use crate::tls::LISTENER_HELP;

/// The worker that runs in this process: its slot, its listeners and its shutdown.
///
/// It is an argument of `main` and of the function given to
/// [`Prefork::run`](crate::Prefork::run), and [`worker`](crate::worker()) returns it.
#[derive(Debug, Clone)]
pub struct Worker {
    pub(crate) context: Arc<Context>,
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
    /// If the operator decides about TLS, take the listener with `tls_listener` if its
    /// [`transport`](ListenerInfo::transport) is [`Transport::Tls`](crate::Transport::Tls), and
    /// with [`listener`](Self::listener) otherwise.
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
        if self.listeners()[index].transport() != Transport::Tls
            || self.context.tls.is_used_by_main()
        {
            return Ok(index);
        }
        Err(ArgError::new(format!(
            "listener '{name}' uses TLS (tls://): {LISTENER_HELP}"
        )))
    }

    pub(crate) fn index_of(&self, name: &str) -> Result<usize, ArgError> {
        let mut listeners = self.listeners().iter();
        listeners
            .position(|listener| listener.name() == name)
            .ok_or_else(|| {
                let names: Vec<&str> = self.listeners().iter().map(ListenerInfo::name).collect();
                ArgError::new(absent(name, &names))
            })
    }
}

impl Context {
    pub(crate) fn listener(&self, index: usize) -> Result<Listener, ArgError> {
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
            TakeResult::Socket(fd) => {
                // A stop may wait for this argument. A `Listener` wakes the monitor when it ends.
                self.waker.wake();
                Ok(fd.into())
            }
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
