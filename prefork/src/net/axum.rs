//! `Listener` as an argument of `axum::serve`.

use std::future::pending;
use std::io;

use super::{AsyncSocket, Listener, Stream};

impl axum::serve::Listener for Listener {
    type Io = Stream<AsyncSocket>;
    type Addr = prefork_options::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        until_accepted(self, Self::accept(self).await).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Self::local_addr(self)
    }
}

/// Returns the connection, or stays pending if accept failed.
///
/// The accept of `axum::serve` cannot return an error. The worker drains because of the error.
///
/// # Panics
/// If accept fails outside of a worker, because no worker would drain.
pub(crate) async fn until_accepted<C>(listener: &Listener, accepted: io::Result<C>) -> C {
    match accepted {
        Ok(connection) => connection,
        Err(error) => {
            assert!(listener.tracker.is_watched, "accept failed: {error}");
            // This future keeps the listener alive, and the drain waits for the end of the
            // listener.
            listener.end();
            pending().await
        }
    }
}
