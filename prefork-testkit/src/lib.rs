//! Proves a pre-forking server in its own tests: real servers, real children, facts instead of
//! sleeps.
//!
//! A [`Server`] describes a program under test, [`Server::start`] runs it on a free port and waits
//! until it says that it serves. From then on the test kills its workers, signals its master, reads
//! its log; when the test ends, also by a panic, nothing of the server is left.
//!
//! ```no_run
//! use prefork_testkit::{Server, eventually};
//!
//! // In a test of the package that the binary belongs to: `env!("CARGO_BIN_EXE_hello")`.
//! let mut server = Server::new("target/debug/hello").env("PREFORK_WORKERS", "2").start();
//! let killed = server.kill_child(0);
//! let successor = eventually("another child in slot 0", || {
//!     server.child(0).filter(|child| child.pid != killed.pid)
//! });
//! assert_eq!(successor.slot, 0);
//! assert!(server.stop().success());
//! ```
//!
//! Nothing here asserts time. A wait ends with the fact that it waits for; its limit ([`LIMIT`]) is
//! so generous that only a fact that never comes reaches it.
//!
//! # Limitations
//!
//! - Linux: processes are read from `/proc`.
//! - A process of the server that empties its environment can no longer be told from others, and is
//!   not ended with it.

mod act;
mod announcement;
mod behaviour;
mod children;
mod constructor;
mod eventually;
mod family;
mod log;
mod process;
mod running;
mod server;

pub use behaviour::Behaviour;
pub use children::{Children, Start};
pub use eventually::{LIMIT, eventually};
pub use nix::sys::signal::Signal;
pub use process::Child;
pub use running::Running;
pub use server::{Output, Server};
