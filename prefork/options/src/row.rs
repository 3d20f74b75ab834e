//! The rows of the table of options as data, for use at run time.

use crate::{Literals, OptionValue, ParseError, quote};

/// One option, as data.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in the attribute and the builder.
    pub name: &'static str,
    /// Describes its values, as a text that can follow "expected".
    pub expected: &'static str,
    /// The literals that the attribute accepts.
    pub literals: Literals,
    /// Whether a value may be a secret.
    pub is_secret: bool,
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
    /// See [`OptionValue::TEXTS`]; empty for functions.
    texts: &'static str,
    check: fn(&str) -> Result<(), ParseError>,
}

impl Row {
    /// Finds an option by its exact name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.name == name)
    }

    /// Whether the option is a function, which only code can set.
    pub fn is_function(&self) -> bool {
        self.literals == Literals::Function
    }

    /// The texts for tests, each with its error or an empty text.
    pub fn cases(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let cases = self.texts.lines().filter_map(|line| line.split_once('|'));
        cases.map(|(text, error)| (text.trim(), error.trim()))
    }

    /// Checks a text as the attribute does.
    ///
    /// # Errors
    ///
    /// The text is not a value of this option; for a function, every text is an error.
    pub fn check(&self, text: &str) -> Result<(), ParseError> {
        (self.check)(text)
    }
}

/// Names are unique.
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Row {}

/// Describes the values of the options that are functions.
const FUNCTION: &str = "a function or a closure";

fn reject_text(text: &str) -> Result<(), ParseError> {
    Err(ParseError::new(format!(
        "{} is text, expected {FUNCTION}",
        quote(text)
    )))
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
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ty {
            $(env: $env:literal, $(#[doc = $note:expr])* getter: $getter:ident -> $view:ty,)?
            $(feature: $feature:literal,)? default: $how:ident $(($computed:ty))? $default:literal,
            $(unit: $unit:literal,)? since: $since:literal, example: $example:expr
        } )* }
        code { $( $(#[doc = $code_doc:expr])* $code:ident {
            default: $code_default:literal, since: $code_since:literal
        } )* }
    ) => {
        /// All options, in the order of the documentation.
        pub const TABLE: &[Row] = &[
            $(Row {
                name: stringify!($name),
                expected: <$kind as OptionValue>::EXPECTED,
                literals: <$kind as OptionValue>::LITERALS,
                is_secret: <$kind as OptionValue>::IS_SECRET,
                texts: <$kind as OptionValue>::TEXTS,
                default: $default,
                since: $since,
                doc: concat!($($doc, "\n"),*),
                unit: optional!($($unit)?),
                env: optional!($($env)?),
                feature: optional!($($feature)?),
                example: Some(stringify!($example)),
                check: <$kind as OptionValue>::check,
            },)*
            $(Row {
                name: stringify!($code),
                expected: FUNCTION,
                literals: Literals::Function,
                is_secret: false,
                texts: "",
                default: $code_default,
                since: $code_since,
                doc: concat!($($code_doc, "\n"),*),
                unit: None,
                env: None,
                feature: None,
                example: None,
                check: reject_text,
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
                    .all(|byte| matches!(byte, b'_' | b'0'..=b'9' | b'a'..=b'z')),
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
            let has_unit = matches!(row.literals, Literals::Number | Literals::Duration);
            assert_eq!(row.unit.is_some(), has_unit, "{row:?}");
        }
    }

    #[test]
    fn quoted_defaults_are_values() {
        for row in TABLE {
            if let Some(text) = row.default.strip_prefix('`') {
                let text = text.trim_end_matches('`').trim_matches('"');
                assert_eq!(row.check(text), Ok(()), "{row:?}");
            }
        }
    }

    #[test]
    fn variables_are_names_in_upper_case_and_functions_and_the_prefix_have_none() {
        for row in TABLE {
            let expected = Prefix::default().variable(row.name);
            let has_no_variable = row.is_function() || row.name == "env_prefix";
            assert_eq!(row.env, (!has_no_variable).then_some(expected.as_str()));
        }
        assert_eq!(Row::find("Workers"), None);
    }
}
