//! Examples: one file per task of a user.
//!
//! Run one with `cargo run --release -p prefork-examples --example hello`. Without `-p`, cargo
//! builds with the features that all packages of the workspace need.
//!
//! - `hello`: an HTTP server on axum, one worker per CPU.
//! - `builder`: options set at run time, from command-line flags.
//! - `hooks`: all hooks, and when they are called.
//! - `https` (`--features tls`): TLS, HTTP/2 and a plain listener that redirects.
//! - `plain`: the standard library alone, a thread per connection.
