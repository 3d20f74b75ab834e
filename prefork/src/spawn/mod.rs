//! Starts children: the program, its arguments and environment, and the system call.
//!
//! Knows processes; does not know why one is started or what it does.

mod command;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod program;
mod service_manager_env;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod spawner;

pub use command::ChildCommand;
pub(crate) use command::CommandHook;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) use program::Program;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) use spawner::{SpawnError, SpawnRequest, Spawner};
