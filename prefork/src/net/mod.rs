//! Listeners and streams that lose no accepted connection when their worker drains.
//!
//! Knows connections; does not know masters, roles or signals. All listeners and streams of a
//! process share one `ConnTracker`.

mod accept_error;
mod accept_health;
#[cfg(feature = "tls")]
mod admission;
#[cfg(feature = "axum")]
mod axum;
mod backlog;
#[cfg(feature = "tls")]
mod handshake;
#[cfg(feature = "tls")]
mod handshakes;
mod listener;
#[cfg(feature = "tls")]
mod race;
mod silent_reads;
mod stream;
#[cfg(all(test, feature = "tls"))]
mod tests;
#[cfg(feature = "tls")]
mod tls_acceptor;
#[cfg(feature = "tls")]
mod tls_listener;
#[cfg(feature = "tls")]
mod tls_stream;
#[cfg(feature = "tls")]
mod tls_tasks;
#[cfg(feature = "tokio")]
mod tokio;
mod tracker;

pub(crate) use accept_health::ShortageFact;
pub use listener::Listener;
pub(crate) use silent_reads::LastUse;
pub use stream::Stream;
#[cfg(feature = "tls")]
pub use tls_listener::TlsListener;
#[cfg(feature = "tls")]
pub use tls_stream::TlsStream;
pub(crate) use tracker::{ConnTracker, DrainPolicy, DrainProgress};
