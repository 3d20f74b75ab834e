//! The grammar of a number of workers that are replaced at the same time: `25%` or a number.
//!
//! It does not know the number of workers.

use std::fmt;
use std::num::{NonZeroU8, NonZeroUsize};

use crate::count::digits;
use crate::error::quote;
use crate::workers::MAX_WORKERS;
use crate::{IntoOption, Literals, OptionValue, ParseError};

/// Describes the values, as a text that can follow "expected".
const ALLOWED: &str = "a percentage from \"1%\" to \"100%\" or a number from 1 to 10000";

/// How many workers are replaced at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parallel {
    /// This percentage of all workers, rounded up; at most 100.
    Percent(NonZeroU8),
    /// This number of workers, at most [`MAX_WORKERS`].
    Count(NonZeroUsize),
}

impl OptionValue for Parallel {
    const EXPECTED: &'static str = ALLOWED;
    const LITERALS: Literals = Literals::Number;
    const TEXTS: &'static str = r#"
25% |
100% |
1 |
10000 |
| '' is not a part of the workers, expected a percentage from "1%" to "100%" or a number from 1 to 10000
0 | '0' is not a part of the workers, expected …
x | 'x' is not a part of the workers, expected …
0% | '0%' is not a part of the workers, expected …
150% | '150%' is not a part of the workers, expected …
25 % | '25 %' is not a part of the workers, expected …
10001 | '10001' is not a part of the workers, expected …
"#;

    /// Reads a percentage or a number of workers.
    ///
    /// # Errors
    ///
    /// Any other text.
    fn parse(text: &str) -> Result<Self, ParseError> {
        let value = match text.strip_suffix('%') {
            Some(percent) => digits(percent)
                .and_then(|percent| NonZeroU8::new(u8::try_from(percent).ok()?))
                .filter(|percent| percent.get() <= 100)
                .map(Self::Percent),
            None => digits(text)
                .and_then(|count| NonZeroUsize::new(usize::try_from(count).ok()?))
                .filter(|count| count.get() <= MAX_WORKERS)
                .map(Self::Count),
        };
        let reject = || {
            let text = quote(text);
            ParseError::new(format!(
                "{text} is not a part of the workers, expected {ALLOWED}"
            ))
        };
        value.ok_or_else(reject)
    }

    fn display(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Parallel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

impl From<Parallel> for String {
    fn from(parallel: Parallel) -> Self {
        parallel.to_string()
    }
}

impl IntoOption<Parallel> for usize {
    fn into_option(self) -> Result<Parallel, ParseError> {
        Parallel::parse(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parsed_value_is_written_as_it_was_read() {
        for text in ["1%", "25%", "100%", "1", "10000"] {
            assert_eq!(Parallel::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(2.into_option(), Parallel::parse("2"));
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in [
            "", "0", "0%", "101%", "256%", "10001", "x", "25 %", "+1", "-1", "%", "0.5%",
        ] {
            let expected = format!("'{text}' is not a part of the workers, expected {ALLOWED}");
            assert_eq!(Parallel::parse(text).expect_err(text).to_string(), expected);
        }
        assert!(IntoOption::<Parallel>::into_option(0).is_err());
        assert!(ALLOWED.ends_with(&MAX_WORKERS.to_string()));
    }
}
