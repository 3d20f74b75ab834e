//! The grammar of certificates and keys: the path of a PEM file.
//!
//! The program can also set PEM text itself, as bytes.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::option_value::{Sealed, digest};
use crate::{IntoOption, Literals, OptionValue, ParseError};

/// PEM text (RFC 7468), or the path of a file that contains it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Pem {
    /// The path of a file.
    ///
    /// The master reads it before the first start of a worker and each later one.
    Path(PathBuf),
    /// The PEM text itself.
    Bytes(Cow<'static, [u8]>),
}

const EXPECTED: &str = "expected the path of a PEM file";

/// The longest path, with the zero byte at its end (`PATH_MAX`).
const MOST_BYTES: usize = 4096;

impl OptionValue for Pem {
    const EXPECTED: &'static str = "the path of a PEM file, or its bytes";
    const LITERALS: Literals = Literals::Bytes;
    const IS_SECRET: bool = true;
    const TEXTS: &'static str = "
/etc/ssl/server.pem |
server.pem |
| '' is not a path, expected the path of a PEM file
-----BEGIN CERTIFICATE----- | the value looks like PEM text, …
";

    /// Reads the path of a PEM file. It does not check that the file exists.
    ///
    /// # Errors
    ///
    /// An empty text, a text that cannot be a path, and a text that is likely PEM itself. The message
    /// does not show the text, because it may be a key.
    fn parse(text: &str) -> Result<Self, ParseError> {
        let reject = |reason: &str| Err(ParseError::new(format!("{reason}, {EXPECTED}")));
        if text.is_empty() {
            return reject("'' is not a path");
        }
        if is_text_itself(text) {
            return Err(ParseError::new(format!(
                "the value looks like PEM text, {EXPECTED}; start a path with '/' or './', or pass PEM text as bytes in \
             code"
            )));
        }
        if text.contains('\0') {
            return reject("the path contains a zero byte");
        }
        Ok(Pem::Path(PathBuf::from(text)))
    }

    fn display(&self) -> String {
        self.to_string()
    }

    fn digest(&self) -> u32 {
        match self {
            Self::Path(_) => digest(self.display().as_bytes()),
            Self::Bytes(bytes) => digest(bytes),
        }
    }
}

/// Whether a text is a key or a certificate, or a part of one, and not a path.
///
/// Messages show paths, so a key must not count as one. A path has one line, and starts with `/` or
/// `.`, or has a file extension, or has no long run of letters and digits.
fn is_text_itself(text: &str) -> bool {
    // Quotes that neither a shell nor a file of variables has removed.
    let text = text.trim().trim_matches(['"', '\'']);
    text.len() >= MOST_BYTES
        || text.contains("-----")
        || text.contains(['\n', '\r'])
        || text.starts_with("data:")
        || text.starts_with("base64:")
        || !(text.starts_with(['/', '.']) || has_extension(text) || longest_run(text) < LONG)
}

/// The shortest run of base64 that counts as a part of a key.
///
/// A line of base64 has 64 characters.
const LONG: usize = 40;

/// Whether a text ends with a file extension, as `server.pem` does.
///
/// Base64 contains no dot.
fn has_extension(text: &str) -> bool {
    const LONGEST: usize = 8;
    let extension = text.rsplit_once('.').map_or("", |(_, extension)| extension);
    (1..=LONGEST).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The length of the longest run of base64 characters (both alphabets of RFC 4648).
fn longest_run(text: &str) -> usize {
    let is_encoded = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
    let runs = text.as_bytes().split(|byte| !is_encoded(byte));
    runs.map(<[u8]>::len).max().unwrap_or(0)
}

impl fmt::Display for Pem {
    /// Never shows the bytes: they may be a key.
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

impl Sealed for &Path {}

impl IntoOption<Pem> for &Path {
    fn into_option(self) -> Result<Pem, ParseError> {
        self.to_path_buf().into_option()
    }
}

impl Sealed for PathBuf {}

impl IntoOption<Pem> for PathBuf {
    fn into_option(self) -> Result<Pem, ParseError> {
        match self.to_str() {
            Some(text) => Pem::parse(text),
            // A path need not be UTF-8 to be opened.
            None => Ok(Pem::Path(self)),
        }
    }
}

impl Sealed for &'static [u8] {}

impl IntoOption<Pem> for &'static [u8] {
    fn into_option(self) -> Result<Pem, ParseError> {
        Ok(Pem::Bytes(Cow::Borrowed(self)))
    }
}

impl<const N: usize> Sealed for &'static [u8; N] {}

impl<const N: usize> IntoOption<Pem> for &'static [u8; N] {
    fn into_option(self) -> Result<Pem, ParseError> {
        self.as_slice().into_option()
    }
}

impl IntoOption<Pem> for Vec<u8> {
    fn into_option(self) -> Result<Pem, ParseError> {
        Ok(Pem::Bytes(Cow::Owned(self)))
    }
}

/// The path, or a number of bytes.
impl From<Pem> for String {
    fn from(pem: Pem) -> Self {
        pem.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_path() {
        let path = Pem::parse("/etc/tls/key.pem").expect("a path");
        assert_eq!(path, Pem::Path("/etc/tls/key.pem".into()));
        assert_eq!(path.to_string(), "/etc/tls/key.pem");
        let long = "/secrets/production/certificates/of/the/server/in/the/north/key";
        let here = "configuration/production/certificates/server/key.pem";
        let quoted = "\"/etc/letsencrypt/live/a-name-of-the-server-that-is-long/key.pem\"";
        for text in ["MIkey", "key of the server.pem", long, here, quoted] {
            Pem::parse(text).expect("a path");
        }
    }

    #[test]
    fn a_text_that_is_no_path_is_rejected_and_a_key_is_not_shown() {
        let itself = "the value looks like PEM text";
        let key = "-----BEGIN PRIVATE KEY-----\nsecret\n";
        let inside = "Bag Attributes\nsecret";
        let encoded = "  LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCnsecretsecretsecretsecretsecret";
        let ed25519 = "MC4CAQAwBQYDK2VwBCIEIPsecretsecretsecretsecretsecretsecretsecret";
        let rsa = format!("MIIEvQIBADAN{}", "secret/+".repeat(1000));
        for (text, reason) in [
            ("", "'' is not a path"),
            ("secret\0", "the path contains a zero byte"),
            (&"./secret".repeat(1000), itself),
            (key, itself),
            (inside, itself),
            ("secretsecretsecret-----END PRIVATE KEY-----", itself),
            ("base64:secret", itself),
            ("data:text/plain;base64,secret", itself),
            ("secret_secret-secret_secret-secret_secret", itself),
            (&"5ec7e7".repeat(12), itself),
            (encoded, itself),
            (ed25519, itself),
            (&rsa, itself),
            (&format!("\"{ed25519}\""), itself),
            (&format!("b64:{ed25519}"), itself),
            (&format!("{{\"key\":\"{ed25519}\"}}"), itself),
            (&format!("{ed25519}\\n{ed25519}"), itself),
            (&format!("{ed25519} {ed25519}"), itself),
        ] {
            let error = Pem::parse(text).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let bytes = Pem::Bytes(b"secret".as_slice().into());
        assert_eq!(format!("{bytes} {bytes:?}"), "6 bytes Pem(6 bytes)");
    }
}
