//! The two functions that the expansion of the attribute calls.

use std::process::ExitCode;

use crate::builder::Prefork;
use crate::channel::MainEnd;
use crate::master::Log;
use crate::run::report;
use crate::runtime::Body;
use crate::worker::{ArgumentSpec, FromWorkerError, current};

/// Runs a generated `main`, from the options to the exit status.
pub fn run<R, K>(
    options: impl FnOnce(Prefork) -> Prefork,
    wants: impl Into<Vec<ArgumentSpec>>,
    entry: impl FnOnce() -> R,
) -> ExitCode
where
    R: Body<K>,
{
    let prefork = options(Prefork::new().set_by_attribute());
    report(prefork.handle_signals().run_with(wants.into(), |_| entry()))
}

/// Creates an argument of `main`. On an error the worker exits, because `main` cannot be called.
pub fn extract<T: 'static>(index: usize) -> T {
    let taken = match current() {
        Some(context) => crate::worker::extract(index, &context),
        None => Err(FromWorkerError::new("main was called outside a worker").of_main("", index)),
    };
    taken.unwrap_or_else(|error| {
        if let Some(context) = current() {
            context.main_ended(MainEnd::Unable(error.chain()));
        }
        Log::fatal(&error);
        std::process::exit(error.exit_code().into())
    })
}
