//! Listeners and streams that lose no accepted connection when their worker drains.
//!
//! Knows connections; does not know masters, roles or signals. All listeners and streams of a
//! process share one `ConnTracker`.

mod accept_error;
mod accept_health;
#[cfg(feature = "axum")]
mod axum;
mod blocking_streams;
mod drain_quota;
#[cfg(feature = "tls")]
mod handshake;
#[cfg(feature = "tls")]
mod handshake_admission;
#[cfg(feature = "tls")]
mod handshakes;
#[cfg(feature = "stream")]
mod incoming;
mod listener;
#[cfg(feature = "tls")]
mod race;
mod stream;
#[cfg(all(test, feature = "tls"))]
mod tests;
#[cfg(feature = "tls")]
mod tls_accept_loop;
#[cfg(feature = "tls")]
mod tls_background;
#[cfg(feature = "tls")]
mod tls_listener;
#[cfg(feature = "tls")]
mod tls_stream;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(feature = "tonic")]
mod tonic;
mod tracker;

pub(crate) use accept_health::ListenerShortage;
pub(crate) use blocking_streams::LastIo;
pub use listener::Listener;
pub use stream::Stream;
#[cfg(feature = "tls")]
pub use tls_listener::TlsListener;
#[cfg(feature = "tls")]
pub use tls_stream::TlsStream;
pub(crate) use tracker::{ConnTracker, DrainPolicy};
