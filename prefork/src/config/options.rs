//! What was said: one field per row of the table, empty where nothing was said.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::time::Duration;

use prefork_options::{Address, Network, ParseError, Window, Workers};

use super::IntoOption;
use crate::error::{BadOption, Error};

/// The type behind a kind of the table.
macro_rules! kind_type {
    (addresses) => { Vec<Address> };
    (workers) => { Workers };
    (count) => { u32 };
    (duration) => { Duration };
    (window) => { Window };
    (network) => { Network };
    (flag) => { bool };
    (threads) => { NonZeroUsize };
}

/// How a text of this kind is read.
macro_rules! kind_parse {
    (addresses, $text:expr) => {
        prefork_options::list::parse($text)
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
    (threads, $text:expr) => {
        prefork_options::threads::parse($text)
    };
}

macro_rules! define {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ident {
            env: $env:literal, default: $default:literal, $(unit: $unit:literal,)? since: $since:literal
        } )* }
        // Their setters stand in the builder: each is a function of its own kind.
        code { $($code:tt)* }
    ) => {
        /// What the user said so far. Mistakes are kept, so that all can be told at once.
        #[derive(Debug, Clone, Default)]
        pub(crate) struct Options {
            $(pub(crate) $name: Option<kind_type!($kind)>,)*
            pub(super) mistakes: Vec<BadOption>,
        }

        impl Options {
            /// Sets an option from text, as the environment gives it.
            pub(crate) fn set_text(&mut self, name: &str, place: &str, text: &str) {
                match name {
                    $(stringify!($name) => match kind_parse!($kind, text) {
                        Ok(value) => self.$name = Some(value),
                        Err(reason) => self.mistake(place, &reason),
                    },)*
                    _ => {}
                }
            }
        }

        /// The options. Each is documented with its default; a value that cannot be used is
        /// reported when the program is run, together with all others.
        impl crate::Prefork {
            $(
                $(#[doc = $doc])*
                #[doc = ""]
                #[doc = concat!("Default: ", $default, ".", $(" Unit: ", $unit, ".",)? " In the environment: `", $env, "`. Since ", $since, ".")]
                pub fn $name(&mut self, value: impl IntoOption<kind_type!($kind)>) -> &mut Self {
                    let options = self.options_mut();
                    match value.into_option() {
                        Ok(value) => options.$name = Some(value),
                        Err(reason) => options.mistake(stringify!($name), &reason),
                    }
                    self
                }
            )*
        }
    };
}

prefork_options::options! { define }

impl Options {
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

    /// # Errors
    /// All mistakes so far.
    pub(super) fn without_mistakes(self) -> Result<Self, Error> {
        if self.mistakes.is_empty() {
            return Ok(self);
        }
        Err(Error::Options(self.mistakes))
    }
}
