//! What the function given as `configure` is handed: the last word on what an operator may say.
//!
//! It has the setters of the table, next door in `options`, but none of the functions: a child does not run it, and would
//! not know them.

use super::origin::Door;
use super::{Environment, Options, Settings, settle, usable_cpus};

/// The options after the program and the environment, for the function given as
/// [`configure`](crate::Prefork::configure).
///
/// It has a setter for each option that the environment may set, under the same name; what was set before is in
/// [`settings`](Self::settings).
///
/// A setter replaces what was said before, the list of `listen` as a whole: an entry alone takes the place of one only in
/// the environment.
///
/// # Examples
/// A flag for the port of one of two listeners:
/// ```no_run
/// # use prefork::Configuration;
/// fn port(configuration: &mut Configuration) {
///     if let Some(port) = std::env::args().nth(1) {
///         configuration.listen([format!("http=0.0.0.0:{port}"), "admin=127.0.0.1:9000".to_owned()]);
///     }
/// }
///
/// #[prefork::main(listen = ["http=0.0.0.0:8080", "admin=127.0.0.1:9000"], configure = port)]
/// fn main() {}
/// ```
///
/// What holds so far, bounded:
/// ```no_run
/// # use prefork::Configuration;
/// fn at_most_four(configuration: &mut Configuration) {
///     let workers = configuration.settings().workers();
///     configuration.workers(workers.min(4));
/// }
///
/// #[prefork::main(workers = "auto", configure = at_most_four)]
/// fn main() {}
/// ```
#[derive(Debug)]
pub struct Configuration {
    options: Options,
    environment: Environment,
}

impl Configuration {
    pub(crate) fn new(mut options: Options, environment: Environment) -> Self {
        options.door = Door::Configure;
        Self {
            options,
            environment,
        }
    }

    /// What holds so far, the setters that were called here included. A port that is still open is shown as 0.
    pub fn settings(&self) -> Settings {
        let settled = settle(self.options.clone(), &self.environment, usable_cpus);
        Settings::new(settled.config)
    }

    pub(crate) fn into_options(self) -> Options {
        self.options
    }

    pub(super) fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}
