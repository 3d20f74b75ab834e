//! The rows of the table of options as data, for use at run time.

use crate::Kind;
use crate::kind::kind;

/// One option, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name in the attribute and the builder.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// The default value, as text for the documentation.
    pub default: &'static str,
    /// The first release with this option.
    pub since: &'static str,
    /// Its documentation, in Markdown.
    pub doc: &'static str,
    /// The unit of a bare number, or the units that a text may contain.
    pub unit: Option<&'static str>,
    /// The variable that overrides it, with the default prefix.
    ///
    /// `None` for functions and for the prefix itself.
    pub env: Option<&'static str>,
    /// The feature of `prefork` that it needs.
    pub feature: Option<&'static str>,
    /// An expression that the attribute and the setter accept.
    ///
    /// `None` for functions: the docs of their setters have their own examples.
    pub example: Option<&'static str>,
}

impl Row {
    /// Finds an option by its exact name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.name == name)
    }
}

macro_rules! optional {
    () => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}

macro_rules! rows {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ident {
            $(env: $env:literal,)? $(feature: $feature:literal,)? default: $default:literal, $(unit: $unit:literal,)?
            since: $since:literal,
            example: $example:expr
        } )* }
        code { $( $(#[doc = $code_doc:expr])* $code:ident {
            default: $code_default:literal, since: $code_since:literal
        } )* }
    ) => {
        /// All options, in the order of the documentation.
        pub const TABLE: &[Row] = &[
            $(Row {
                name: stringify!($name),
                kind: kind!($kind),
                default: $default,
                since: $since,
                doc: concat!($($doc, "\n"),*),
                unit: optional!($($unit)?),
                env: optional!($($env)?),
                feature: optional!($($feature)?),
                example: Some(stringify!($example)),
            },)*
            $(Row {
                name: stringify!($code),
                kind: Kind::Code,
                default: $code_default,
                since: $code_since,
                doc: concat!($($code_doc, "\n"),*),
                unit: None,
                env: None,
                feature: None,
                example: None,
            },)*
        ];
    };
}

crate::options! { rows }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prefix;

    #[test]
    fn names_are_unique_and_plain() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!(
                row.name
                    .bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_lowercase()),
                "{}",
                row.name
            );
            assert!(TABLE[..index].iter().all(|other| other.name != row.name));
        }
    }

    #[test]
    fn rows_are_documented() {
        for row in TABLE {
            let first = row.doc.trim().split("\n\n").next().unwrap_or_default();
            let is_sentence = first.starts_with(char::is_uppercase) && first.ends_with('.');
            assert!(is_sentence && first.len() > 20, "{row:?}");
            assert!(!row.default.is_empty() && !row.since.is_empty(), "{row:?}");
        }
    }

    #[test]
    fn numbers_and_durations_have_a_unit() {
        for row in TABLE {
            let has_unit = match row.kind {
                Kind::Workers | Kind::Count | Kind::Duration | Kind::Window | Kind::Threads => true,
                Kind::Addresses
                | Kind::Network
                | Kind::Flag
                | Kind::Prefix
                | Kind::Pem
                | Kind::Protocols
                | Kind::Code => false,
            };
            assert_eq!(row.unit.is_some(), has_unit, "{row:?}");
        }
    }

    #[test]
    fn quoted_defaults_are_values() {
        for row in TABLE {
            if let Some(text) = row.default.strip_prefix('`') {
                let text = text.trim_end_matches('`').trim_matches('"');
                assert_eq!(row.kind.check(text), Ok(()), "{row:?}");
            }
        }
    }

    #[test]
    fn variables_are_names_in_upper_case_and_functions_and_the_prefix_have_none() {
        for row in TABLE {
            let expected = Prefix::default().variable(row.name);
            let has_no_variable = matches!(row.kind, Kind::Code | Kind::Prefix);
            assert_eq!(row.env, (!has_no_variable).then_some(expected.as_str()));
        }
        assert_eq!(Row::find("Workers"), None);
    }
}
