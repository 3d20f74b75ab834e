//! Inside a worker: its start, the arguments of `main`, readiness, the monitor thread, and shutdown.
//!
//! It knows the channel, the listeners and `main`. It does not know how the master supervises it.

mod agree;
mod arg_error;
mod argument;
mod assign;
mod start;
mod context;
mod drain;
mod master_death;
mod in_process;
mod panic_hook;
mod child_env;
mod main_end;
mod ready;
mod listeners;
mod shortages;
mod shutdown;
#[cfg(feature = "tls")]
mod tls_source;
mod monitor;
mod worker;

pub(crate) use agree::{OfferedListener, check_tls, unused_certificate, needs_tls_config};
pub use arg_error::ArgError;
pub use argument::{Argument, ArgumentKind, ArgumentInfo, ArgumentSpec};
pub(crate) use argument::{set_pending, extract};
pub(crate) use assign::{WantedArgument, assign, untaken};
pub(crate) use context::{Context, BodySpec, OnShortage, current};
pub use in_process::{InProcessWorker, WorkerEvent};
pub(crate) use child_env::{child_env, role_warning};
pub(crate) use main_end::report as report_end;
pub use main_end::{Describe, MainGuard, Returned};
pub use ready::{Ready, ready};
pub use shutdown::{Shutdown, shutdown};
pub use worker::{Worker, worker};
