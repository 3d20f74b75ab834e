//! Reports the end of `main` to the master as soon as it is known.
//!
//! The process may run longer, for example because a runtime waits for its blocking tasks. So the
//! attribute calls this file inside the function that a runtime runs, before the runtime waits.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use super::context::Context;
use super::current::current;
use crate::channel::MainEnd;

thread_local! {
    /// Message and location of the last panic of this thread.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Stores the text of a panic, in case it ends `main`.
pub(super) fn note_panic(description: &str) {
    // If the thread is exiting, the variable is gone. There is nothing left to report then.
    let _ = LAST_PANIC.try_with(|last| *last.borrow_mut() = Some(description.to_owned()));
}

/// Reports that `main` on this thread has ended. The first report counts: it has the most detail.
pub(crate) fn report(context: &Context) {
    context.main_ended(if std::thread::panicking() {
        let panic = LAST_PANIC.try_with(RefCell::take).ok().flatten();
        MainEnd::Panicked(panic.unwrap_or_default())
    } else {
        MainEnd::Returned
    });
}

/// Reports the end of `main`: in `returned`, or in the drop if `main` panics.
#[derive(Debug)]
#[must_use = "it reports a panic only while it exists"]
pub struct MainGuard {
    context: Option<Arc<Context>>,
}

impl MainGuard {
    /// Creates the guard at the beginning of `main`.
    pub fn new() -> Self {
        Self { context: current() }
    }

    /// Reports that `main` returned this value, and returns the value.
    ///
    /// `describe` returns the text of the error if the value is one.
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

/// Returns the error that `main` returned.
///
/// The error is formatted by `Debug`, as the standard library prints it.
pub trait Describe {
    /// Returns the text of the error, if the value is an error with `Debug`.
    fn failure(&self) -> Option<String>;
}

/// Selects an implementation of [`Describe`] by the type of the value.
///
/// Method resolution on a reference finds the implementation for results first. The one for all
/// other types needs one more reference.
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
    fn a_value_that_is_not_a_result_has_no_error() {
        assert_eq!((&Returned(&())).failure(), None);
        assert_eq!(
            (&Returned(&std::process::ExitCode::FAILURE)).failure(),
            None
        );
    }
}
