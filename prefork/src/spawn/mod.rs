//! Starting children: which program, with which arguments and environment, in one system call.
//!
//! Knows processes; does not know why one is started or what it will do.

mod command;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod program;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod spawner;
mod withheld;

pub use command::ChildCommand;
pub(crate) use command::Producer;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) use program::Program;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) use spawner::{Order, SpawnError, Spawner, Tools};
