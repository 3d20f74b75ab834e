//! One file per thing that a user wants to do; run one with `cargo run --release --example hello`.
//!
//! - `hello`: an HTTP server on axum, one worker per CPU.
//! - `plain`: the standard library alone, no runtime.
