//! The grammar of a time window: a duration, or `forever`.

use std::fmt;
use std::time::Duration;

use crate::{IntoOption, Literals, OptionValue, ParseError, duration};

/// A time window: the last part of a duration, or the whole past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Older events do not count.
    Sliding(Duration),
    /// All events count.
    Forever,
}

impl OptionValue for Window {
    const EXPECTED: &'static str = "a duration such as \"1m\", or \"forever\"";
    const LITERALS: Literals = Literals::Duration;
    const TEXTS: &'static str = "
forever |
1m |
60 | '60' has no unit after 60 (did you mean '60s'?); expected …
ever | 'ever' does not start with a number; expected …
";

    /// Reads `forever` or a duration.
    ///
    /// # Errors
    ///
    /// Any other text.
    fn parse(text: &str) -> Result<Self, ParseError> {
        match text {
            "forever" => Ok(Window::Forever),
            _ => Duration::parse(text)
                .map(Window::Sliding)
                .map_err(|error| ParseError::new(format!("{error}, or \"forever\""))),
        }
    }

    fn display(&self) -> String {
        self.to_string()
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

impl IntoOption<Window> for Duration {
    fn into_option(self) -> Result<Window, ParseError> {
        duration::check(self).map(Window::Sliding)
    }
}

/// `None` is the whole past.
impl From<Window> for Option<Duration> {
    fn from(window: Window) -> Self {
        match window {
            Window::Sliding(window) => Some(window),
            Window::Forever => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parsed_window_is_written_as_it_was_read() {
        for text in ["forever", "1m", "0s", "1h30m"] {
            assert_eq!(Window::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_rejected_with_both_alternatives() {
        for text in ["", "ever", "60", "Forever"] {
            let error = Window::parse(text).expect_err(text).to_string();
            assert!(error.ends_with("or \"forever\""), "{error}");
        }
    }
}
