//! Listening sockets: resolving and binding addresses, and passing the sockets to workers.
//!
//! It knows sockets, names and variables. It does not know who accepts.

mod activation;
mod bind;
mod bind_or_stop;
mod bind_target;
mod info;
mod inherit;
mod open_socket;
mod resolve;
mod unix_file;

pub(crate) use activation::adopt_passed_sockets;
pub(crate) use bind::{
    BindOptions, BoundListener, bind_all, close_left_over, left_out_warnings, set_blocking_modes,
    shared_warnings,
};
pub(crate) use bind_or_stop::{BindResult, bind_or_stop};
pub(crate) use bind_target::OnSocket;
pub use info::ListenerInfo;
pub(crate) use inherit::{InheritedFds, InheritedListener, VARIABLES, inherit, listen_env};
pub(crate) use open_socket::address_of_open;
pub(crate) use resolve::{ResolvedTarget, resolve_targets};
pub(crate) use unix_file::SocketFile;
