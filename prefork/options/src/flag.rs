//! Yes or no.

use crate::ParseError;
use crate::error::quote;

/// Reads `true` or `false`, and nothing else: what one program reads as yes, another reads as no.
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
    fn only_two_words_are_understood() {
        assert_eq!((parse("true"), parse("false")), (Ok(true), Ok(false)));
        for text in ["", "1", "0", "yes", "no", "True", " true"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.ends_with("is neither 'true' nor 'false'"), "{error}");
        }
    }
}
