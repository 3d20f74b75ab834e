//! One invalid option, and the text of several.

use std::fmt;

/// An invalid option and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionError {
    pub(crate) label: String,
    pub(crate) reason: String,
}

impl OptionError {
    /// Returns what set the value: the name of the option, or the variable that overrides it.
    pub fn origin(&self) -> &str {
        &self.label
    }

    /// Returns why the value is invalid.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.label, self.reason)
    }
}

impl std::error::Error for OptionError {}

/// Writes the errors in one line, with numbers if there are several.
///
/// A reason may contain any separator.
pub(super) struct OptionErrorLines<'a>(pub(super) &'a [OptionError]);

impl fmt::Display for OptionErrorLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [option] = self.0 {
            return write!(f, "{option}");
        }
        write!(f, "{} options are invalid:", self.0.len())?;
        for (index, option) in self.0.iter().enumerate() {
            write!(f, " ({}) {option}", index + 1)?;
        }
        Ok(())
    }
}
