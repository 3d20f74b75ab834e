//! Examples: one file per task of a user.
//!
//! Run one with `cargo run --release -p prefork-examples --example hello`. Without `-p`, cargo
//! builds with the features that all packages of the workspace need.
//!
//! - `hello`: an HTTP server on axum, one worker per CPU.
//! - `hooks`: all hooks, and when they are called.
//! - `https` (`--features tls`): TLS, HTTP/2 and a plain listener that redirects.
//! - `plain`: the standard library alone, a thread per connection.
//!
//! The package in `frameworks` contains examples on other servers: hyper, actix-web and tonic,
//! `WebSocket`s and server-sent events on axum, and options from command-line flags.
