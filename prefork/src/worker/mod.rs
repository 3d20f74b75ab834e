//! Inside a worker: its start, the arguments of `main`, readiness, the monitor thread, and
//! shutdown.
//!
//! It knows the channel, the listeners and `main`. It does not know how the master supervises it.

mod argument;
mod assign;
mod check_listeners;
mod child_env;
mod context;
mod current;
mod from_worker_error;
#[cfg(any(test, feature = "__testkit"))]
#[cfg_attr(
    not(feature = "__testkit"),
    allow(dead_code, unreachable_pub, reason = "exported for the testkit")
)]
mod in_process;
mod lifecycle;
mod listeners;
mod main_end;
mod master_death_hook;
mod monitor;
mod panic_hook;
mod passed_stderr;
mod ready;
mod ready_notifier;
#[cfg(feature = "http")]
mod request_counts;
mod shortage_log;
mod shutdown;
mod socket_kind;
mod start;
mod worker;

pub use argument::{ArgumentInfo, ArgumentSpec, FromWorker, Needs};
pub(crate) use argument::{WantedArgument, extract, set_pending};
pub(crate) use assign::{assign, untaken};
pub(crate) use check_listeners::{check_listeners, needs_tls_config, unused_certificate};
pub(crate) use child_env::{child_env, role_warning};
pub(crate) use context::{BodySpec, Context};
pub(crate) use current::current;
#[cfg(feature = "http")]
pub(crate) use current::progress;
pub use current::{closing, is_stopping, not_ready, notify_ready, shutdown, streams_ended, worker};
pub use from_worker_error::FromWorkerError;
#[cfg(feature = "__testkit")]
pub use in_process::{InProcessWorker, WorkerEvent};
pub(crate) use lifecycle::DrainTimes;
pub(crate) use main_end::report as report_end;
pub use main_end::{Describe, MainGuard, Returned};
pub use ready::Ready;
pub(crate) use ready_notifier::{SingleEvent, SingleObserver};
#[cfg(feature = "http")]
pub(crate) use shutdown::ShutdownProgress;
pub use shutdown::{Closing, Shutdown, StreamsEnded};
pub(crate) use socket_kind::OfferedListener;
pub use socket_kind::SocketKind;
pub(crate) use start::{start_from_env, start_single};
pub use worker::Worker;
