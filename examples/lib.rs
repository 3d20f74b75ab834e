//! One file per thing that a user wants to do; run one with `cargo run --release --example hello`.
//!
//! - `hello`: an HTTP server on axum, one worker per CPU.
//! - `builder`: options that are decided at run time, by the program's own flags.
//! - `hooks`: all hooks, and what happens when.
//! - `plain`: the standard library alone, no runtime.
