//! What a grammar says about a text that it cannot read.
//!
//! It knows how to show a stranger's text safely; it does not know which option or variable the text came from, the
//! caller puts that in front.

use std::error::Error;
use std::fmt;

/// How many characters of a stranger's text are shown.
const SHOWN: usize = 60;

/// A text that a grammar refused: what was read, what is wrong with it and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    text: String,
}

impl ParseError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ParseError {}

/// Quotes a text for an error message.
///
/// The text may come from the environment, that is from anybody: control characters could forge a log line or repaint a
/// terminal, and a long text would drown the message. So the first are escaped and the second is cut.
pub fn quote(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("'{shown}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(quote("a\n\u{1b}[2J\0"), r"'a\n\u{1b}[2J\0'");
        assert_eq!(quote("\u{202e}abc"), r"'\u{202e}abc'");
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "x".repeat(100_000);

        assert_eq!(quote(&long), format!("'{}…'", "x".repeat(SHOWN)));
        assert_eq!(quote(&long[..SHOWN]), format!("'{}'", "x".repeat(SHOWN)));
    }
}
