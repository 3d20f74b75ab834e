//! What the tests and their servers share.

pub mod client;
pub mod proc;
pub mod signals;
pub mod stalling;
pub mod tls;

/// What a worker prints when it is ready, on a pipe that it shares with its master: searched at the
/// end of a line, since half a line of the other may stand before it, and in words that no
/// backtrace has.
pub const READY: &str = "worker is ready";
