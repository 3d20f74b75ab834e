//! The grammar of the number of threads of a runtime.

use std::num::NonZeroUsize;

use crate::count::digits;
use crate::error::quote;
use crate::option_value::Sealed;
use crate::{IntoOption, Literals, OptionValue, ParseError};

/// The largest number of threads in one worker. More are a typo.
pub const MAX_THREADS: usize = 1024;

impl OptionValue for NonZeroUsize {
    const EXPECTED: &'static str = "a number from 1 to 1024";
    const LITERALS: Literals = Literals::Number;
    const TEXTS: &'static str = "
1 |
1024 |
| '' is not a number of threads, expected a number from 1 to 1024
0 | '0' is not a number of threads, expected a number from 1 to 1024
four | 'four' is not a number of threads, expected a number from 1 to 1024
1025 | '1025' is not a number of threads, expected a number from 1 to 1024
";

    /// Reads a number of threads: digits only, 1 to [`MAX_THREADS`].
    ///
    /// # Errors
    ///
    /// Any other text.
    fn parse(text: &str) -> Result<Self, ParseError> {
        match digits(text) {
            // All numbers above the limit get the same error.
            Some(number) => allowed(text, usize::try_from(number).unwrap_or(usize::MAX)),
            None => Err(reject(text)),
        }
    }

    fn display(&self) -> String {
        self.to_string()
    }
}

impl IntoOption<NonZeroUsize> for usize {
    fn into_option(self) -> Result<NonZeroUsize, ParseError> {
        allowed(&self.to_string(), self)
    }
}

impl Sealed for NonZeroUsize {}

impl IntoOption<Self> for NonZeroUsize {
    fn into_option(self) -> Result<Self, ParseError> {
        self.get().into_option()
    }
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
            assert_eq!(
                NonZeroUsize::parse(text).map(NonZeroUsize::get),
                Ok(threads)
            );
            assert_eq!(threads.into_option(), NonZeroUsize::parse(text));
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in ["", "0", "1025", "+4", "-1", "four", "99999999999999999999"] {
            let expected =
                format!("'{text}' is not a number of threads, expected a number from 1 to 1024");
            assert_eq!(
                NonZeroUsize::parse(text).expect_err(text).to_string(),
                expected
            );
        }
        assert!(
            IntoOption::<NonZeroUsize>::into_option(0).is_err()
                && IntoOption::<NonZeroUsize>::into_option(usize::MAX).is_err()
        );
    }
}
