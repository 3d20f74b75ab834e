//! The names of application protocols, for TLS to choose one (ALPN, RFC 7301).

use std::fmt;

use crate::ParseError;
use crate::error::quote;

/// The most names; a client's offer is a few.
pub const MAX_PROTOCOLS: usize = 32;

/// The longest name: its length is one byte (RFC 7301, 3.1).
pub const MAX_NAME: usize = 255;

/// Names of protocols, the preferred one first; none where nothing is to be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Protocols(Vec<String>);

impl Protocols {
    /// The names, in their order.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

const EXPECTED: &str = "expected names such as 'h2,http/1.1'";

/// Reads names with commas between them.
///
/// # Errors
///
/// No name at all, and whatever [`check`] says.
pub fn parse(text: &str) -> Result<Protocols, ParseError> {
    if text.is_empty() {
        return Err(ParseError::new(format!("'' names no protocol, {EXPECTED}")));
    }
    check(text.split(',').map(str::to_owned).collect())
}

/// Makes a list of single names.
///
/// # Errors
///
/// A name that is empty, too long, not of ASCII letters, digits and `. / - _ + :`, there twice, or one that no client offers
/// here, such as `http2` for `h2`, or `h3`; too many of them.
pub fn check(names: Vec<String>) -> Result<Protocols, ParseError> {
    for (place, name) in names.iter().enumerate() {
        let shown = quote(name);
        let refuse = |reason: String| Err(ParseError::new(reason));
        if name.is_empty() {
            return refuse(format!("a name is empty, {EXPECTED}"));
        }
        if !name.bytes().all(is_of_a_name) {
            return refuse(format!("{shown} is not the name of a protocol, {EXPECTED}"));
        }
        if name == "h3" || name.starts_with("h3-") {
            return refuse(format!("{shown} is spoken over QUIC, not over TCP"));
        }
        if let Some(meant) = other_spelling(name) {
            return refuse(format!(
                "{shown} is no name that clients know, did you mean '{meant}'?"
            ));
        }
        if name.len() > MAX_NAME {
            return refuse(format!("{shown} is over {MAX_NAME} characters"));
        }
        if names[..place].contains(name) {
            return refuse(format!("{shown} is there twice"));
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

/// The names that are registered have nothing else in them, while quotes and other separators than ours are a mistake that
/// turns every client away.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"./-_+:".contains(&byte)
}

/// What somebody meant who wrote HTTP's version as it is called in talk. Names are compared byte by byte (RFC 7301, 3.2).
fn other_spelling(name: &str) -> Option<&'static str> {
    let meant = match name.to_ascii_lowercase().as_str() {
        "http2" | "http/2" | "http/2.0" | "h2" => "h2",
        "http" | "http1" | "http/1" | "http1.1" | "http/1.1" | "h1" => "http/1.1",
        _ => return None,
    };
    (name != meant).then_some(meant)
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_order() {
        let protocols = parse("h2,http/1.1").expect("both are names");
        assert_eq!(protocols.names(), ["h2", "http/1.1"]);
        assert_eq!(protocols.to_string(), "h2,http/1.1");
        parse("acme-tls/1,spdy/3.1,c-webrtc,x_own+name:2").expect("all are names");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let many = (0..33).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        for (text, reason) in [
            ("", "names no protocol"),
            ("h2,", "a name is empty"),
            ("h2, http/1.1", "' http/1.1' is not the name of a protocol"),
            ("\"h2\"", "is not the name of a protocol"),
            ("h2;http/1.1", "'h2;http/1.1' is not the name"),
            ("h2,h3", "'h3' is spoken over QUIC"),
            ("h2,h2", "'h2' is there twice"),
            ("http2", "did you mean 'h2'?"),
            ("h2,HTTP/1.1", "did you mean 'http/1.1'?"),
            (&"x".repeat(256), "is over 255 characters"),
            (&many, "33 protocols are too many"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
