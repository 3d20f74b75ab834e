//! The two calls that the attribute expands to.

use std::process::ExitCode;
use std::time::SystemTime;

use super::{Prefork, report};
use crate::config::{Environment, settle, usable_cpus};
use crate::error::Error;
use crate::master::Log;
use crate::runtime::Body;
use crate::tls::Handed;
use crate::worker::{ArgError, Certificates, Want, current};

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

/// What a master with these options would hand over of certificates; the environment has no say.
///
/// # Errors
/// Those of the options, and of what they name.
pub fn certificates(prefork: &Prefork) -> Result<Option<Certificates>, Error> {
    let settled = settle(
        prefork.options.clone(),
        &Environment::default(),
        usable_cpus,
    );
    settled.check()?;
    let (handed, _news) = Handed::by_itself(&settled.config, SystemTime::now())?;
    Ok(handed.map(Certificates))
}

/// An argument of `main`, made where it is needed. One that cannot be made ends the worker:
/// there is no body to tell.
pub fn take<T: 'static>(index: usize) -> T {
    let taken = match current() {
        Some(context) => crate::worker::take(index, &context),
        None => Err(ArgError::new("main was called outside of a worker").of_main("", index)),
    };
    taken.unwrap_or_else(|error| {
        Log::last(&error.paragraph());
        std::process::exit(error.exit_code().into())
    })
}
