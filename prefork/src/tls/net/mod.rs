//! TLS listeners and streams, on top of the plain ones of `crate::net`.

mod accept_loop;
mod admission;
#[cfg(any(feature = "axum", feature = "stream"))]
mod frameworks;
mod handshake;
mod handshake_limits;
mod handshakes;
mod listener;
mod stream;
#[cfg(test)]
mod tests;

pub use listener::TlsListener;
pub use stream::TlsStream;
