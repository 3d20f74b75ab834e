//! The grammar of the number of workers: `auto`, `auto-1`, `50%` or a number.
//!
//! It does not know the number of CPUs: the caller passes it.

use std::fmt;

use crate::count::digits;
use crate::error::quote;
use crate::{IntoOption, Literals, OptionValue, ParseError};

/// The largest number of workers. More are a typo.
pub const MAX_WORKERS: usize = 10_000;

/// The largest share of the CPUs: ten workers per CPU.
pub const MAX_PERCENT: u16 = 1_000;

/// Describes the values, as a text that can follow "expected".
const ALLOWED: &str = "\"auto\", \"auto-1\", \"50%\" or a number from 0 to 10000";

/// A number of workers, or how to calculate it from the number of CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Workers {
    /// One worker per CPU that the process may use.
    #[default]
    Auto,
    /// As many workers as CPUs, minus this number; at least one worker.
    AutoLess(usize),
    /// A share of the CPUs, rounded; at least one worker, at most [`MAX_PERCENT`].
    Percent(u16),
    /// This number of workers, at most [`MAX_WORKERS`]; 0 is single-process mode.
    Count(usize),
}

impl Workers {
    /// Calculates the number of workers for this number of CPUs.
    pub fn count(self, cpus: usize) -> usize {
        let found = match self {
            Self::Count(count) => return count,
            Self::Auto => cpus,
            Self::AutoLess(others) => cpus.saturating_sub(others),
            Self::Percent(percent) => {
                (cpus.saturating_mul(percent.into()).saturating_add(50)) / 100
            }
        };
        found.clamp(1, MAX_WORKERS)
    }
}

impl OptionValue for Workers {
    const EXPECTED: &'static str = ALLOWED;
    const LITERALS: Literals = Literals::Number;
    const TEXTS: &'static str = r#"
auto |
auto-1 |
50% |
4 |
| '' is not a number of workers, expected "auto", "auto-1", "50%" or a number from 0 to 10000
many | 'many' is not a number of workers, expected …
-1 | '-1' is not a number of workers, expected …
auto-0 | invalid 'auto-0': expected auto-N with N from 1 to 10000
0% | invalid '0%': expected N% with N from 1 to 1000
10001 | '10001' is too many workers, expected "auto", "auto-1", "50%" or a number from 0 to 10000
"#;

    /// Reads `auto`, `auto-1`, `50%` or a number of workers.
    ///
    /// # Errors
    ///
    /// Any other text, or a number above its limit.
    fn parse(text: &str) -> Result<Self, ParseError> {
        if text == "auto" {
            return Ok(Workers::Auto);
        }
        if let Some(others) = text.strip_prefix("auto-") {
            return parse_less(text, others);
        }
        if let Some(percent) = text.strip_suffix('%') {
            return parse_percent(text, percent);
        }
        let Some(number) = digits(text) else {
            return Err(ParseError::new(format!(
                "{} is not a number of workers, expected {ALLOWED}",
                quote(text)
            )));
        };
        match usize::try_from(number) {
            Ok(number) if number <= MAX_WORKERS => Ok(Workers::Count(number)),
            _ => Err(too_many(text)),
        }
    }

    fn display(&self) -> String {
        self.to_string()
    }
}

/// Reads the part after `auto-`.
///
/// `auto-0` is an error, because it is another spelling of `auto`.
fn parse_less(text: &str, others: &str) -> Result<Workers, ParseError> {
    match digits(others).map(usize::try_from) {
        Some(Ok(others)) if (1..=MAX_WORKERS).contains(&others) => Ok(Workers::AutoLess(others)),
        _ => Err(ParseError::new(format!(
            "invalid {}: expected auto-N with N from 1 to {MAX_WORKERS}",
            quote(text)
        ))),
    }
}

/// Reads the part before `%`.
///
/// `0%` is an error: it could mean single-process mode or one worker.
fn parse_percent(text: &str, percent: &str) -> Result<Workers, ParseError> {
    match digits(percent).map(u16::try_from) {
        Some(Ok(percent)) if (1..=MAX_PERCENT).contains(&percent) => Ok(Workers::Percent(percent)),
        _ => Err(ParseError::new(format!(
            "invalid {}: expected N% with N from 1 to {MAX_PERCENT}",
            quote(text)
        ))),
    }
}

impl IntoOption<Workers> for usize {
    fn into_option(self) -> Result<Workers, ParseError> {
        if self > MAX_WORKERS {
            return Err(too_many(&self.to_string()));
        }
        Ok(Workers::Count(self))
    }
}

fn too_many(text: &str) -> ParseError {
    ParseError::new(format!(
        "{} is too many workers, expected {ALLOWED}",
        quote(text)
    ))
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::AutoLess(others) => write!(f, "auto-{others}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parsed_number_is_written_as_it_was_read() {
        for (text, workers) in [
            ("auto", Workers::Auto),
            ("auto-1", Workers::AutoLess(1)),
            ("auto-10000", Workers::AutoLess(MAX_WORKERS)),
            ("1%", Workers::Percent(1)),
            ("50%", Workers::Percent(50)),
            ("1000%", Workers::Percent(MAX_PERCENT)),
            ("0", Workers::Count(0)),
            ("4", Workers::Count(4)),
            ("10000", Workers::Count(MAX_WORKERS)),
        ] {
            assert_eq!(Workers::parse(text), Ok(workers));
            assert_eq!(workers.to_string(), text);
        }
    }

    #[test]
    fn a_calculated_number_is_at_least_one_and_within_the_limit() {
        for (text, cpus, count) in [
            ("auto", 8, 8),
            ("auto-1", 8, 7),
            ("auto-2", 2, 1),
            ("auto-1", 1, 1),
            ("50%", 8, 4),
            ("50%", 3, 2),
            ("25%", 5, 1),
            ("1%", 8, 1),
            ("150%", 4, 6),
            ("1000%", 5_000, MAX_WORKERS),
            ("1000%", usize::MAX, MAX_WORKERS),
            ("0", 8, 0),
            ("3", 8, 3),
        ] {
            let workers = Workers::parse(text).expect(text);
            assert_eq!(workers.count(cpus), count, "{text} of {cpus}");
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in [
            "", "Auto", "many", "+4", "-1", "4.0", "4 ", "٤", "auto+1", "auto ",
        ] {
            assert_eq!(
                Workers::parse(text).unwrap_err().to_string(),
                format!("'{text}' is not a number of workers, expected {ALLOWED}")
            );
        }
        for text in ["10001", "18446744073709551616"] {
            assert_eq!(
                Workers::parse(text).unwrap_err().to_string(),
                format!("'{text}' is too many workers, expected {ALLOWED}")
            );
        }
        for text in ["auto-", "auto-0", "auto--1", "auto-10001", "auto-1%"] {
            let error = Workers::parse(text).expect_err(text).to_string();
            assert!(error.contains("expected auto-N with N from 1"), "{error}");
        }
        for text in ["%", "0%", "1001%", "-5%", "0.5%", "50%%"] {
            let error = Workers::parse(text).expect_err(text).to_string();
            assert!(error.contains("expected N% with N from 1"), "{error}");
        }
    }

    #[test]
    fn the_description_contains_the_limit() {
        assert!(ALLOWED.ends_with(&MAX_WORKERS.to_string()));
    }
}
