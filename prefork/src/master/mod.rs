//! The process that supervises: waits for facts, tells the supervisor, does what it decides.
//!
//! Mechanism only. Whether a child is started, asked or killed, and when, is decided in
//! `supervisor/`; how it is done stands here. One thread, no runtime, no polling.

mod backend;
mod child;
mod commands;
mod facts;
mod handle;
mod line;
mod log;
mod master;
mod perform;
mod poller;
mod setup;
mod strangers;

pub use handle::Handle;
pub(crate) use line::describe;
pub use line::{Level, LogLine};
pub(crate) use log::{Log, Logger};
pub(crate) use master::Master;
pub(crate) use setup::{Setup, hold_signals, rehearse};
