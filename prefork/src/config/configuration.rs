//! The argument of the `configure` function: the options with their setters and getters.
//!
//! Both are generated from the table of options, for each that has a variable. There are
//! none for options that are functions: a worker does not call `configure`, so it would not have
//! them.

use prefork_options::IntoOption;

use super::config::Getter;
use super::layers::ProgramSource;
use super::{Config, Environment, OptionLayers, resolve, usable_cpus};

/// The options, as a [`configure`](crate::Prefork::configure) function gets them.
///
/// It contains the values of the program and of the environment. For each option that has an
/// environment variable, there is a setter of the same name, and a getter with the prefix `get_`,
/// as in [`Command`](std::process::Command). A getter resolves all sources again, so it returns the
/// value that a start would use now.
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
///     let workers = configuration.get_workers();
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

    fn config(&self) -> Config {
        resolve(self.options.clone(), &self.environment, usable_cpus).config
    }

    pub(crate) fn into_options(self) -> OptionLayers {
        self.options
    }
}

macro_rules! define {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ty {
            $(env: $env:literal, $(#[doc = $note:expr])* getter: $getter:ident -> $view:ty,)?
            $(feature: $feature:literal,)? default: $($row:tt)*
        } )* }
        code { $($code:tt)* }
    ) => {
        /// The setters: they have a higher precedence than all other sources.
        impl Configuration {
            $($(
                #[doc = concat!(
                    "Sets the option [`", stringify!($name), "`](crate::Prefork::", stringify!($name),
                    "), whether or not `", $env, "` is set."
                )]
                #[track_caller]
                pub fn $name(&mut self, value: impl IntoOption<$kind>) -> &mut Self {
                    self.options.set(stringify!($name), |it| &mut it.$name, value.into_option());
                    self
                }
            )?)*
        }

        /// The getters: the current values, with the defaults and the changes of the setters.
        impl Configuration {
            $($(
                #[doc = concat!(
                    "Returns the value of the option [`", stringify!($name), "`](crate::Prefork::",
                    stringify!($name), ")."
                )]
                #[doc = ""]
                $(#[doc = $note])*
                pub fn $getter(&self) -> $view {
                    Getter::<$kind, $view>::get(self.config().$name)
                }
            )?)*
        }
    };
}

prefork_options::options! { define }
