//! Running `main`: a blocking function has already returned; a future needs a runtime.

#[cfg(feature = "tokio")]
mod tokio;

use std::num::NonZeroUsize;
use std::process::Termination;
use std::time::Duration;

/// What `main` may return: a `Termination`, or a future of one.
///
/// `Kind` only distinguishes the two implementations.
#[diagnostic::on_unimplemented(
    message = "`main` cannot return `{Self}`",
    label = "expected a `Termination` or a future of one",
    note = "return `()`, `ExitCode`, `Result<(), E>` or another `Termination`; an async `main` needs \
            feature `tokio` of prefork, or a runtime's attribute below `#[prefork::main]`, or \
            `runtime = path`"
)]
pub trait Body<Kind> {
    /// The value that `main` returns, or that its future resolves to.
    type Output: Termination;

    /// Whether it needs a runtime that this crate creates.
    const NEEDS_RUNTIME: bool;

    /// Runs it to completion, if needed on a runtime with this number of threads.
    ///
    /// `exit_time_left` is called once, after the end of `main`: the runtime waits that long for
    /// its blocking tasks.
    fn finish(
        self,
        threads: NonZeroUsize,
        exit_time_left: impl FnOnce() -> Duration,
    ) -> Self::Output;
}

/// Marker of a blocking `main`: the value exists, so `main` has returned.
#[derive(Debug)]
pub enum Blocking {}

impl<T: Termination> Body<Blocking> for T {
    type Output = T;

    const NEEDS_RUNTIME: bool = false;

    fn finish(self, _threads: NonZeroUsize, _exit_time_left: impl FnOnce() -> Duration) -> T {
        self
    }
}
