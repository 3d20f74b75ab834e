//! What was said: one field per row of the table, empty where nothing was said.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::path::PathBuf;
use std::time::Duration;

use prefork_options::{Address, Network, ParseError, Pem, Prefix, Protocols, Window, Workers};

use super::endpoint::over;
use super::origin::{Door, Layers, Origin};
use super::{Configuration, IntoOption};
use crate::error::BadOption;

/// The type behind a kind of the table.
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

/// How a text of this kind is read.
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

/// An option of the runtime shows an async `main`, which needs one.
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

/// An example of an option whose feature is off is shown, and would be refused.
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
        // Their setters stand in the builder: each is a function of its own kind.
        code { $($code:tt)* }
    ) => {
        /// What the user said so far. Mistakes are kept, so that all can be told at once.
        #[derive(Debug, Clone, Default)]
        pub(crate) struct Options {
            $(pub(crate) $name: Layers<kind_type!($kind)>,)*
            /// The functions that were given, by name.
            pub(super) code: Vec<(&'static str, Origin)>,
            pub(super) mistakes: Vec<BadOption>,
            /// Mistakes in values that a later layer replaced, a line each.
            pub(super) replaced: Vec<String>,
            /// Where the setters are called from.
            pub(crate) door: Door,
            /// Where relative paths begin.
            pub(crate) directory: Option<PathBuf>,
        }

        impl Options {
            /// Sets an option from text, as the environment gives it, or keeps why there is none.
            pub(super) fn set_text(&mut self, name: &str, variable: &str, text: Result<&str, String>) {
                match name {
                    $(stringify!($name) => {
                        let said = text.and_then(|text| kind_parse!($kind, text).map_err(|reason| reason.to_string()));
                        if said.as_ref().is_ok_and(|value| !self.$name.can_take(value)) {
                            return;
                        }
                        let said = said.map(|value| self.$name.joined(value));
                        let origin = Origin::Variable(variable.to_owned());
                        let Options { $name: layers, mistakes, replaced, .. } = self;
                        keep(layers, (mistakes, replaced), stringify!($name), said, origin);
                    })*
                    _ => {}
                }
            }
        }

        impl Options {
            /// The options of features that were said and hold: of which, and whom a mistake in it is told by.
            pub(super) fn of_features(&self) -> Vec<(&'static str, String)> {
                let mut said = Vec::new();
                $($(
                    if let Some(last) = self.$name.last().filter(|_| self.$name.is_known()) {
                        said.push(($feature, last.origin.place(stringify!($name))));
                    }
                )?)*
                said
            }
        }

        /// The options. Each is documented with its default; a value that cannot be used is
        /// reported when the program is run, together with all others.
        impl crate::Prefork {
            $(
                $(#[doc = $doc])*
                #[doc = ""]
                #[doc = concat!(
                    "Default: ", $default, ".", $(" Unit: ", $unit, ".",)?
                    $(" In the environment: `", $env, "`.",)?
                    $(" Needs feature `", $feature, "`.",)? " Since ", $since, "."
                )]
                #[doc = concat!("# Examples\n```", fence!($kind))]
                #[doc = concat!("#[prefork::main(", stringify!($name), " = ", stringify!($example), ")]")]
                #[doc = concat!(main_of!($kind), "\n```\n```no_run")]
                #[doc = concat!("prefork::Prefork::new().", stringify!($name), "(", stringify!($example), ");")]
                #[doc = "```"]
                #[track_caller]
                pub fn $name(&mut self, value: impl IntoOption<kind_type!($kind)>) -> &mut Self {
                    let Options { $name: layers, mistakes, replaced, door, .. } = self.options_mut();
                    let origin = Origin::Program(*door, Location::caller());
                    let said = value.into_option();
                    keep(layers, (mistakes, replaced), stringify!($name), said, origin);
                    self
                }
            )*
        }

        /// The options that an operator may say as well, with the last word.
        impl Configuration {
            $($(
                #[doc = concat!(
                    "Sets what [`Prefork::", stringify!($name), "`](crate::Prefork::", stringify!($name),
                    ") does, whatever `", $env, "` says."
                )]
                #[track_caller]
                pub fn $name(&mut self, value: impl IntoOption<kind_type!($kind)>) -> &mut Self {
                    let Options { $name: layers, mistakes, replaced, door, .. } = self.options_mut();
                    let origin = Origin::Program(*door, Location::caller());
                    let said = value.into_option();
                    keep(layers, (mistakes, replaced), stringify!($name), said, origin);
                    self
                }
            )?)*
        }
    };
}

prefork_options::options! { define }

/// Keeps what was said of an option: in its layers, or among the mistakes. A value also replaces those that could not be
/// read before it: their mistakes count no longer, and are lines of an explanation.
fn keep<T>(
    layers: &mut Layers<T>,
    (mistakes, replaced): (&mut Vec<BadOption>, &mut Vec<String>),
    option: &str,
    said: Result<T, impl Display>,
    origin: Origin,
) {
    match said {
        Ok(value) => {
            let unread = layers.replace_unread();
            let is_replaced = |mistake: &mut BadOption| unread.contains(&mistake.place);
            replaced.extend(
                mistakes
                    .extract_if(.., is_replaced)
                    .map(|mistake| format!("{mistake} (overridden by {origin})")),
            );
            layers.say(value, origin);
        }
        Err(reason) => {
            let place = origin.place(option);
            layers.note_mistake(place.clone());
            mistakes.push(BadOption {
                place,
                reason: reason.to_string(),
            });
        }
    }
}

/// How the operator's value of a kind joins what the program says.
trait Join<T> {
    fn joined(&self, value: T) -> T;

    /// Whether the value means something on top of what could be read.
    fn can_take(&self, _value: &T) -> bool {
        true
    }
}

macro_rules! replaces {
    ($($type:ty),*) => { $(
        impl Join<$type> for Layers<$type> {
            fn joined(&self, value: $type) -> $type {
                value
            }
        }
    )* };
}

replaces! { Workers, u32, Duration, Window, Network, bool, Prefix, NonZeroUsize, Pem, Protocols }

impl Join<Vec<Address>> for Layers<Vec<Address>> {
    fn joined(&self, value: Vec<Address>) -> Vec<Address> {
        let declared = self.value().cloned().unwrap_or_default();
        over(&declared, value)
    }

    /// Which addresses those with a name replace, is unknown where the program's could not be read.
    fn can_take(&self, value: &Vec<Address>) -> bool {
        self.is_known() || value.iter().any(|address| address.name.is_none())
    }
}

impl Options {
    /// Notes that the program gave a function.
    pub(crate) fn give(&mut self, name: &'static str, place: &'static Location<'static>) {
        self.code.retain(|(given, _)| *given != name);
        self.code.push((name, Origin::Program(self.door, place)));
    }

    /// Whether each value for itself could be read; whether they fit together shows when they are settled.
    pub(crate) fn is_readable(&self) -> bool {
        self.mistakes.is_empty()
    }

    pub(super) fn mistake(&mut self, place: &str, reason: &impl Display) {
        self.mistakes.push(BadOption {
            place: place.to_owned(),
            reason: reason.to_string(),
        });
    }

    /// Keeps a mistake that another layer has found.
    pub(super) fn check<T>(&mut self, place: &str, result: Result<T, ParseError>) -> Option<T> {
        result.map_err(|reason| self.mistake(place, &reason)).ok()
    }
}
