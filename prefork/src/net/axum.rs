//! Our listeners as arguments of `axum::serve`.

use std::future::pending;
use std::io;
use std::net::SocketAddr;

use super::{Listener, Stream};
#[cfg(feature = "tls")]
use super::{TlsListener, TlsStream};

impl axum::serve::Listener for Listener {
    type Io = Stream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        until_accepted(self, Self::accept(self).await).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Self::local_addr(self)
    }
}

#[cfg(feature = "tls")]
impl axum::serve::Listener for TlsListener {
    type Io = TlsStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        until_accepted(self.plain(), Self::accept(self).await).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Self::local_addr(self)
    }
}

/// `axum::serve` has no way to return an error. One that stays ends the worker.
///
/// # Panics
/// Outside of a worker, when accepting fails: there is none to end.
async fn until_accepted<C>(listener: &Listener, accepted: io::Result<C>) -> C {
    match accepted {
        Ok(connection) => connection,
        Err(error) => {
            assert!(listener.intake.is_watched, "accept failed: {error}");
            // What holds the listener is never dropped here, and a drain would wait for its end.
            listener.end();
            pending().await
        }
    }
}
