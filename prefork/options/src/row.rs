//! The rows of the table as data, for whoever asks at run time.

use crate::Kind;
use crate::kind::kind;

/// One option, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What attribute, builder and environment call it.
    pub name: &'static str,
    /// What sort of value it takes.
    pub kind: Kind,
    /// What holds when nobody says anything, in words for people.
    pub default: &'static str,
    /// The release that brought it.
    pub since: &'static str,
    /// Its documentation, one paragraph per block of lines.
    pub doc: &'static str,
    /// What a bare number counts, or the units that stand in the text.
    pub unit: Option<&'static str>,
    /// The variable that overrides it, where the prefix is not another; `None` for code and the prefix itself.
    pub env: Option<&'static str>,
    /// The feature of prefork that it needs.
    pub feature: Option<&'static str>,
    /// An expression that attribute and setter take; `None` for code, whose setter shows its own.
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
        /// Every option, in the order in which the documentation shows them.
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
        for (place, row) in TABLE.iter().enumerate() {
            assert!(
                row.name
                    .bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_lowercase()),
                "{}",
                row.name
            );
            assert!(TABLE[..place].iter().all(|other| other.name != row.name));
        }
    }

    #[test]
    fn rows_carry_words_for_people() {
        for row in TABLE {
            let first = row.doc.trim().split("\n\n").next().unwrap_or_default();
            let is_sentence = first.starts_with(char::is_uppercase) && first.ends_with('.');
            assert!(is_sentence && first.len() > 20, "{row:?}");
            assert!(!row.default.is_empty() && !row.since.is_empty(), "{row:?}");
        }
    }

    #[test]
    fn numbers_and_spans_have_a_unit() {
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
    fn the_environment_says_the_name_in_capitals_and_has_neither_code_nor_its_own_prefix() {
        for row in TABLE {
            let expected = Prefix::default().variable(row.name);
            let is_outside = matches!(row.kind, Kind::Code | Kind::Prefix);
            assert_eq!(row.env, (!is_outside).then_some(expected.as_str()));
        }
        assert_eq!(Row::find("Workers"), None);
    }
}
