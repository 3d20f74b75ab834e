//! The layers of all options: one field per row of the table of options.
//!
//! Also generates the setters of `Prefork` and `Configuration`. It does not know how layers are
//! resolved.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::path::PathBuf;
use std::time::Duration;

use prefork_options::{Address, Network, ParseError, Pem, Prefix, Protocols, Window, Workers};

use super::layers::{Layers, Origin, ProgramSource};
use super::listen::override_named;
use super::{Configuration, IntoOption};
use crate::error::OptionError;

/// The type of a kind of the table.
macro_rules! kind_type {
    (addresses) => { Vec<Address> };
    (workers) => { Workers };
    (count) => { u32 };
    (duration) => { Duration };
    (window) => { Window };
    (network) => { Network };
    (flag) => { bool };
    (prefix) => { Prefix };
    (threads) => { NonZeroUsize };
    (pem) => { Pem };
    (protocols) => { Protocols };
}

/// Parses a text of a kind.
macro_rules! kind_parse {
    (addresses, $text:expr) => {
        prefork_options::list::read($text)
    };
    (workers, $text:expr) => {
        prefork_options::workers::parse($text)
    };
    (count, $text:expr) => {
        prefork_options::count::parse($text)
    };
    (duration, $text:expr) => {
        prefork_options::duration::parse($text)
    };
    (window, $text:expr) => {
        prefork_options::window::parse($text)
    };
    (network, $text:expr) => {
        prefork_options::network::parse($text)
    };
    (flag, $text:expr) => {
        prefork_options::flag::parse($text)
    };
    (prefix, $text:expr) => {
        prefork_options::prefix::parse($text)
    };
    (threads, $text:expr) => {
        prefork_options::threads::parse($text)
    };
    (pem, $text:expr) => {
        prefork_options::pem::parse($text)
    };
    (protocols, $text:expr) => {
        prefork_options::protocols::parse($text)
    };
}

/// The `main` of an example. For an option of the runtime it is async, because only that has a
/// runtime.
macro_rules! main_of {
    (threads) => {
        "async fn main() {}"
    };
    ($kind:ident) => {
        "fn main() {}"
    };
}

#[cfg(all(feature = "tokio", not(feature = "tls")))]
macro_rules! fence_of_threads {
    () => {
        "no_run"
    };
}

#[cfg(not(feature = "tokio"))]
macro_rules! fence_of_threads {
    () => {
        "ignore"
    };
}

/// The code fence of an example. If the feature of the option is off, the example is not compiled.
#[cfg(feature = "tls")]
macro_rules! fence {
    ($kind:ident) => {
        "no_run"
    };
}

#[cfg(not(feature = "tls"))]
macro_rules! fence {
    (threads) => {
        fence_of_threads!()
    };
    (pem) => {
        "ignore"
    };
    (protocols) => {
        "ignore"
    };
    ($kind:ident) => {
        "no_run"
    };
}

macro_rules! define {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ident {
            $(env: $env:literal,)? $(feature: $feature:literal,)? default: $default:literal,
            $(unit: $unit:literal,)? since: $since:literal,
            example: $example:expr
        } )* }
        // Their setters are written by hand in the builder, because each takes another function
        // type.
        code { $($code:tt)* }
    ) => {
        /// The layers of all options. Errors are collected, so that all are reported at once.
        #[derive(Debug, Clone, Default)]
        pub(crate) struct OptionLayers {
            $(pub(crate) $name: Layers<kind_type!($kind)>,)*
            /// The names and origins of the functions that were set.
            pub(super) callbacks: Vec<(&'static str, Origin)>,
            pub(super) errors: Vec<OptionError>,
            /// Errors of values that a later layer replaced, a line each.
            pub(super) replaced: Vec<String>,
            /// The source that calls the setters.
            pub(crate) source: ProgramSource,
            /// The base of relative paths.
            pub(crate) directory: Option<PathBuf>,
        }

        impl OptionLayers {
            /// Sets an option from the text of a variable, or records why the text is invalid.
            pub(super) fn set_text(&mut self, name: &str, variable: &str, text: Result<&str, String>) {
                match name {
                    $(stringify!($name) => {
                        let parsed = text.and_then(|text| kind_parse!($kind, text).map_err(|reason| reason.to_string()));
                        if parsed.as_ref().is_ok_and(|value| !self.$name.can_take(value)) {
                            return;
                        }
                        let parsed = parsed.map(|value| self.$name.merge(value));
                        let origin = Origin::Variable(variable.to_owned());
                        let OptionLayers { $name: layers, errors, replaced, .. } = self;
                        record(layers, (errors, replaced), stringify!($name), parsed, origin);
                    })*
                    _ => {}
                }
            }
        }

        impl OptionLayers {
            /// The feature and error label of each valid option that needs a feature.
            pub(super) fn of_features(&self) -> Vec<(&'static str, String)> {
                let mut found = Vec::new();
                $($(
                    if let Some(last) = self.$name.last().filter(|_| self.$name.is_valid()) {
                        found.push(($feature, last.origin.label(stringify!($name))));
                    }
                )?)*
                found
            }
        }

        /// Options with values.
        ///
        /// An invalid value is reported by `run` or `start`, together with all other errors.
        impl crate::Prefork {
            $(
                $(#[doc = $doc])*
                #[doc = ""]
                #[doc = concat!(
                    "Default: ", $default, ".", $(" Unit: ", $unit, ".",)?
                    $(" Environment variable: `", $env, "`.",)?
                    $(" Needs feature `", $feature, "`.",)? " Since ", $since, "."
                )]
                #[doc = concat!("# Examples\n```", fence!($kind))]
                #[doc = concat!("#[prefork::main(", stringify!($name), " = ", stringify!($example), ")]")]
                #[doc = concat!(main_of!($kind), "\n```\n```no_run")]
                #[doc = concat!("prefork::Prefork::new().", stringify!($name), "(", stringify!($example), ")")]
                #[doc = "```"]
                #[track_caller]
                pub fn $name(mut self, value: impl IntoOption<kind_type!($kind)>) -> Self {
                    let OptionLayers { $name: layers, errors, replaced, source, .. } = &mut self.options;
                    let origin = Origin::Program(*source, Location::caller());
                    let parsed = value.into_option();
                    record(layers, (errors, replaced), stringify!($name), parsed, origin);
                    self
                }
            )*
        }

        /// The setters: they have a higher precedence than all other sources.
        impl Configuration {
            $($(
                #[doc = concat!(
                    "Sets the option [`", stringify!($name), "`](crate::Prefork::", stringify!($name),
                    "), whether or not `", $env, "` is set."
                )]
                #[track_caller]
                pub fn $name(&mut self, value: impl IntoOption<kind_type!($kind)>) -> &mut Self {
                    let OptionLayers { $name: layers, errors, replaced, source, .. } = self.options_mut();
                    let origin = Origin::Program(*source, Location::caller());
                    let parsed = value.into_option();
                    record(layers, (errors, replaced), stringify!($name), parsed, origin);
                    self
                }
            )?)*
        }
    };
}

