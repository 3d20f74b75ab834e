//! From what a body returns to an exit status: at once, or on a runtime.

#[cfg(feature = "tokio")]
mod tokio;

use std::num::NonZeroUsize;
use std::process::Termination;
use std::time::Duration;

/// What a body may return: something that is `Termination`, or a future of it.
///
/// `Kind` only tells the two apart.
#[diagnostic::on_unimplemented(
    message = "a body cannot return `{Self}`",
    label = "neither `Termination` nor a future of it",
    note = "return `()`, `ExitCode`, `Result<(), E>` or another `Termination`; an async body needs \
            feature `tokio` of prefork, or a runtime's attribute below `#[prefork::main]`, or \
            `runtime = path`"
)]
pub trait Body<Kind> {
    /// What it returns in the end.
    type Output: Termination;

    /// Whether it runs on a runtime of ours.
    const NEEDS_RUNTIME: bool;

    /// Runs it to its end, on a runtime of ours with so many threads where it needs one. `time_to_exit` is asked once
    /// the body has ended: the runtime waits that long for its blocking tasks.
    fn finish(self, threads: NonZeroUsize, time_to_exit: impl FnOnce() -> Duration)
    -> Self::Output;
}

/// A body that has ended when it returns.
#[derive(Debug)]
pub enum Sync {}

impl<T: Termination> Body<Sync> for T {
    type Output = T;

    const NEEDS_RUNTIME: bool = false;

    fn finish(self, _threads: NonZeroUsize, _time_to_exit: impl FnOnce() -> Duration) -> T {
        self
    }
}
