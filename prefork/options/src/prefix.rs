//! What the names of the environment's variables begin with.

use std::fmt;

use crate::ParseError;
use crate::error::quote;

/// The longest prefix; the names that people give to programs are shorter.
pub const MAX_PREFIX: usize = 64;

/// A prefix without the `_` that parts it from the option: `MYAPP` in `MYAPP_WORKERS`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(String);

impl Prefix {
    /// What precedes an option's name in a variable's, if that is one of ours.
    pub fn strip<'a>(&self, variable: &'a str) -> Option<&'a str> {
        variable.strip_prefix(&self.0)?.strip_prefix('_')
    }

    /// The variable of an option.
    pub fn variable(&self, option: &str) -> String {
        format!("{self}_{}", option.to_ascii_uppercase())
    }

    /// Whether it is the one that holds where nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("PREFORK".to_owned())
    }
}

/// Reads a prefix: capital letters, digits and `_`, a letter first, no `_` last.
///
/// # Errors
///
/// Any other text.
pub fn parse(text: &str) -> Result<Prefix, ParseError> {
    let is_allowed = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
    let refuse = |reason: &str| {
        let allowed = "expected 'A' to 'Z', '0' to '9' and '_', such as \"MYAPP\"";
        Err(ParseError::new(format!(
            "{} {reason}, {allowed}",
            quote(text)
        )))
    };
    if text.is_empty() {
        return refuse("is empty");
    }
    if !text.bytes().all(is_allowed) {
        return refuse("is not what variables are called");
    }
    if !text.starts_with(|first: char| first.is_ascii_uppercase()) {
        return refuse("does not begin with a letter");
    }
    if text.ends_with('_') {
        return refuse("ends with the '_' that is put there anyway");
    }
    if text.len() > MAX_PREFIX {
        return refuse(&format!("is over {MAX_PREFIX} characters"));
    }
    Ok(Prefix(text.to_owned()))
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
    fn a_prefix_parts_variables_from_options() {
        let prefix = parse("MY_APP2").expect("it is good");

        assert_eq!(prefix.variable("recover_window"), "MY_APP2_RECOVER_WINDOW");
        assert_eq!(prefix.strip("MY_APP2_WORKERS"), Some("WORKERS"));
        assert_eq!(prefix.strip("MY_APP2WORKERS"), None);
        assert_eq!(prefix.strip("PREFORK_WORKERS"), None);
        assert_eq!(parse("PREFORK"), Ok(Prefix::default()));
    }

    #[test]
    fn what_no_variable_is_called_is_refused() {
        for (text, reason) in [
            ("", "is empty"),
            ("myapp", "is not what variables are called"),
            ("MY-APP", "is not what variables are called"),
            ("MYAPP=", "is not what variables are called"),
            ("2APP", "does not begin with a letter"),
            ("_APP", "does not begin with a letter"),
            ("MYAPP_", "ends with the '_' that is put there anyway"),
            (&"A".repeat(65), "is over 64 characters"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