prefork_options::options! { define }

/// Records a value in the layers of its option, or its error.
///
/// A valid value replaces earlier invalid ones. Their errors no longer fail the start; they become
/// lines of `PREFORK_EXPLAIN`.
fn record<T>(
    layers: &mut Layers<T>,
    (errors, replaced): (&mut Vec<OptionError>, &mut Vec<String>),
    option: &str,
    value: Result<T, impl Display>,
    origin: Origin,
) {
    match value {
        Ok(value) => {
            let invalid = layers.clear_invalid();
            let is_replaced = |error: &mut OptionError| invalid.contains(&error.label);
            replaced.extend(
                errors
                    .extract_if(.., is_replaced)
                    .map(|error| format!("{error} (overridden by {origin})")),
            );
            layers.push(value, origin);
        }
        Err(reason) => {
            let label = origin.label(option);
            layers.mark_invalid(label.clone());
            errors.push(OptionError {
                label,
                reason: reason.to_string(),
            });
        }
    }
}

/// How a value of the environment combines with the value of the program.
trait Merge<T> {
    fn merge(&self, value: T) -> T;

    /// Whether the value can be combined with the valid layers.
    fn can_take(&self, _value: &T) -> bool {
        true
    }
}

macro_rules! replaces {
    ($($type:ty),*) => { $(
        impl Merge<$type> for Layers<$type> {
            fn merge(&self, value: $type) -> $type {
                value
            }
        }
    )* };
}

replaces! { Workers, u32, Duration, Window, Network, bool, Prefix, NonZeroUsize, Pem, Protocols }

impl Merge<Vec<Address>> for Layers<Vec<Address>> {
    fn merge(&self, value: Vec<Address>) -> Vec<Address> {
        let declared = self.value().cloned().unwrap_or_default();
        override_named(&declared, value)
    }

    /// If the program's list is invalid, it is unknown which of its entries a named address
    /// replaces.
    fn can_take(&self, value: &Vec<Address>) -> bool {
        self.is_valid() || value.iter().any(|address| address.name.is_none())
    }
}

impl OptionLayers {
    /// Records that the program set a function.
    pub(crate) fn record_callback(
        &mut self,
        name: &'static str,
        location: &'static Location<'static>,
    ) {
        self.callbacks.retain(|(other, _)| *other != name);
        self.callbacks
            .push((name, Origin::Program(self.source, location)));
    }

    /// Whether each value is valid by itself. Whether they fit together is checked during
    /// resolution.
    pub(crate) fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// Records an error under a label.
    pub(super) fn add_error(&mut self, label: &str, reason: &impl Display) {
        self.errors.push(OptionError {
            label: label.to_owned(),
            reason: reason.to_string(),
        });
    }

    /// Records the error of a result under a label, or returns its value.
    pub(super) fn check<T>(&mut self, label: &str, result: Result<T, ParseError>) -> Option<T> {
        result.map_err(|reason| self.add_error(label, &reason)).ok()
    }
}
