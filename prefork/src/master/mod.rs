//! The master: waits for events, passes them to the supervisor, and performs its actions.
//!
//! Mechanism only. `supervisor/` decides whether and when a child is started, asked to stop or
//! killed; this module does it. One thread, no async runtime, no polling.

#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod actions;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod child;
mod commands;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod events;
mod exit_history;
mod handle;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod hooks;
mod log;
mod log_backend;
mod log_line;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod master;
mod notice;
mod notify;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod orphans;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod pinning;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod poller;
mod reload;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod rollout;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod rollout_actions;
mod rollout_verdict;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod setup;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod signal_log_limit;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod sockets;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod successor_stderr;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod teardown;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod traced_child;
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
mod unsupported;

pub use handle::Handle;
pub(crate) use log::{Log, Logger};
pub use log_line::{Level, LogLine};
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) use master::Master;
pub(crate) use notice::{Notice, StartStep};
pub(crate) use notify::{NotifyScope, claim, send};
pub use reload::Reload;
pub use rollout_verdict::{RolloutRefusal, RolloutStage, RolloutVerdict};
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) use setup::{MasterSetup, UNSUPPORTED, block_signals, preflight};
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) use unsupported::{MasterSetup, UNSUPPORTED, block_signals, preflight};
