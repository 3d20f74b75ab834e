//! The table of prefork's options and the grammars of the texts that they are given as.
//!
//! What the attribute, the builder and the environment have in common stands here once: [`options!`] hands the rows to
//! a macro of the caller's, [`TABLE`] shows the same rows as data, and each grammar is a pure function from text to value,
//! so that a wrong value gets the same verdict at compile time and at start. The crate knows neither the macro nor the
//! runtime, reads no environment variable and opens no socket.
//!
//! It is a part of `prefork`, made for its two crates; depend on `prefork` instead.

#![forbid(unsafe_code)]

pub mod address;
pub mod alias;
pub mod count;
pub mod duration;
mod error;
pub mod fit;
pub mod flag;
pub mod host;
mod kind;
pub mod list;
pub mod network;
pub mod overlap;
pub mod pem;
pub mod prefix;
pub mod protocols;
mod row;
pub mod suggest;
mod table;
pub mod threads;
pub mod window;
pub mod workers;

pub use address::Address;
pub use error::{ParseError, one_line, quote};
pub use kind::Kind;
pub use network::Network;
pub use pem::Pem;
pub use prefix::Prefix;
pub use protocols::Protocols;
pub use row::{Row, TABLE};
pub use window::Window;
pub use workers::Workers;
