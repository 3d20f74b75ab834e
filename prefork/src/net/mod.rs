//! Listeners and streams that lose no accepted connection when their worker drains.
//!
//! Knows connections; does not know masters, roles or signals. All listeners and streams of a
//! process share one `ConnTracker`. A layer on top of them, such as TLS, is not here: it notes what
//! it reads ahead with the methods of `Stream`.

pub(crate) mod accept_error;
mod accept_health;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod accept_poller;
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
#[path = "accept_poller_unsupported.rs"]
mod accept_poller;
#[cfg(feature = "tokio")]
mod async_socket;
#[cfg(feature = "axum")]
pub(crate) mod axum;
mod blocking_streams;
#[cfg(feature = "stream")]
pub(crate) mod incoming;
pub(crate) mod listener;
pub(crate) mod listener_sockets;
pub(crate) mod shared_socket;
mod socket;
mod socket_set;
pub(crate) mod stream;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(feature = "tonic")]
mod tonic;
mod tracker;

pub(crate) use accept_health::ListenerShortage;
#[cfg(feature = "tokio")]
pub use async_socket::AsyncSocket;
pub(crate) use blocking_streams::LastIo;
pub use listener::Listener;
pub use socket::Socket;
pub use stream::Stream;
pub(crate) use tracker::{AcceptGate, ConnTracker, DrainPolicy};

pub use crate::tls::net_types::*;
