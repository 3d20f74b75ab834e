//! The table of prefork's options, and the grammars of their values.
//!
//! The attribute, the builder and the environment share this crate. [`options!`] passes the rows of
//! the table to a macro of the caller, and [`TABLE`] contains the same rows as data. Each grammar
//! is a pure function from text to value, so an invalid value gets the same error at compile time
//! and at the start. The crate does not know the macro and the runtime, reads no environment
//! variable and opens no socket.
//!
//! It is an internal part of `prefork`: depend on `prefork` instead.

#![forbid(unsafe_code)]

pub mod addr;
pub mod address;
pub mod assign_listeners;
pub mod count;
pub mod duration;
pub mod endpoint;
mod error;
pub mod flag;
pub mod foreign_names;
pub mod host;
pub mod list;
pub mod listener_options;
pub mod network;
mod option_value;
pub mod overlap;
pub mod parallel;
pub mod pem;
pub mod prefix;
pub mod protocols;
pub mod reuseport;
mod row;
mod spelling;
pub mod suggest;
mod table;
pub mod threads;
pub mod window;
pub mod workers;

pub use addr::Addr;
pub use address::{Address, Transport};
pub use endpoint::{Endpoint, UnixName};
pub use error::{ParseError, one_line, quote};
pub use listener_options::ListenerOptions;
pub use network::Network;
pub use option_value::{IntoOption, Literals, OptionValue};
pub use parallel::Parallel;
pub use pem::Pem;
pub use prefix::Prefix;
pub use protocols::Protocols;
pub use reuseport::Reuseport;
pub use row::{Row, TABLE};
pub use window::Window;
pub use workers::Workers;
