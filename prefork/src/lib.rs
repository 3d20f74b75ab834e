//! One attribute turns a server into a supervised family of processes.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(unix))]
compile_error!("prefork needs a Unix: it passes listening sockets from process to process");

mod channel;
mod config;
mod error;
mod listen;
mod master;
pub mod net;
mod prefork;
mod runtime;
mod spawn;
mod supervisor;
mod sys;
mod worker;

pub use config::IntoOption;
pub use error::{BadOption, Error};
pub use master::Handle;
pub use prefork::{Ended, Prefork, is_child, report};
pub use prefork_macros::main;
pub use spawn::ChildCommand;
pub use worker::{
    ArgError, Argument, ArgumentKind, Ready, Request, Shutdown, Worker, ready, shutdown, worker,
};

/// What the attribute expands to; not for anybody else, and not kept stable.
#[doc(hidden)]
pub mod __private {
    pub use crate::prefork::private::{run, take};
    pub use crate::runtime::Body;
    pub use crate::worker::Want;
}

/// Empty with feature `tokio`: an async `main` needs it, unless something else brings a runtime.
#[cfg(feature = "tokio")]
#[doc(hidden)]
#[macro_export]
macro_rules! __need_tokio {
    () => {};
}

/// An async `main` needs feature `tokio`, unless something else brings a runtime.
#[cfg(not(feature = "tokio"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __need_tokio {
    () => {
        ::core::compile_error!(
            "an async `main` needs feature `tokio` of prefork, or a runtime's attribute such as \
             `#[tokio::main]` below, or `runtime = path`"
        );
    };
}
