//! The grammar of the prefix of environment variables.

use std::fmt;

use crate::error::quote;
use crate::{OptionValue, ParseError};

/// The longest prefix, in characters.
pub const MAX_PREFIX: usize = 64;

/// A prefix of variables, such as `MYAPP` in `MYAPP_WORKERS`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(String);

impl Prefix {
    /// Removes the prefix and the `_` from a variable.
    ///
    /// `None` if the variable does not have this prefix.
    pub fn strip<'a>(&self, variable: &'a str) -> Option<&'a str> {
        variable.strip_prefix(&self.0)?.strip_prefix('_')
    }

    /// The name of the variable that sets an option.
    pub fn variable(&self, option: &str) -> String {
        format!("{self}_{}", option.to_ascii_uppercase())
    }

    /// Whether this is the default prefix.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("PREFORK".to_owned())
    }
}

impl OptionValue for Prefix {
    const EXPECTED: &'static str = "a prefix such as \"MYAPP\"";
    const TEXTS: &'static str = r#"
MYAPP |
MY_APP_2 |
| '' is empty, expected 'A' to 'Z', '0' to '9' and '_', such as "MYAPP"
myapp | 'myapp' contains invalid characters, expected …
2APP | '2APP' does not start with a letter, expected …
MYAPP_ | 'MYAPP_' ends with '_', which is added automatically, expected …
"#;

    /// Reads a prefix.
    ///
    /// It consists of upper-case letters, digits and `_`. It starts with a letter and does not end with
    /// `_`.
    ///
    /// # Errors
    ///
    /// Any other text.
    fn parse(text: &str) -> Result<Self, ParseError> {
        let is_allowed = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
        let reject = |reason: &str| {
            let allowed = "expected 'A' to 'Z', '0' to '9' and '_', such as \"MYAPP\"";
            Err(ParseError::new(format!(
                "{} {reason}, {allowed}",
                quote(text)
            )))
        };
        if text.is_empty() {
            return reject("is empty");
        }
        if !text.bytes().all(is_allowed) {
            return reject("contains invalid characters");
        }
        if !text.starts_with(|first: char| first.is_ascii_uppercase()) {
            return reject("does not start with a letter");
        }
        if text.ends_with('_') {
            return reject("ends with '_', which is added automatically");
        }
        if text.len() > MAX_PREFIX {
            return reject(&format!("has more than {MAX_PREFIX} characters"));
        }
        Ok(Prefix(text.to_owned()))
    }

    fn display(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_added_to_options_and_removed_from_variables() {
        let prefix = Prefix::parse("MY_APP2").expect("a valid prefix");

        assert_eq!(prefix.variable("recover_window"), "MY_APP2_RECOVER_WINDOW");
        assert_eq!(prefix.strip("MY_APP2_WORKERS"), Some("WORKERS"));
        assert_eq!(prefix.strip("MY_APP2WORKERS"), None);
        assert_eq!(prefix.strip("PREFORK_WORKERS"), None);
        assert_eq!(Prefix::parse("PREFORK"), Ok(Prefix::default()));
    }

    #[test]
    fn other_texts_are_rejected() {
        for (text, reason) in [
            ("", "is empty"),
            ("myapp", "contains invalid characters"),
            ("MY-APP", "contains invalid characters"),
            ("MYAPP=", "contains invalid characters"),
            ("2APP", "does not start with a letter"),
            ("_APP", "does not start with a letter"),
            ("MYAPP_", "ends with '_', which is added automatically"),
            (&"A".repeat(65), "has more than 64 characters"),
        ] {
            let error = Prefix::parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
