//! Why a certificate, a key or a client CA cannot be used: which option, which file, what is wrong with it.
//!
//! A refusal goes to logs. No text of a file ever stands in it, also not where a parser's own error would quote the line
//! that it stumbled over: a key whose line ends were lost is one such line.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::Error;

/// Something that TLS cannot be spoken with.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub(crate) struct Refusal {
    pub(crate) place: Place,
    pub(crate) reason: Reason,
    /// What the system said, where it was asked.
    #[source]
    pub(crate) source: Option<io::Error>,
}

impl Refusal {
    pub(crate) fn new(place: &Place, reason: Reason) -> Self {
        Self {
            place: place.clone(),
            reason,
            source: None,
        }
    }

    pub(crate) fn from_system(place: &Place, reason: Reason, source: io::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::new(place, reason)
        }
    }

    /// What was refused and why, with the cause: the same words mean that nothing new happened.
    pub(crate) fn one_line(&self) -> String {
        match &self.source {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Tls {
            place: refusal.place.to_string(),
            reason: refusal.reason.to_string(),
            source: refusal.source,
        }
    }
}

/// Where a text came from: by which option, and from which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) option: &'static str,
    pub(crate) origin: Origin,
}

/// Who had the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File(PathBuf),
    /// The program gave the text itself.
    Program,
    /// A worker got it from its master, who knows which file it was.
    Master,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = self.option;
        match &self.origin {
            // Escaped, since a path may hold line ends; not cut, since its end tells most.
            Origin::File(path) => {
                let path = path.to_string_lossy();
                write!(f, "{option} ('{}')", path.escape_debug())
            }
            Origin::Program => write!(f, "{option} (bytes from the program)"),
            Origin::Master => write!(f, "{option} (bytes from the master)"),
        }
    }
}

/// What is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("there is no such file")]
    Missing,
    #[error("is a directory, expected a PEM file")]
    Directory,
    #[error("is neither a file nor a directory; it has to be read again for each start")]
    NoFile,
    #[error("cannot be read")]
    Unreadable,
    #[error("is over 1 MiB, too large for PEM texts")]
    TooLarge,
    #[error("is empty")]
    Empty,
    #[error(
        "is not PEM text, there is no '-----BEGIN' line in it (`openssl x509` and `openssl pkey` with `-inform DER` \
         make PEM of DER)"
    )]
    NotPem,
    #[error("the PEM text is damaged: {0}")]
    DamagedPem(&'static str),
    #[error("holds no certificate, no line of it begins with '-----BEGIN CERTIFICATE-----'")]
    NoCertificate,
    #[error(
        "holds no private key, no line of it begins with '-----BEGIN PRIVATE KEY-----' or the like"
    )]
    NoKey,
    #[error(
        "the private key is encrypted, and nobody is there to type its password (`openssl pkey` decrypts it)"
    )]
    EncryptedKey,
    #[error("holds a private key and no certificate; are tls_cert and tls_key swapped?")]
    KeyForCertificate,
    #[error("holds a certificate and no private key; are tls_cert and tls_key swapped?")]
    CertificateForKey,
    #[error(
        "certificate {number} of {count} cannot be read: it is damaged, or not of version 3 (`openssl x509 -noout -text` shows which)"
    )]
    BadCertificate { number: usize, count: usize },
    #[error(
        "its {count} certificates have {size} bytes, and clients take about 64 KiB; only those belong here that lead \
         from the server's own to a root"
    )]
    LongChain { count: usize, size: usize },
    #[error(
        "{read} of the {there} certificates in it can be read: is a first line damaged, of another kind (as `BEGIN TRUSTED \
         CERTIFICATE`), or behind a byte order mark?"
    )]
    SkippedCertificates { there: usize, read: usize },
    #[error(
        "the private key is damaged, or of a kind or size that is not supported (ring takes RSA with 2048 to 4096 \
         bits, ECDSA with P-256 or P-384, and Ed25519)"
    )]
    UnsupportedKey,
    #[error(
        "the private key does not belong to the certificate of tls_cert; of a chain, the server's own comes first"
    )]
    OtherKey,
    #[error("the certificate expired at {0}")]
    Expired(String),
    #[error("the certificate is not valid before {0}; is this machine's clock right?")]
    NotYetValid(String),
    #[error(
        "certificate {number} of {count} is not that of a CA: clients' certificates cannot be checked by it"
    )]
    NoAuthority { number: usize, count: usize },
    #[error("the system gives no random bytes for a secret")]
    NoRandom,
    #[error("the cryptography that this program installed for rustls cannot be used: {0}")]
    Provider(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_option_the_file_and_the_cause() {
        let place = Place {
            option: "tls_key",
            origin: Origin::File("/etc/x\n.pem".into()),
        };
        let denied = io::ErrorKind::PermissionDenied;
        let refusal = Refusal::from_system(&place, Reason::Unreadable, denied.into());
        let line = refusal.one_line();
        assert_eq!(
            line,
            r"tls_key ('/etc/x\n.pem'): cannot be read: permission denied"
        );
        let source = std::error::Error::source(&refusal).expect("a cause");
        assert_eq!(source.to_string(), "permission denied");
    }

    #[test]
    fn bytes_are_named_by_who_had_them() {
        for (origin, text) in [
            (
                Origin::Program,
                "tls_key (bytes from the program): is empty",
            ),
            (Origin::Master, "tls_key (bytes from the master): is empty"),
        ] {
            let option = "tls_key";
            let refusal = Refusal::new(&Place { option, origin }, Reason::Empty);
            assert_eq!(refusal.to_string(), text);
        }
    }
}
