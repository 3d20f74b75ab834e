//! Where certificates and keys are: in a file, or in the program itself.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use crate::ParseError;

/// PEM texts (RFC 7468), or the file that holds them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Pem {
    /// Read by the master, before the first worker is started and again for each later one.
    Path(PathBuf),
    /// The texts themselves.
    Bytes(Cow<'static, [u8]>),
}

const EXPECTED: &str = "expected the path of a PEM file";

/// What the system takes for a path, with the zero byte at its end (`PATH_MAX`).
const MOST_BYTES: usize = 4096;

/// Reads the path of a PEM file; whether it is there is seen at the start.
///
/// # Errors
///
/// An empty text, one that no path can be, and what is likely the text of a key. Only the first is shown.
pub fn parse(text: &str) -> Result<Pem, ParseError> {
    let refuse = |reason: &str| Err(ParseError::new(format!("{reason}, {EXPECTED}")));
    if text.is_empty() {
        return refuse("'' is no path");
    }
    if is_text_itself(text) {
        return Err(ParseError::new(format!(
            "what looks like the text itself stands where its path should, {EXPECTED} (beginning with '/' or '.', where it \
             looks so); a program gives the text as bytes"
        )));
    }
    if text.contains('\0') {
        return refuse("a path holds no zero byte");
    }
    Ok(Pem::Path(PathBuf::from(text)))
}

/// Whether it is a key or a certificate, or a part of one, rather than the name of its file: that has one line, begins at
/// the root or here, or ends like a file, or has no long run of letters and digits. What is taken for a path is shown in
/// messages.
fn is_text_itself(text: &str) -> bool {
    // Quotes, as they are left by who does not know them.
    let text = text.trim().trim_matches(['"', '\'']);
    text.len() >= MOST_BYTES
        || text.contains("-----")
        || text.contains(['\n', '\r'])
        || text.starts_with("data:")
        || text.starts_with("base64:")
        || !(text.starts_with(['/', '.']) || has_extension(text) || longest_run(text) < LONG)
}

/// The shortest part of a key that is worth hiding: a line of base64 has 64 characters.
const LONG: usize = 40;

/// `server.pem`; in base64 there is no dot.
fn has_extension(text: &str) -> bool {
    const LONGEST: usize = 8;
    let extension = text.rsplit_once('.').map_or("", |(_, extension)| extension);
    (1..=LONGEST).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Of what base64 is made of, in either alphabet (RFC 4648).
fn longest_run(text: &str) -> usize {
    let is_encoded = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
    let runs = text.as_bytes().split(|byte| !is_encoded(byte));
    runs.map(<[u8]>::len).max().unwrap_or(0)
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
        let long = "/secrets/production/certificates/of/the/server/in/the/north/key";
        let here = "configuration/production/certificates/server/key.pem";
        let quoted = "\"/etc/letsencrypt/live/a-name-of-the-server-that-is-long/key.pem\"";
        for text in ["MIkey", "key of the server.pem", long, here, quoted] {
            parse(text).expect("a path");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_and_a_key_is_not_shown() {
        let itself = "a program gives the text as bytes";
        let key = "-----BEGIN PRIVATE KEY-----\nsecret\n";
        let inside = "Bag Attributes\nsecret";
        let encoded = "  LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCnsecretsecretsecretsecretsecret";
        let ed25519 = "MC4CAQAwBQYDK2VwBCIEIPsecretsecretsecretsecretsecretsecretsecret";
        let rsa = format!("MIIEvQIBADAN{}", "secret/+".repeat(1000));
        for (text, reason) in [
            ("", "'' is no path"),
            ("secret\0", "a path holds no zero byte"),
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
            let error = parse(text).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let bytes = Pem::Bytes(b"secret".as_slice().into());
        assert_eq!(format!("{bytes} {bytes:?}"), "6 bytes Pem(6 bytes)");
    }
}
