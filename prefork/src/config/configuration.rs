//! The argument of the `configure` function: the options and their setters.
//!
//! The setters are generated from the table of options, for each that has a variable. There are
//! none for options that are functions: a worker does not call `configure`, so it would not have
//! them.

use super::layers::ProgramSource;
use super::{Environment, OptionLayers, Settings, resolve, usable_cpus};

/// The options, as a [`configure`](crate::Prefork::configure) function gets them.
///
/// It contains the values of the program and of the environment; [`settings`](Self::settings)
/// returns them. For each option that has an environment variable, there is a setter of the same
/// name.
///
/// A setter replaces the previous value. For `listen` it replaces the whole list; only the
/// environment can replace a single entry.
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
/// An upper limit for the number of workers:
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
    options: OptionLayers,
    environment: Environment,
}

impl Configuration {
    pub(crate) fn new(mut options: OptionLayers, environment: Environment) -> Self {
        options.source = ProgramSource::Configure;
        Self {
            options,
            environment,
        }
    }

    /// Returns the current value of each option.
    ///
    /// The values include the defaults, and the changes that were made with the setters. A port
    /// that is still missing is 0.
    pub fn settings(&self) -> Settings {
        let settled = resolve(self.options.clone(), &self.environment, usable_cpus);
        Settings::new(settled.config)
    }

    pub(crate) fn into_options(self) -> OptionLayers {
        self.options
    }

    pub(super) fn options_mut(&mut self) -> &mut OptionLayers {
        &mut self.options
    }
}
