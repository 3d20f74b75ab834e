//! The grammar of a time window: a duration, or `forever`.

use std::fmt;
use std::time::Duration;

use crate::{ParseError, duration};

/// A time window: the last part of a duration, or the whole past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Older events do not count.
    Sliding(Duration),
    /// All events count.
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
    fn a_parsed_window_is_written_as_it_was_read() {
        for text in ["forever", "1m", "0s", "1h30m"] {
            assert_eq!(parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_rejected_with_both_alternatives() {
        for text in ["", "ever", "60", "Forever"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.ends_with("or \"forever\""), "{error}");
        }
    }
}
