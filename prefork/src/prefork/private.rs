//! The two calls that the attribute expands to.

use std::process::ExitCode;

use super::{Prefork, report};
use crate::channel::MainEnd;
use crate::master::Log;
use crate::runtime::Body;
use crate::worker::{ArgError, Want, current};

/// The whole of a generated `main`.
pub fn run<R, K>(
    options: impl FnOnce(&mut Prefork),
    wants: impl IntoIterator<Item = Want>,
    entry: impl FnOnce() -> R,
) -> ExitCode
where
    R: Body<K>,
{
    let mut prefork = Prefork::new();
    prefork.by_attribute();
    options(&mut prefork);
    prefork.handle_signals();
    let wants = wants.into_iter().collect();
    report(prefork.run_with(wants, |_| entry()))
}

/// An argument of `main`, made where it is needed. One that cannot be made ends the worker:
/// there is no body to tell.
pub fn take<T: 'static>(index: usize) -> T {
    let taken = match current() {
        Some(context) => crate::worker::take(index, &context),
        None => Err(ArgError::new("main was called outside of a worker").of_main("", index)),
    };
    taken.unwrap_or_else(|error| {
        if let Some(context) = current() {
            context.main_ended(MainEnd::Unable(error.one_line()));
        }
        Log::last(&error.paragraph());
        std::process::exit(error.exit_code().into())
    })
}
