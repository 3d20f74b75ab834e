//! What holds, in words: each option with its value and who said it.
//!
//! It knows how values are written; what holds is settled next door.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::time::Duration;

use prefork_options::{Address, Network, Pem, Prefix, Protocols, Row, Window, Workers, duration};

use super::origin::{Origin, Said};
use super::{Config, Endpoint, Options};

/// One option as it holds, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) origin: String,
}

/// What was settled, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InWords {
    /// In the order of the table.
    pub(crate) values: Vec<Value>,
    /// What was said and does not count, a line each.
    pub(crate) ignored: Vec<String>,
}

/// A value of an option, as people write it; empty where the default's words say more.
trait Written {
    fn written(&self) -> String;
}

macro_rules! by_display {
    ($($type:ty),*) => { $(
        impl Written for $type {
            fn written(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

by_display! { usize, u32, bool, NonZeroUsize, Window, Workers, Network, Prefix, Pem, Protocols }

impl Written for Duration {
    fn written(&self) -> String {
        duration::format(*self)
    }
}

impl<T: Written> Written for Option<T> {
    fn written(&self) -> String {
        self.as_ref().map(Written::written).unwrap_or_default()
    }
}

impl Written for Vec<Endpoint> {
    fn written(&self) -> String {
        join(self)
    }
}

impl Written for Vec<Address> {
    fn written(&self) -> String {
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
        /// Every option with its value and origin; what does not hold any more is told as ignored.
        pub(super) fn values(config: &Config, options: &Options, ignored: &mut Vec<String>) -> Vec<Value> {
            $(
                let holds = options.$name.origin();
                ignored.extend(
                    options.$name.overridden().iter().map(|said| overridden(stringify!($name), said, &holds)),
                );
            )*
            vec![
                $(value(
                    stringify!($name),
                    config.$name.written(),
                    options.$name.value().map(Written::written),
                    &options.$name.origin(),
                ),)*
                $(function(stringify!($code), options),)*
            ]
        }
    };
}

prefork_options::options! { define_values }

/// `50%` is shown with what it comes to.
fn value(name: &'static str, holds: String, said: Option<String>, origin: &Origin) -> Value {
    let text = match said {
        Some(said) if name == "workers" && said != holds => format!("{holds} ({said})"),
        _ if holds.is_empty() => default_of(name),
        _ => holds,
    };
    let origin = origin.to_string();
    Value { name, text, origin }
}

fn function(name: &'static str, options: &Options) -> Value {
    let given = options.code.iter().find(|(given, _)| *given == name);
    let (text, origin) = match given {
        Some((_, origin)) => ("a function".to_owned(), origin),
        None => (default_of(name), &Origin::Default),
    };
    let origin = origin.to_string();
    Value { name, text, origin }
}

fn default_of(name: &str) -> String {
    Row::find(name).map_or("", |row| row.default).to_owned()
}

fn overridden<T: Written>(name: &str, said: &Said<T>, holds: &Origin) -> String {
    let Said { value, origin } = said;
    format!(
        "{name} = {} ({origin}): overridden by {holds}",
        value.written()
    )
}
