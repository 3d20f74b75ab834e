//! Tests for servers built with prefork.
//!
//! A [`Server`] describes the program under test. [`Server::start`] starts it on a free port and
//! waits until all its workers are healthy, whatever the program does with its log. The test can
//! kill workers, send signals to the master and read the log. When the test ends, also by a panic,
//! the testkit kills all processes of the server.
//!
//! ```no_run
//! use prefork_testkit::Server;
//!
//! // In a test of the package that the binary belongs to: `env!("CARGO_BIN_EXE_hello")`.
//! let mut server = Server::new("target/debug/hello").env("PREFORK_WORKERS", "2").start();
//! let killed = server.kill_child(0);
//! let replacement = server.wait_for_replacement(killed);
//! assert_eq!(replacement.slot, 0);
//! assert!(server.stop().success());
//! ```
//!
//! Many tests do not need a whole server:
//!
//! | to test | use |
//! |---|---|
//! | hooks, limits, the recovery policy | [`ScriptedChildren`]: a real master in the test's process, with workers that crash, hang or start late as the test demands |
//! | the body of `main` | [`TestWorker`]: a worker in the test's process; the test acts as its master |
//! | log lines | [`MemoryLog`] |
//! | a server that needs a port number before it starts | [`reserve_addr`], [`reserve_port`] |
//!
//! To test a server under load, use `load::Load` (feature `load`; for TLS: `load-tls`). It sends
//! requests while the test kills or stops workers, and reports how each failed request failed.
//!
//! No other function of this crate measures time. Each wait ends when the expected fact is true. The
//! limit of a wait ([`TIMEOUT`]) is so long that a test reaches it only if the fact never becomes
//! true.
//!
//! # Limitations
//!
//! - Linux only: the testkit reads processes from `/proc`.
//! - The testkit finds the processes of a server by a variable in their environment. A process that
//!   empties its environment, or was started with an empty one, is neither found nor killed.
//! - The processes of [`ScriptedChildren`] are the test program itself, started again. In them, a
//!   constructor plays the behavior before `main` and then exits. Every program that uses this
//!   crate contains the constructor, so use the crate in tests only. Constructors of other crates
//!   may run before it in each of these processes.

mod behavior;
mod child_main;
mod ctor;
mod eventually;
mod listeners;
#[cfg(feature = "load")]
pub mod load;
mod log;
mod memory_log;
mod notify;
mod process_tree;
mod procfs;
mod reservation;
mod running;
mod scripted_children;
mod server;
mod signal;
mod test_worker;

pub use behavior::Behavior;
pub use eventually::{TIMEOUT, eventually};
pub use memory_log::{CapturedLine, MemoryLog};
pub use procfs::ChildInfo;
pub use reservation::{Reservation, reserve_addr, reserve_port};
pub use running::RunningServer;
pub use scripted_children::{ScriptedChildren, SpawnAttempt};
pub use server::{Output, Server};
pub use signal::Signal;
pub use test_worker::{BodyHandle, TestWorker};
