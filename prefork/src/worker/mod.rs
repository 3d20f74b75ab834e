//! Inside a worker: its start, the arguments of `main`, readiness, the monitor thread, and shutdown.
//!
//! It knows the channel, the listeners and `main`. It does not know how the master supervises it.

mod agree;
mod arg_error;
mod argument;
mod assign;
mod birth;
mod context;
mod drain;
mod farewell;
mod guest;
mod last_words;
mod latch;
mod main_end;
mod ready;
mod seats;
mod shortages;
mod shutdown;
#[cfg(feature = "tls")]
mod tls;
mod watch;
mod worker;

pub(crate) use agree::{Offered, agree, unshown, wants_config};
pub use arg_error::ArgError;
pub use argument::{Argument, ArgumentKind, Request, Want};
pub(crate) use argument::{lay_down, take};
pub(crate) use assign::{Wanted, assign, untaken};
pub(crate) use context::{Context, Declared, OnShortage, current};
pub use guest::{Guest, Word};
pub(crate) use latch::{latched, role_warning};
pub(crate) use main_end::report as report_end;
pub use main_end::{Describe, MainGuard, Returned};
pub use ready::{Ready, ready};
pub use shutdown::{Shutdown, shutdown};
pub use worker::{Worker, worker};
