//! The parts of the servers of the bench: the application, the hand-written supervisor that is the
//! baseline, and the policy without a master.
//!
//! The figures are in `benches/figures`. `cargo bench -p prefork-bench` prints them.

pub mod app;
pub mod baseline;
pub mod policy;

// The source of a private module of `prefork`. It uses no other module of `prefork`.
#[path = "../../src/supervisor/mod.rs"]
#[allow(dead_code, reason = "a master asks for more than the bench")]
mod supervisor;
