//! Code that the tests and their servers share.

pub mod client;
pub mod proc;
pub mod server;
pub mod signals;
pub mod stalling;
pub mod tls;

/// The text that a ready worker prints to a pipe that it shares with its master.
///
/// Tests search it at the end of a line, because an incomplete line of the master may come before
/// it. No backtrace contains this text.
pub const READY: &str = "worker is ready";
