//! The grammar of a number of events, such as the exits that are recovered.
//!
//! It does not know what is counted.

use crate::error::quote;
use crate::option_value::Sealed;
use crate::{IntoOption, Literals, OptionValue, ParseError};

/// The largest count.
pub const MAX_COUNT: u32 = 1_000_000;

impl OptionValue for u32 {
    const EXPECTED: &'static str = "a number from 0 to 1000000";
    const LITERALS: Literals = Literals::Number;
    const TEXTS: &'static str = "
0 |
1000000 |
| '' is not a number, expected a number from 0 to 1000000
often | 'often' is not a number, expected a number from 0 to 1000000
+8 | '+8' is not a number, expected a number from 0 to 1000000
-1 | '-1' is too small, expected a number from 0 to 1000000
1000001 | '1000001' is too large, expected a number from 0 to 1000000
";

    /// Reads a count: digits only, 0 to [`MAX_COUNT`].
    ///
    /// # Errors
    ///
    /// A text that is not a number, or a number above the limit.
    fn parse(text: &str) -> Result<Self, ParseError> {
        let Some(number) = digits(text) else {
            let is_negative = text.strip_prefix('-').and_then(digits).is_some();
            let what = if is_negative {
                "too small"
            } else {
                "not a number"
            };
            return Err(ParseError::new(format!(
                "{} is {what}, expected a number from 0 to {MAX_COUNT}",
                quote(text)
            )));
        };
        match u32::try_from(number) {
            Ok(number) if number <= MAX_COUNT => Ok(number),
            _ => Err(too_large(text)),
        }
    }

    fn display(&self) -> String {
        self.to_string()
    }
}

impl Sealed for u32 {}

impl IntoOption<Self> for u32 {
    fn into_option(self) -> Result<Self, ParseError> {
        if self > MAX_COUNT {
            return Err(too_large(&self.to_string()));
        }
        Ok(self)
    }
}

fn too_large(text: &str) -> ParseError {
    ParseError::new(format!(
        "{} is too large, expected a number from 0 to {MAX_COUNT}",
        quote(text)
    ))
}

/// Reads decimal digits; `None` for any other text.
///
/// A number that does not fit is `u64::MAX`, so that the caller reports it as too large.
/// `str::parse` alone would accept a sign.
pub(crate) fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read() {
        assert_eq!(u32::parse("0"), Ok(0));
        assert_eq!(u32::parse("8"), Ok(8));
        assert_eq!(u32::parse("1000000"), Ok(MAX_COUNT));
    }

    #[test]
    fn other_texts_are_rejected() {
        for (text, message) in [
            (
                "",
                "'' is not a number, expected a number from 0 to 1000000",
            ),
            (
                "+8",
                "'+8' is not a number, expected a number from 0 to 1000000",
            ),
            (
                "-1",
                "'-1' is too small, expected a number from 0 to 1000000",
            ),
            (
                "-a",
                "'-a' is not a number, expected a number from 0 to 1000000",
            ),
            (
                "8.0",
                "'8.0' is not a number, expected a number from 0 to 1000000",
            ),
            (
                "1_000",
                "'1_000' is not a number, expected a number from 0 to 1000000",
            ),
            (
                "1000001",
                "'1000001' is too large, expected a number from 0 to 1000000",
            ),
            (
                "99999999999999999999999",
                "'99999999999999999999999' is too large, expected a number from 0 to 1000000",
            ),
        ] {
            assert_eq!(u32::parse(text).unwrap_err().to_string(), message);
        }
    }
}
