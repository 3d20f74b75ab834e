//! Listening sockets: resolving and binding addresses, and passing the sockets to workers.
//!
//! It knows sockets, names and variables. It does not know who accepts.

mod bind;
mod bind_or_stop;
mod info;
mod inherit;
mod resolve;
mod resolve_all;
mod worker_listen_env;

pub(crate) use bind::{BindOptions, BoundListener, bind_all, set_blocking_modes};
pub(crate) use bind_or_stop::{BindResult, bind_or_stop};
pub use info::{ListenAddr, ListenerInfo};
pub(crate) use inherit::{InheritedFds, InheritedListener, inherit};
pub(crate) use resolve_all::resolve_targets;
pub(crate) use worker_listen_env::listen_env;

/// All variables by which the master passes listeners to a worker.
///
/// They include those of `sd_listen_fds(3)`, which every program with socket activation reads.
pub(crate) const VARIABLES: [&str; 6] = [
    worker_listen_env::ADDRS_VARIABLE,
    worker_listen_env::TLS_VARIABLE,
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];
