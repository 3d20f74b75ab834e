//! A worker as the body sees it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use prefork_options::suggest::nearest;

use super::context::{Context, current};
use super::seats::{Taken, Taker};
use super::{ArgError, Ready, Shutdown};
use crate::net::Listener;

/// The worker that this process is: its place, its listeners, its stop.
///
/// As an argument of `main`, of the function given to [`Prefork::run`](crate::Prefork::run), or
/// from [`worker`].
#[derive(Debug, Clone)]
pub struct Worker {
    pub(super) context: Arc<Context>,
}

/// The worker that this process is; `None` in a master, and where nothing was run.
///
/// From the first call on the runtime handles SIGTERM, see [`shutdown`](crate::shutdown()).
pub fn worker() -> Option<Worker> {
    let context = current()?;
    context.take_termination();
    Some(Worker::new(context))
}

impl Worker {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// The place that this worker fills, from 0; a replacement fills the same.
    pub fn slot(&self) -> usize {
        self.context.slot()
    }

    /// The name and the address of each listener, with the real port where 0 was asked for.
    pub fn addrs(&self) -> &[(String, SocketAddr)] {
        self.context.addrs()
    }

    /// Whether the clients of a listener are to speak TLS: its address begins with `tls://`. A body for whom that is
    /// the operator's choice takes it as a `TlsListener` then, with [`listener`](Self::listener) otherwise.
    ///
    /// # Errors
    /// No listener has that name.
    pub fn is_tls(&self, name: &str) -> Result<bool, ArgError> {
        Ok(self.context.is_tls(self.place(name)?))
    }

    /// Takes a listener by its name; unnamed ones are `listener0`, `listener1`, …
    ///
    /// # Errors
    /// No listener has that name, or it was taken already: by an argument of `main` or by an
    /// earlier call. Its address begins with `tls://`, and the body has not asked for the configuration of TLS
    /// (`tls_config`, or an `Arc<rustls::ServerConfig>` as argument) that it needs to do the handshakes itself; without
    /// feature `tls` there is none to ask for.
    pub fn listener(&self, name: &str) -> Result<Listener, ArgError> {
        self.context.take_termination();
        self.context.listener(self.plain_place(name)?)
    }

    /// Takes the socket of a listener as the standard library's; it is non-blocking, unless `main`
    /// declares a `std::net::TcpListener` for it.
    ///
    /// It knows nothing of stops: see the table of promises on the crate's page.
    ///
    /// # Errors
    /// As [`listener`](Self::listener).
    pub fn tcp_listener(&self, name: &str) -> Result<TcpListener, ArgError> {
        self.context.raw_listener(self.plain_place(name)?)
    }

    /// This worker serves from now on; needed where it is not seen, with raw listeners or none.
    pub fn ready(&self) {
        self.context.announce_ready();
    }

    /// When to go, see [`shutdown`](crate::shutdown()).
    pub fn shutdown(&self) -> Shutdown {
        // Whoever was given a worker without being `main`: an argument of the user's own type.
        self.context.take_termination();
        Shutdown::new(self.context.shutdown())
    }

    /// Nobody is to speak plain text where clients begin a handshake.
    fn plain_place(&self, name: &str) -> Result<usize, ArgError> {
        let place = self.place(name)?;
        if !self.context.is_tls(place) {
            return Ok(place);
        }
        #[cfg(feature = "tls")]
        if self.context.tls().is_in_the_body() {
            return Ok(place);
        }
        Err(ArgError::new(format!(
            "listener '{name}' speaks TLS (tls://): {WAY_OUT}"
        )))
    }

    pub(super) fn place(&self, name: &str) -> Result<usize, ArgError> {
        let mut names = self.addrs().iter();
        names
            .position(|(known, _)| known == name)
            .ok_or_else(|| ArgError::new(absent(name, self.addrs())))
    }
}

#[cfg(feature = "tls")]
const WAY_OUT: &str = "take it with tls_listener, or ask for tls_config before";

/// The master has the feature: this program is another one, that a `child_producer` has put in the place of its own.
#[cfg(not(feature = "tls"))]
const WAY_OUT: &str = "this program needs feature `tls` of prefork for it";

impl Context {
    pub(super) fn listener(&self, index: usize) -> Result<Listener, ArgError> {
        let (name, addr) = self.seat(index)?;
        match self.seats().take(index, Taker::Ours) {
            Taken::Socket(fd) => Ok(Listener::new(fd, addr, self.intake())),
            Taken::Already => Err(taken(name)),
            // The worker goes already: nothing is left to accept.
            Taken::Closed => Ok(Listener::ended(addr, self.intake())),
        }
    }

    pub(super) fn raw_listener(&self, index: usize) -> Result<TcpListener, ArgError> {
        let (name, _) = self.seat(index)?;
        match self.seats().take(index, Taker::Raw) {
            Taken::Socket(fd) => Ok(fd.into()),
            Taken::Already => Err(taken(name)),
            Taken::Closed => {
                let reason = format!("listener '{name}' is closed: the worker goes already");
                Err(ArgError::new(reason))
            }
        }
    }

    fn seat(&self, index: usize) -> Result<(&str, SocketAddr), ArgError> {
        let seat = self.addrs().get(index);
        let (name, addr) = seat.ok_or_else(|| ArgError::new("there is no such listener"))?;
        Ok((name, *addr))
    }
}

/// Why there is no listener of this name, with the names that there are.
fn absent(name: &str, addrs: &[(String, SocketAddr)]) -> String {
    let names = addrs.iter().map(|(name, _)| name.as_str());
    let near = match nearest(name, names.clone()) {
        Some(near) => format!(" (did you mean '{near}'?)"),
        None => String::new(),
    };
    let all: Vec<&str> = names.collect();
    let there = match all.as_slice() {
        [] => "no listener is configured: set listen in the attribute or the builder".to_owned(),
        [one] => format!("there is only '{one}'"),
        many => format!("there are only '{}'", many.join("', '")),
    };
    format!("there is no listener '{name}'{near}, {there}")
}

fn taken(name: &str) -> ArgError {
    ArgError::new(format!("listener '{name}' was taken already"))
}

impl From<&Worker> for Ready {
    fn from(worker: &Worker) -> Self {
        Self {
            context: Arc::clone(&worker.context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_listener_has_is_answered_with_the_names() {
        let there = |names: &[&str]| -> Vec<(String, SocketAddr)> {
            let addr: SocketAddr = ([127, 0, 0, 1], 80).into();
            names
                .iter()
                .map(|name| ((*name).to_owned(), addr))
                .collect()
        };
        for (names, text) in [
            (
                &["listener0"][..],
                "there is no listener 'http', there is only 'listener0'",
            ),
            (
                &["htpp", "admin"],
                "there is no listener 'http' (did you mean 'htpp'?), there are only 'htpp', 'admin'",
            ),
            (
                &[],
                "there is no listener 'http', no listener is configured: set listen in the attribute or the builder",
            ),
        ] {
            assert_eq!(absent("http", &there(names)), text);
        }
    }
}
