//! Starts children: the program, its arguments and environment, and the system call.
//!
//! Knows processes; does not know why one is started or what it does.

mod command;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod program;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod spawner;
mod private_env;

pub use command::ChildCommand;
pub(crate) use command::CommandHook;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) use program::Program;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) use spawner::{SpawnRequest, SpawnError, Spawner, SpawnResources};
