//! The grammar of a flag: `true` or `false`.

use crate::ParseError;
use crate::error::quote;

/// Reads `true` or `false`.
///
/// Other spellings (`yes`, `1`, `on`) are errors, because programs disagree about them.
///
/// # Errors
///
/// Any other text.
pub fn parse(text: &str) -> Result<bool, ParseError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ParseError::new(format!(
            "{} is neither 'true' nor 'false'",
            quote(text)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_and_false_are_read() {
        assert_eq!((parse("true"), parse("false")), (Ok(true), Ok(false)));
        for text in ["", "1", "0", "yes", "no", "True", " true"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.ends_with("is neither 'true' nor 'false'"), "{error}");
        }
    }
}
