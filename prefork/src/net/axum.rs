//! Our listeners as arguments of `axum::serve`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Listener, Stream};
#[cfg(feature = "tls")]
use super::{TlsListener, TlsStream};

/// How long accepting rests when there are no descriptors or no memory left: what frees them is
/// the end of other requests.
const REST: Duration = Duration::from_millis(100);

impl axum::serve::Listener for Listener {
    type Io = Stream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        until_accepted(|| Self::accept(self)).await
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
        until_accepted(|| Self::accept(self)).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Self::local_addr(self)
    }
}

/// What fails is one connection, or heals.
async fn until_accepted<C, F: Future<Output = io::Result<C>>>(accept: impl Fn() -> F) -> C {
    loop {
        match accept().await {
            Ok(connection) => return connection,
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

/// Errors that `accept(2)` passes on from a connection that is gone by now.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
