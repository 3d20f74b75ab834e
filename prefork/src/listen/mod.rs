//! Listening sockets: where they are bound, how a master hands them to a child, with the certificates
//! for them, how the child takes them.
//!
//! Knows sockets and names; does not know who accepts.

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

/// All that this room says to a child by its environment: ours, and what `sd_listen_fds(3)` reads,
/// and with it every program that knows socket activation.
pub(crate) const VARIABLES: [&str; 6] = [
    announce::ADDRS_VARIABLE,
    announce::TLS_VARIABLE,
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];
