//! The grammar of a flag: `true` or `false`.

use crate::error::quote;
use crate::option_value::Sealed;
use crate::{IntoOption, Literals, OptionValue, ParseError};

impl OptionValue for bool {
    const EXPECTED: &'static str = "`true` or `false`";
    const LITERALS: Literals = Literals::Flag;
    const TEXTS: &'static str = "
true |
false |
| '' is neither 'true' nor 'false'
yes | 'yes' is neither 'true' nor 'false'
1 | '1' is neither 'true' nor 'false'
";

    /// Reads `true` or `false`.
    ///
    /// Other spellings (`yes`, `1`, `on`) are errors, because programs disagree about them.
    ///
    /// # Errors
    ///
    /// Any other text.
    fn parse(text: &str) -> Result<Self, ParseError> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(ParseError::new(format!(
                "{} is neither 'true' nor 'false'",
                quote(text)
            ))),
        }
    }

    fn display(&self) -> String {
        self.to_string()
    }
}

impl Sealed for bool {}

impl IntoOption<Self> for bool {
    fn into_option(self) -> Result<Self, ParseError> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_and_false_are_read() {
        assert_eq!(
            (bool::parse("true"), bool::parse("false")),
            (Ok(true), Ok(false))
        );
        for text in ["", "1", "0", "yes", "no", "True", " true"] {
            let error = bool::parse(text).expect_err(text).to_string();
            assert!(error.ends_with("is neither 'true' nor 'false'"), "{error}");
        }
    }
}
