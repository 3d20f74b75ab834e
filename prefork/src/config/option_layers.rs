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
                        let parse = |text: &str| kind_parse!($kind, text);
                        let OptionLayers { $name: layers, errors, replaced, .. } = self;
                        let reports = Reports { errors, replaced };
                        record_text(layers, reports, parse, text, variable);
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
                #[doc = concat!("prefork::Prefork::new().", stringify!($name), "(", stringify!($example), ");")]
                #[doc = "```"]
                #[track_caller]
                pub fn $name(&mut self, value: impl IntoOption<kind_type!($kind)>) -> &mut Self {
                    let OptionLayers { $name: layers, errors, replaced, source, .. } = self.options_mut();
                    let origin = Origin::Program(*source, Location::caller());
                    let reports = Reports { errors, replaced };
                    layers.record(reports, stringify!($name), value.into_option(), origin);
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
                    let reports = Reports { errors, replaced };
                    layers.record(reports, stringify!($name), value.into_option(), origin);
                    self
                }
            )?)*
        }
    };
}

prefork_options::options! { define }

/// Where the errors of values are recorded.
///
/// Its methods do not depend on the type of the option, so that each exists once.
struct Reports<'a> {
    errors: &'a mut Vec<OptionError>,
    replaced: &'a mut Vec<String>,
}

impl Reports<'_> {
    /// Turns the errors of these labels, whose values were replaced, into lines of
    /// `PREFORK_EXPLAIN`.
    #[cold]
    fn replace(&mut self, labels: &[String], by: &Origin) {
        let is_replaced = |error: &mut OptionError| labels.contains(&error.label);
        let replaced = self.errors.extract_if(.., is_replaced);
        self.replaced
            .extend(replaced.map(|error| format!("{error} (overridden by {by})")));
    }

    /// Records an error. Returns its label.
    #[cold]
    fn add(&mut self, option: &str, reason: &dyn Display, origin: &Origin) -> String {
        let label = origin.label(option);
        self.errors.push(OptionError {
            label: label.clone(),
            reason: reason.to_string(),
        });
        label
    }
}

/// Records a value in the layers of its option, or its error.
///
/// A valid value replaces earlier invalid ones. Their errors no longer fail the start; they become
/// lines of `PREFORK_EXPLAIN`.
///
/// Implemented for each type, so that it is compiled once. The code of a generic function would be
/// compiled again in each program that calls a setter, far from the code of this crate.
trait Record<T> {
    fn record(
        &mut self,
        reports: Reports<'_>,
        option: &str,
        value: Result<T, ParseError>,
        origin: Origin,
    );
}

macro_rules! records {
    ($($type:ty),*) => { $(
        impl Record<$type> for Layers<$type> {
            fn record(
                &mut self,
                reports: Reports<'_>,
                option: &str,
                value: Result<$type, ParseError>,
                origin: Origin,
            ) {
                record(self, reports, option, value, origin);
            }
        }
    )* };
}

records! { Vec<Address>, Workers, u32, Duration, Window, Network, bool, Prefix, NonZeroUsize, Pem, Protocols }

fn record<T>(
    layers: &mut Layers<T>,
    mut reports: Reports<'_>,
    option: &str,
    value: Result<T, ParseError>,
    origin: Origin,
) {
    match value {
        Ok(value) => {
            let invalid = layers.clear_invalid();
            if !invalid.is_empty() {
                reports.replace(&invalid, &origin);
            }
            layers.push(value, origin);
        }
        Err(reason) => {
            layers.mark_invalid(reports.add(option, &reason, &origin));
        }
    }
}

/// Records the value of a variable, or its error.
fn record_text<T>(
    layers: &mut Layers<T>,
    mut reports: Reports<'_>,
    parse: fn(&str) -> Result<T, ParseError>,
    text: Result<&str, String>,
    variable: &str,
) where
    Layers<T>: Merge<T> + Record<T>,
{
    let origin = Origin::Variable(variable.to_owned());
    let value = match text {
        Ok(text) => parse(text),
        Err(reason) => {
            layers.mark_invalid(reports.add(variable, &reason, &origin));
            return;
        }
    };
    let value = match value {
        Ok(value) if !layers.can_take(&value) => return,
        Ok(value) => Ok(layers.merge(value)),
        Err(reason) => Err(reason),
    };
    layers.record(reports, variable, value, origin);
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
