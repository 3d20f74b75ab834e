//! What the tests and their servers share.

pub mod client;
pub mod proc;
pub mod stalling;
pub mod tls;
