//! The rows of `PREFORK_EXPLAIN`: each option with its value and origin, as text.
//!
//! It knows how values are written; it does not know how they are resolved.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::time::Duration;

use prefork_options::{Address, Network, Pem, Prefix, Protocols, Row, Window, Workers, duration};

use super::layers::{Layers, Origin};
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

/// The layers of one option, whatever its type.
trait DisplayLayers {
    /// The value and origin of each layer, the oldest first.
    fn display(&self) -> Vec<(String, Origin)>;
}

impl<T: DisplayOption> DisplayLayers for Layers<T> {
    fn display(&self) -> Vec<(String, Origin)> {
        let layers = self.iter();
        layers
            .map(|layer| (layer.value.display(), layer.origin.clone()))
            .collect()
    }
}

macro_rules! define_values {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ident { $($row:tt)* } )* }
        code { $( $(#[doc = $code_doc:expr])* $code:ident { $($code_row:tt)* } )* }
    ) => {
        /// Every option with its value and origin. Overridden values are added to the ignored
        /// lines.
        pub(super) fn rows(config: &Config, options: &OptionLayers, ignored: &mut Vec<String>) -> Vec<OptionRow> {
            // One loop over trait objects. The same code per option would have ten times the size.
            let values: &[(&'static str, &dyn DisplayOption, &dyn DisplayLayers)] =
                &[$((stringify!($name), &config.$name, &options.$name),)*];
            let mut rows = Vec::new();
            for &(name, effective, layers) in values {
                rows.push(value(name, effective.display(), layers.display(), ignored));
            }
            for name in [$(stringify!($code)),*] {
                rows.push(function(name, options));
            }
            rows
        }
    };
}

prefork_options::options! { define_values }

/// A row for an option with a value. A relative number of workers such as `50%` is shown with its
/// result.
fn value(
    name: &'static str,
    effective: String,
    mut layers: Vec<(String, Origin)>,
    ignored: &mut Vec<String>,
) -> OptionRow {
    let (set, origin) = match layers.pop() {
        Some((set, origin)) => (Some(set), origin),
        None => (None, Origin::Default),
    };
    for (value, of) in layers {
        ignored.push(format!("{name} = {value} ({of}): overridden by {origin}"));
    }
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
