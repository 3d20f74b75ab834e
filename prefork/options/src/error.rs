//! The error of the grammars, and the safe display of untrusted text.
//!
//! It does not know which option or variable the text is from; the caller adds that in front.

use std::error::Error;
use std::fmt;

/// The number of characters that [`quote`] shows.
const SHOWN: usize = 60;

/// A grammar rejected a text.
///
/// `Display` contains the text, what is wrong with it and what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    text: String,
}

impl ParseError {
    /// Creates an error with this text.
    pub fn new(text: impl Into<String>) -> Self {
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
/// The text may be untrusted, from the environment for example. Control characters could forge a
/// log line or control a terminal, so they are escaped. A long text is cut, and `…` marks its end.
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

/// The error of a text with a reason that follows the text.
pub(crate) fn reject(text: &str, reason: &str) -> ParseError {
    ParseError::new(format!("{} {reason}", quote(text)))
}

/// Turns untrusted text into one line of at most `max` bytes.
///
/// Characters that could forge another line, control a terminal or change the direction of writing
/// are escaped. All other characters stay. If the text is too long, it is cut, and `…` marks the
/// end.
pub fn one_line(text: &str, max: usize) -> String {
    const CUT: char = '…';
    let mut line = String::with_capacity(text.len().min(max));
    let mut end = 0;
    for character in text.chars() {
        if is_plain(character) {
            line.push(character);
        } else {
            line.extend(character.escape_default());
        }
        if line.len() > max {
            line.truncate(end);
            line.push(CUT);
            break;
        }
        if line.len() + CUT.len_utf8() <= max {
            end = line.len();
        }
    }
    line
}

/// Whether the character is shown unescaped.
///
/// Control characters, line separators and characters that set the direction of writing (UAX #9)
/// are not.
fn is_plain(character: char) -> bool {
    let is_layout = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !is_layout && !character.is_control()
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
    fn a_line_keeps_printable_text_and_escapes_the_rest() {
        let text = "it's \"e\u{301}\" किताब \\ ok";
        assert_eq!(one_line(text, 100), text);
        assert_eq!(
            one_line("a\nb\u{1b}[2J\u{202e}c\u{2028}d\u{9b}", 100),
            r"a\nb\u{1b}[2J\u{202e}c\u{2028}d\u{9b}"
        );
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_marked() {
        assert_eq!(one_line("12345", 5), "12345");
        assert_eq!(one_line("123456", 5), "12…");
        // An escape is not cut in half.
        assert_eq!(one_line("a\u{1b}\u{1b}", 10), "a\\u{1b}…");
        assert_eq!(one_line(&"ü".repeat(10_000), 100).len(), 99);
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "x".repeat(100_000);

        assert_eq!(quote(&long), format!("'{}…'", "x".repeat(SHOWN)));
        assert_eq!(quote(&long[..SHOWN]), format!("'{}'", "x".repeat(SHOWN)));
    }
}
