//! The grammar of the number of threads of a runtime.

use std::num::NonZeroUsize;

use crate::ParseError;
use crate::count::digits;
use crate::error::quote;

/// The largest number of threads in one worker. More are a typo.
pub const MAX_THREADS: usize = 1024;

/// Reads a number of threads: digits only, 1 to [`MAX_THREADS`].
///
/// # Errors
///
/// Any other text.
pub fn parse(text: &str) -> Result<NonZeroUsize, ParseError> {
    match digits(text) {
        // All numbers above the limit get the same error.
        Some(number) => allowed(text, usize::try_from(number).unwrap_or(usize::MAX)),
        None => Err(reject(text)),
    }
}

/// Checks the limits of a number of threads.
///
/// # Errors
///
/// 0, or a number above [`MAX_THREADS`].
pub fn check(threads: usize) -> Result<NonZeroUsize, ParseError> {
    allowed(&threads.to_string(), threads)
}

fn allowed(text: &str, threads: usize) -> Result<NonZeroUsize, ParseError> {
    match NonZeroUsize::new(threads) {
        Some(threads) if threads.get() <= MAX_THREADS => Ok(threads),
        _ => Err(reject(text)),
    }
}

fn reject(text: &str) -> ParseError {
    ParseError::new(format!(
        "{} is not a number of threads, expected a number from 1 to {MAX_THREADS}",
        quote(text)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_the_limits_are_read() {
        for (text, threads) in [("1", 1), ("4", 4), ("1024", MAX_THREADS)] {
            assert_eq!(parse(text).map(NonZeroUsize::get), Ok(threads));
            assert_eq!(check(threads), parse(text));
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in ["", "0", "1025", "+4", "-1", "four", "99999999999999999999"] {
            let expected =
                format!("'{text}' is not a number of threads, expected a number from 1 to 1024");
            assert_eq!(parse(text).expect_err(text).to_string(), expected);
        }
        assert!(check(0).is_err() && check(usize::MAX).is_err());
    }
}
