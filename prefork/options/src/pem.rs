//! Where certificates and keys are: in a file, or in the program itself.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use crate::ParseError;
use crate::error::quote;

/// PEM texts (RFC 7468), or the file that holds them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Pem {
    /// Read by the master, before the first worker is started and again for each later one.
    Path(PathBuf),
    /// The texts themselves.
    Bytes(Cow<'static, [u8]>),
}

const EXPECTED: &str = "expected the path of a PEM file";

/// How `-----BEGIN` goes in base64: so keys stand in the secrets of many a deployment.
const ENCODED_BEGIN: &str = "LS0tLS1CRUdJT";

/// Reads the path of a PEM file; whether it is there is seen at the start.
///
/// # Errors
///
/// An empty text, one that no path can be, and the PEM text itself.
pub fn parse(text: &str) -> Result<Pem, ParseError> {
    // What it says is not shown: it may be a key.
    if text.contains("-----BEGIN") || text.starts_with(ENCODED_BEGIN) {
        return Err(ParseError::new(format!(
            "the text itself stands where its path should, {EXPECTED}; a program gives the text as bytes"
        )));
    }
    if text.is_empty() {
        return Err(ParseError::new(format!("'' is no path, {EXPECTED}")));
    }
    if text.contains('\0') {
        return Err(ParseError::new(format!(
            "{} holds a zero byte, {EXPECTED}",
            quote(text)
        )));
    }
    Ok(Pem::Path(PathBuf::from(text)))
}

impl fmt::Display for Pem {
    /// Never the bytes: they may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_path() {
        let path = parse("/etc/tls/key.pem").expect("a path");
        assert_eq!(path, Pem::Path("/etc/tls/key.pem".into()));
        assert_eq!(path.to_string(), "/etc/tls/key.pem");
    }

    #[test]
    fn what_is_no_path_is_refused_and_a_key_is_not_shown() {
        let key = "-----BEGIN PRIVATE KEY-----\nsecret\n";
        let encoded = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCnsecret";
        for (text, reason) in [
            (encoded, "a program gives the text as bytes"),
            ("", "'' is no path"),
            ("a\0b", "'a\\0b' holds a zero byte"),
            (key, "a program gives the text as bytes"),
        ] {
            let error = parse(text).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let bytes = Pem::Bytes(b"secret".as_slice().into());
        assert_eq!(format!("{bytes} {bytes:?}"), "6 bytes Pem(6 bytes)");
    }
}
