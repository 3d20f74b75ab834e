//! The grammar of application protocols for TLS (ALPN, RFC 7301).

use std::fmt;

use crate::error::quote;
use crate::{IntoOption, Literals, OptionValue, ParseError};

/// The largest number of names.
pub const MAX_PROTOCOLS: usize = 32;

/// The longest name: its length is sent as one byte (RFC 7301, section 3.1).
pub const MAX_NAME: usize = 255;

/// Names of protocols, the preferred one first; empty if TLS negotiates none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Protocols(Vec<String>);

impl Protocols {
    /// The names, the preferred one first.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

const EXPECTED: &str = "expected names such as 'h2,http/1.1'";

impl OptionValue for Protocols {
    const EXPECTED: &'static str = "protocols such as \"h2,http/1.1\" or an array of them";
    const LITERALS: Literals = Literals::Protocols;
    const TEXTS: &'static str = "
h2 |
h2,http/1.1 |
| '' contains no name, expected names such as 'h2,http/1.1'
h2,,h3 | a name is empty, expected names such as 'h2,http/1.1'
h2,h2 | 'h2' is listed twice
h2;http/1.1 | 'h2;http/1.1' is not the name of a protocol, expected names such as 'h2,http/1.1'
h2,h3 | 'h3' is a protocol over QUIC, not over TCP
http 1 | 'http 1' is not the name of a protocol, expected names such as 'h2,http/1.1'
";

    /// Reads names that are separated by commas.
    ///
    /// # Errors
    ///
    /// An empty text, and the errors of [`check`].
    fn parse(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Err(ParseError::new(format!("'' contains no name, {EXPECTED}")));
        }
        check(text.split(',').map(str::to_owned).collect())
    }

    fn display(&self) -> String {
        self.to_string()
    }
}

/// Checks a list of names.
///
/// # Errors
///
/// A name that is empty, too long or a duplicate; a name with other characters than ASCII letters,
/// digits and `. / - _ + :`; a name that no client offers over TCP, such as `http2` (instead of
/// `h2`) or `h3`; too many names.
pub fn check(names: Vec<String>) -> Result<Protocols, ParseError> {
    for (index, name) in names.iter().enumerate() {
        let shown = quote(name);
        let reject = |reason: String| Err(ParseError::new(reason));
        if name.is_empty() {
            return reject(format!("a name is empty, {EXPECTED}"));
        }
        if !name.bytes().all(is_of_a_name) {
            return reject(format!("{shown} is not the name of a protocol, {EXPECTED}"));
        }
        if name == "h3" || name.starts_with("h3-") {
            return reject(format!("{shown} is a protocol over QUIC, not over TCP"));
        }
        if let Some(official) = other_spelling(name) {
            return reject(format!(
                "{shown} is not a name that clients use; did you mean '{official}'?"
            ));
        }
        if name.len() > MAX_NAME {
            return reject(format!("{shown} has more than {MAX_NAME} characters"));
        }
        if names[..index].contains(name) {
            return reject(format!("{shown} is listed twice"));
        }
    }
    if names.len() > MAX_PROTOCOLS {
        return Err(ParseError::new(format!(
            "{} protocols are too many, expected at most {MAX_PROTOCOLS}",
            names.len()
        )));
    }
    Ok(Protocols(names))
}

/// Whether registered names contain this character.
///
/// Quotes and other separators than commas would be part of a name, and would exclude all clients.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"./-_+:".contains(&byte)
}

/// The official name of an HTTP version that is spelled differently.
///
/// Clients and servers compare names byte by byte (RFC 7301, section 3.2).
fn other_spelling(name: &str) -> Option<&'static str> {
    let official = match name.to_ascii_lowercase().as_str() {
        "http2" | "http/2" | "http/2.0" | "h2" => "h2",
        "http" | "http1" | "http/1" | "http1.1" | "http/1.1" | "h1" => "http/1.1",
        _ => return None,
    };
    (name != official).then_some(official)
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl<T: Into<String>, const N: usize> IntoOption<Protocols> for [T; N] {
    fn into_option(self) -> Result<Protocols, ParseError> {
        check(self.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<String>> IntoOption<Protocols> for Vec<T> {
    fn into_option(self) -> Result<Protocols, ParseError> {
        check(self.into_iter().map(Into::into).collect())
    }
}

impl From<Protocols> for Vec<String> {
    fn from(protocols: Protocols) -> Self {
        protocols.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_order() {
        let protocols = Protocols::parse("h2,http/1.1").expect("two valid names");
        assert_eq!(protocols.names(), ["h2", "http/1.1"]);
        assert_eq!(protocols.to_string(), "h2,http/1.1");
        Protocols::parse("acme-tls/1,spdy/3.1,c-webrtc,x_own+name:2").expect("valid names");
    }

    #[test]
    fn other_texts_are_rejected() {
        let many = (0..33).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        for (text, reason) in [
            ("", "contains no name"),
            ("h2,", "a name is empty"),
            ("h2, http/1.1", "' http/1.1' is not the name of a protocol"),
            ("\"h2\"", "is not the name of a protocol"),
            ("h2;http/1.1", "'h2;http/1.1' is not the name"),
            ("h2,h3", "'h3' is a protocol over QUIC"),
            ("h2,h2", "'h2' is listed twice"),
            ("http2", "did you mean 'h2'?"),
            ("h2,HTTP/1.1", "did you mean 'http/1.1'?"),
            (&"x".repeat(256), "has more than 255 characters"),
            (&many, "33 protocols are too many"),
        ] {
            let error = Protocols::parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
