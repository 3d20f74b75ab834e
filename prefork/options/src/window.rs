//! How long something is remembered.

use std::fmt;
use std::time::Duration;

use crate::{ParseError, duration};

/// A span of time that slides along, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// What is older is forgotten.
    Sliding(Duration),
    /// Nothing is forgotten.
    Forever,
}

/// Reads `forever` or a duration.
///
/// # Errors
///
/// Any other text.
pub fn parse(text: &str) -> Result<Window, ParseError> {
    match text {
        "forever" => Ok(Window::Forever),
        _ => duration::parse(text)
            .map(Window::Sliding)
            .map_err(|error| ParseError::new(format!("{error}, or \"forever\""))),
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sliding(span) => f.write_str(&duration::format(*span)),
            Self::Forever => f.write_str("forever"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_come_back() {
        for text in ["forever", "1m", "0s", "1h30m"] {
            assert_eq!(parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn other_words_are_refused_with_both_ways_out() {
        for text in ["", "ever", "60", "Forever"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.ends_with("or \"forever\""), "{error}");
        }
    }
}
