//! Listening sockets: resolving and binding addresses, and passing the sockets to workers.
//!
//! It knows sockets, names and variables. It does not know who accepts.

mod announce;
mod bind;
mod inherit;
mod place;
mod resolve;
mod target;

pub(crate) use announce::announce;
pub(crate) use bind::{Binding, Bound, bind_all, set_modes};
pub(crate) use inherit::{Inheritance, Inherited, inherit};
pub(crate) use place::Place;
pub(crate) use target::targets;

/// All variables by which the master passes listeners to a worker.
///
/// They include those of `sd_listen_fds(3)`, which every program with socket activation reads.
pub(crate) const VARIABLES: [&str; 6] = [
    announce::ADDRS_VARIABLE,
    announce::TLS_VARIABLE,
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];
