//! The effective configuration of a process: one field per row of the table of options.
//!
//! Plain data. It does not know sources or precedence.

use prefork_options::{Address, OptionValue, Workers};

use super::{ErrorLabels, ListenSpec, OptionLayers};

/// The type of a field: how the row states its default, its kind, and the type if it is computed.
macro_rules! field {
    (value $kind:ty) => { $kind };
    (none $kind:ty) => { Option<$kind> };
    (computed $kind:ty, $type:ty) => { $type };
}

/// The value of a field: how the row states its default, its layers, and the text of the default.
macro_rules! field_value {
    (value $layers:expr, $default:literal) => {
        $layers.or_else(|| default($default))
    };
    (none $layers:expr, $default:literal) => {
        $layers.value().cloned()
    };
    (computed $layers:expr, $default:literal) => {
        Default::default()
    };
}

macro_rules! define {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ty {
            $(env: $env:literal, $(#[doc = $note:expr])* getter: $getter:ident -> $view:ty,)?
            $(feature: $feature:literal,)? default: $how:ident $(($computed:ty))? $default:literal,
            $($row:tt)*
        } )* }
        code { $($code:tt)* }
    ) => {
        /// The effective value of each option.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct Config {
            $(pub(crate) $name: field!($how $kind $(, $computed)?),)*
            /// Not an option: the labels for errors found later.
            pub(crate) labels: ErrorLabels,
        }

        impl Config {
            /// The values of the layers, and the defaults of options that are not set.
            ///
            /// Computed values are empty or 0: the caller sets them.
            pub(super) fn new(options: &OptionLayers) -> Self {
                Self {
                    $($name: field_value!($how options.$name, $default),)*
                    labels: options.labels(),
                }
            }
        }
    };
}

prefork_options::options! { define }

/// Reads a default from the table. `text` is for the documentation: Markdown, as in `` `"5s"` ``.
fn default<T: OptionValue>(text: &str) -> T {
    let text = text.trim_matches('`').trim_matches('"');
    T::parse(text).expect("a test of the table reads every default")
}

/// The type of a field of [`Config`] for an option of kind `T`.
pub(super) trait Effective<T> {
    /// Writes the value in the syntax of its option; empty if the option has no value.
    fn display(&self) -> String;
}

impl<T: OptionValue> Effective<T> for T {
    fn display(&self) -> String {
        OptionValue::display(self)
    }
}

impl<T: OptionValue> Effective<T> for Option<T> {
    fn display(&self) -> String {
        self.as_ref().map(OptionValue::display).unwrap_or_default()
    }
}

impl Effective<Workers> for usize {
    fn display(&self) -> String {
        self.to_string()
    }
}

impl Effective<Vec<Address>> for Vec<ListenSpec> {
    fn display(&self) -> String {
        Getter::<Vec<Address>, Vec<String>>::get(self.clone()).join(",")
    }
}

/// The conversion of a field for an option of kind `T` to the type `V` of its getter.
pub(super) trait Getter<T, V> {
    fn get(self) -> V;
}

impl<T, V: From<T>> Getter<T, V> for T {
    fn get(self) -> V {
        self.into()
    }
}

impl<T, V: From<T>> Getter<T, Option<V>> for Option<T> {
    fn get(self) -> Option<V> {
        self.map(V::from)
    }
}

impl Getter<Workers, Self> for usize {
    fn get(self) -> Self {
        self
    }
}

impl Getter<Vec<Address>, Vec<String>> for Vec<ListenSpec> {
    fn get(self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}
