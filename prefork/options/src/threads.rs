//! How many threads a runtime works with.

use std::num::NonZeroUsize;

use crate::ParseError;
use crate::count::digits;
use crate::error::quote;

/// More threads than this in one worker are a typing mistake.
pub const MAX_THREADS: usize = 1024;

/// Reads a number of threads: digits only, 1 to [`MAX_THREADS`].
///
/// # Errors
///
/// Any other text.
pub fn parse(text: &str) -> Result<NonZeroUsize, ParseError> {
    match digits(text) {
        // Beyond the limit all numbers are alike.
        Some(number) => allowed(text, usize::try_from(number).unwrap_or(usize::MAX)),
        None => Err(refuse(text)),
    }
}

/// Holds a number of threads against the limits.
///
/// # Errors
///
/// 0, or a number over [`MAX_THREADS`].
pub fn check(threads: usize) -> Result<NonZeroUsize, ParseError> {
    allowed(&threads.to_string(), threads)
}

fn allowed(text: &str, threads: usize) -> Result<NonZeroUsize, ParseError> {
    match NonZeroUsize::new(threads) {
        Some(threads) if threads.get() <= MAX_THREADS => Ok(threads),
        _ => Err(refuse(text)),
    }
}

fn refuse(text: &str) -> ParseError {
    ParseError::new(format!(
        "{} is no number of threads, expected one from 1 to {MAX_THREADS}",
        quote(text)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_many_are_read() {
        for (text, threads) in [("1", 1), ("4", 4), ("1024", MAX_THREADS)] {
            assert_eq!(parse(text).map(NonZeroUsize::get), Ok(threads));
            assert_eq!(check(threads), parse(text));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "0", "1025", "+4", "-1", "four", "99999999999999999999"] {
            let expected = format!("'{text}' is no number of threads, expected one from 1 to 1024");
            assert_eq!(parse(text).expect_err(text).to_string(), expected);
        }
        assert!(check(0).is_err() && check(usize::MAX).is_err());
    }
}
