//! How many workers there shall be.
//!
//! It knows the word `auto` and a limit; it does not know how many CPUs there are.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;
use crate::count::digits;
use crate::error::quote;

/// More workers than this are a typing mistake; the kernel's process limit is met long before.
pub const MAX_WORKERS: usize = 10_000;

/// A number of workers, or the wish that one be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Workers {
    /// One for every CPU that the process may use.
    #[default]
    Auto,
    /// As many as said, at most [`MAX_WORKERS`]; 0 is single mode.
    Count(usize),
}

/// Reads `auto` or a number of workers.
///
/// # Errors
///
/// Any other text, or a number over [`MAX_WORKERS`].
pub fn parse(text: &str) -> Result<Workers, ParseError> {
    if text == "auto" {
        return Ok(Workers::Auto);
    }
    let Some(number) = digits(text) else {
        return Err(ParseError::new(format!(
            "{} is not a number of workers, expected \"auto\" or a number from 0 to {MAX_WORKERS}",
            quote(text)
        )));
    };
    match usize::try_from(number) {
        Ok(number) if number <= MAX_WORKERS => Ok(Workers::Count(number)),
        _ => Err(too_many(text)),
    }
}

/// Holds a number of workers against the limit.
///
/// # Errors
///
/// A number over [`MAX_WORKERS`].
pub fn check(workers: usize) -> Result<usize, ParseError> {
    if workers > MAX_WORKERS {
        return Err(too_many(&workers.to_string()));
    }
    Ok(workers)
}

fn too_many(text: &str) -> ParseError {
    ParseError::new(format!(
        "{} is too many workers, expected \"auto\" or a number from 0 to {MAX_WORKERS}",
        quote(text)
    ))
}

impl FromStr for Workers {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text)
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_texts_come_back() {
        for (text, workers) in [
            ("auto", Workers::Auto),
            ("0", Workers::Count(0)),
            ("4", Workers::Count(4)),
            ("10000", Workers::Count(MAX_WORKERS)),
        ] {
            assert_eq!(text.parse(), Ok(workers));
            assert_eq!(workers.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        const ALLOWED: &str = "expected \"auto\" or a number from 0 to 10000";
        for text in ["", "Auto", "many", "+4", "-1", "4.0", "4 ", "٤", "50%"] {
            assert_eq!(
                parse(text).unwrap_err().to_string(),
                format!("'{text}' is not a number of workers, {ALLOWED}")
            );
        }
        for text in ["10001", "18446744073709551616"] {
            assert_eq!(
                parse(text).unwrap_err().to_string(),
                format!("'{text}' is too many workers, {ALLOWED}")
            );
        }
    }
}
