//! The end of `main`, sent to the master as soon as it is known: the process may go on for a while, for the blocking tasks
//! of a runtime, for example.
//!
//! The attribute calls this from inside of what `main` is wrapped in, so that it is known before any runtime waits.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use super::context::{Context, current};
use crate::channel::MainEnd;

thread_local! {
    /// The last panic of this thread, by its message and its location.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panic said, for the case that `main` ends by it.
pub(super) fn note_panic(description: &str) {
    // A panic while the thread ends has no place for it, and nothing left to report.
    let _ = LAST_PANIC.try_with(|last| *last.borrow_mut() = Some(description.to_owned()));
}

/// Reports that what this thread ran as `main` has ended; whoever reports first knows most.
pub(crate) fn report(context: &Context) {
    context.main_ended(if std::thread::panicking() {
        let panic = LAST_PANIC.try_with(RefCell::take).ok().flatten();
        MainEnd::Panicked(panic.unwrap_or_default())
    } else {
        MainEnd::Returned
    });
}

/// Reports the end of `main`: by a call when it returns, by its drop when it panics.
#[derive(Debug)]
#[must_use = "it reports a panic of what runs while it is there"]
pub struct MainGuard {
    context: Option<Arc<Context>>,
}

impl MainGuard {
    /// `main` begins.
    pub fn new() -> Self {
        Self { context: current() }
    }

    /// `main` has returned this value, which is handed on; `describe` gives the error that it is.
    pub fn returned<T>(
        self,
        value: T,
        describe: impl FnOnce(&Returned<'_, T>) -> Option<String>,
    ) -> T {
        if let Some(context) = &self.context {
            context.main_ended(match describe(&Returned(&value)) {
                None => MainEnd::Returned,
                Some(error) => MainEnd::Failed(error),
            });
        }
        value
    }
}

impl Default for MainGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MainGuard {
    fn drop(&mut self) {
        if let (true, Some(context)) = (std::thread::panicking(), &self.context) {
            report(context);
        }
    }
}

/// What `main` returned, asked for its error. `Debug` of an error is what the standard library prints as well.
pub trait Describe {
    /// The error that it is, if it is one and can be shown.
    fn failure(&self) -> Option<String>;
}

/// A value whose type is known where this is made: a call of [`Describe::failure`] on a reference to it finds the
/// implementation for results first, and the one for everything else by one reference more.
#[derive(Debug)]
pub struct Returned<'a, T>(pub &'a T);

impl<T, E: fmt::Debug> Describe for Returned<'_, Result<T, E>> {
    fn failure(&self) -> Option<String> {
        self.0.as_ref().err().map(|error| format!("{error:?}"))
    }
}

impl<T> Describe for &Returned<'_, T> {
    fn failure(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_described_as_the_standard_library_prints_it() {
        let failed: Result<(), String> = Err("no database".to_owned());
        assert_eq!(
            Returned(&failed).failure().as_deref(),
            Some("\"no database\"")
        );
        let good: Result<(), String> = Ok(());
        assert_eq!(Returned(&good).failure(), None);
    }

    #[test]
    fn what_is_no_result_has_no_error() {
        assert_eq!((&Returned(&())).failure(), None);
        assert_eq!(
            (&Returned(&std::process::ExitCode::FAILURE)).failure(),
            None
        );
    }
}
