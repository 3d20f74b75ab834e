//! Starting children: which program, with which arguments and environment, in one system call.
//!
//! Knows processes; does not know why one is started or what it will do.

mod command;
mod program;
mod spawner;

pub use command::ChildCommand;
pub(crate) use program::Program;
pub(crate) use spawner::{Order, Producer, Refusal, Spawner};
