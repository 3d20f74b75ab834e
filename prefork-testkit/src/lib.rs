//! Proves a pre-forking server in its own tests: real servers, real children, facts instead of
//! sleeps.
//!
//! A [`Server`] describes a program under test, [`Server::start`] runs it on a free port and waits
//! until it says that it serves. From then on the test kills its workers, signals its master, reads
//! its log; when the test ends, also by a panic, nothing of the server is left.
//!
//! ```no_run
//! use prefork_testkit::Server;
//!
//! // In a test of the package that the binary belongs to: `env!("CARGO_BIN_EXE_hello")`.
//! let mut server = Server::new("target/debug/hello").env("PREFORK_WORKERS", "2").start();
//! let killed = server.kill_child(0);
//! let successor = server.wait_for_successor(killed);
//! assert_eq!(successor.slot, 0);
//! assert!(server.stop().success());
//! ```
//!
//! What a whole server is too much for:
//!
//! | to test | take |
//! |---|---|
//! | hooks, limits, a recovery policy | [`Children`]: a master in the test itself, children that crash, hang or come late as the test says |
//! | the body | [`TestWorker`]: a worker in the test itself, which plays the master |
//! | what is logged | [`MemoryLog`] |
//! | a server that has to be told its port | [`free_addr`], [`free_port`] |
//!
//! Nothing here asserts time. A wait ends with the fact that it waits for; its limit ([`LIMIT`]) is
//! so generous that only a fact that never comes reaches it.
//!
//! # Limitations
//!
//! - Linux: processes are read from `/proc`.
//! - A process of the server that empties its environment can no longer be told from others, and is
//!   not ended with it.
//! - [`Children`] are the test program, started again, and leave it by a constructor before `main`
//!   that every program contains which names this crate: name it in tests only. Constructors of
//!   other crates may run before it, in each child.

mod act;
mod announcement;
mod behaviour;
mod children;
mod constructor;
mod eventually;
mod family;
mod log;
mod memory_log;
mod process;
mod reservation;
mod running;
mod server;
mod test_worker;

pub use behaviour::Behaviour;
pub use children::{Children, Start};
pub use eventually::{LIMIT, eventually};
pub use memory_log::{KeptLine, MemoryLog};
pub use nix::sys::signal::Signal;
pub use process::Child;
pub use reservation::{Reservation, free_addr, free_port};
pub use running::Running;
pub use server::{Output, Server};
pub use test_worker::{Body, TestWorker};
