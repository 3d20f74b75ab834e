//! The rows of `PREFORK_EXPLAIN`: each option with its value and origin, as text.
//!
//! It knows how values are written; it does not know how they are resolved.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::time::Duration;

use prefork_options::{Address, Network, Pem, Prefix, Protocols, Row, Window, Workers, duration};

use super::layers::{Layer, Origin};
use super::{Config, ListenSpec, OptionLayers};

/// The value and origin of one option, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OptionRow {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) origin: String,
}

/// The effective configuration, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OptionReport {
    /// In the order of the table.
    pub(crate) rows: Vec<OptionRow>,
    /// Values without effect, a line each.
    pub(crate) ignored: Vec<String>,
}

/// Writes a value in the syntax of its option; empty if the option has no value.
trait DisplayOption {
    fn display(&self) -> String;
}

macro_rules! by_display {
    ($($type:ty),*) => { $(
        impl DisplayOption for $type {
            fn display(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

by_display! { usize, u32, bool, NonZeroUsize, Window, Workers, Network, Prefix, Pem, Protocols }

impl DisplayOption for Duration {
    fn display(&self) -> String {
        duration::format(*self)
    }
}

impl<T: DisplayOption> DisplayOption for Option<T> {
    fn display(&self) -> String {
        self.as_ref()
            .map(DisplayOption::display)
            .unwrap_or_default()
    }
}

impl DisplayOption for Vec<ListenSpec> {
    fn display(&self) -> String {
        join(self)
    }
}

impl DisplayOption for Vec<Address> {
    fn display(&self) -> String {
        join(self)
    }
}

fn join(list: &[impl Display]) -> String {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    texts.join(",")
}

macro_rules! define_values {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ident { $($row:tt)* } )* }
        code { $( $(#[doc = $code_doc:expr])* $code:ident { $($code_row:tt)* } )* }
    ) => {
        /// Every option with its value and origin. Overridden values are added to the ignored
        /// lines.
        pub(super) fn rows(config: &Config, options: &OptionLayers, ignored: &mut Vec<String>) -> Vec<OptionRow> {
            $(
                let origin = options.$name.origin();
                ignored.extend(
                    options.$name.overridden().iter().map(|layer| overridden(stringify!($name), layer, &origin)),
                );
            )*
            vec![
                $(value(
                    stringify!($name),
                    config.$name.display(),
                    options.$name.value().map(DisplayOption::display),
                    &options.$name.origin(),
                ),)*
                $(function(stringify!($code), options),)*
            ]
        }
    };
}

prefork_options::options! { define_values }

/// A row for an option with a value. A relative number of workers such as `50%` is shown with its
/// result.
fn value(name: &'static str, effective: String, set: Option<String>, origin: &Origin) -> OptionRow {
    let text = match set {
        Some(set) if name == "workers" && set != effective => format!("{effective} ({set})"),
        _ if effective.is_empty() => default_of(name),
        _ => effective,
    };
    let origin = origin.to_string();
    OptionRow { name, text, origin }
}

fn function(name: &'static str, options: &OptionLayers) -> OptionRow {
    let set = options.callbacks.iter().find(|(other, _)| *other == name);
    let (text, origin) = match set {
        Some((_, origin)) => ("a function".to_owned(), origin),
        None => (default_of(name), &Origin::Default),
    };
    let origin = origin.to_string();
    OptionRow { name, text, origin }
}

fn default_of(name: &str) -> String {
    Row::find(name).map_or("", |row| row.default).to_owned()
}

fn overridden<T: DisplayOption>(name: &str, layer: &Layer<T>, by: &Origin) -> String {
    let Layer { value, origin } = layer;
    format!(
        "{name} = {} ({origin}): overridden by {by}",
        value.display()
    )
}
