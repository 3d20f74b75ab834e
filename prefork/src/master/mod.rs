//! The master: waits for events, passes them to the supervisor, and performs its actions.
//!
//! Mechanism only. `supervisor/` decides whether and when a child is started, asked to stop or
//! killed; this module does it. One thread, no async runtime, no polling.

mod backend;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod binding;
mod callbacks;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod child;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod closing;
mod commands;
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
mod elsewhere;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod endings;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod facts;
mod handle;
mod line;
mod log;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod master;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod perform;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod poller;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod repeats;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod setup;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod strangers;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod tracer;

pub(crate) use callbacks::{Callbacks, Unstarted};
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) use elsewhere::{Setup, WHY_THERE_IS_NONE, hold_signals, rehearse};
pub use handle::Handle;
pub(crate) use line::describe;
pub use line::{Level, LogLine};
pub(crate) use log::{Log, Logger};
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) use master::Master;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) use setup::{Setup, WHY_THERE_IS_NONE, hold_signals, rehearse};
