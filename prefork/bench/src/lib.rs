//! What the servers of the bench are made of: the application, the hand-made supervisor that is the
//! floor, and the policy without its master.
//!
//! The figures themselves stand in `benches/figures`; `cargo bench -p prefork-bench` prints them.

pub mod app;
pub mod floor;
pub mod policy;

// As it stands in `prefork`, where it is private: it needs nothing of ours.
#[path = "../../src/supervisor/mod.rs"]
#[allow(dead_code, reason = "a master asks for more than the bench")]
mod supervisor;
