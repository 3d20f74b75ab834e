//! One file per thing that a user wants to do; run one with
//! `cargo run --release -p prefork-examples --example hello`. Without `-p`, cargo builds what all packages of the
//! workspace need.
//!
//! - `hello`: an HTTP server on axum, one worker per CPU.
//! - `builder`: options that are decided at run time, by the program's own flags.
//! - `hooks`: all hooks, and what happens when.
//! - `https` (`--features tls`): TLS, HTTP/2 and a plain listener beside it.
//! - `plain`: the standard library alone, no runtime.
