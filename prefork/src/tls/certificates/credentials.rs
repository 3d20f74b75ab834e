//! Certificate chain, private key and client CA, as the PEM texts that were read.
//!
//! Knows how to read them with a limit, and without waiting for a pipe or a device. An unresponsive
//! file system still blocks the read. Does not know whether the texts can be used; `check` does.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use prefork_options::{Pem, Protocols};
use zeroize::Zeroizing;

use super::pem_source::PemSource;
use crate::config::{Config, ErrorLabels};
use crate::error::{Error, TlsErrorKind};

/// The maximum size of one text: a chain has a few certificates, a file of CAs a few hundred.
const MAX_BYTES: usize = 1 << 20;

pub(crate) const CERT: &str = "tls_cert";
pub(crate) const KEY: &str = "tls_key";
pub(crate) const CLIENT_CA: &str = "tls_client_ca";

/// The options of TLS and their labels in errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CredentialSources {
    pub(crate) cert: Pem,
    pub(crate) key: Pem,
    pub(crate) client_ca: Option<Pem>,
    pub(crate) alpn: Protocols,
    pub(crate) labels: ErrorLabels,
}

/// The texts that were read. `Debug` does not print them, because one of them is a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) chain: PemText,
    pub(crate) key: PemText,
    pub(crate) client_ca: Option<PemText>,
    pub(crate) alpn: Protocols,
}

/// One PEM text and its source.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PemText {
    pub(crate) source: PemSource,
    pub(crate) pem: Zeroizing<Vec<u8>>,
}

impl CredentialSources {
    /// The sources of a configuration; `None` if no certificate is configured.
    ///
    /// Invalid combinations of the options were rejected before.
    pub(super) fn of(config: &Config) -> Option<Self> {
        Some(Self {
            cert: config.tls_cert.clone()?,
            key: config.tls_key.clone()?,
            client_ca: config.tls_client_ca.clone(),
            alpn: config.tls_alpn.clone(),
            labels: config.labels.clone(),
        })
    }
}

impl Credentials {
    /// Reads all texts. [`check`](Self::check) checks whether they can be used.
    ///
    /// # Errors
    /// The first text that cannot be read.
    pub(crate) fn read(sources: &CredentialSources) -> Result<Self, Error> {
        let (client_ca, labels) = (sources.client_ca.as_ref(), &sources.labels);
        Ok(Self {
            chain: PemText::read(CERT, &labels.tls_cert, &sources.cert)?,
            key: PemText::read(KEY, &labels.tls_key, &sources.key)?,
            client_ca: client_ca
                .map(|pem| PemText::read(CLIENT_CA, &labels.tls_client_ca, pem))
                .transpose()?,
            alpn: sources.alpn.clone(),
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("chain", &self.chain)
            .field("key", &self.key)
            .field("client_ca", &self.client_ca)
            .field("alpn", &self.alpn)
            .finish()
    }
}

impl PemText {
    /// Creates a text that came from the master.
    pub(crate) fn from_bundle(option: &'static str, pem: &[u8]) -> Self {
        Self {
            source: PemSource::bundle(option),
            pem: Zeroizing::new(pem.to_vec()),
        }
    }

    fn read(option: &'static str, label: &str, pem: &Pem) -> Result<Self, Error> {
        let source = PemSource::new(option, label, pem);
        let pem = match pem {
            Pem::Path(path) => read_file(path, &source)?,
            Pem::Bytes(bytes) => Zeroizing::new(bytes.to_vec()),
        };
        if pem.len() > MAX_BYTES {
            return Err(source.error(TlsErrorKind::InvalidPem, "the content is larger than 1 MiB"));
        }
        Ok(Self { source, pem })
    }
}

impl fmt::Debug for PemText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.source.label, self.pem.len())
    }
}

/// Reads at most one byte more than allowed, so that the caller notices a file that is too large.
fn read_file(path: &Path, source: &PemSource) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unreadable = |error: io::Error| {
        let kind = TlsErrorKind::Unreadable;
        if error.kind() == io::ErrorKind::NotFound {
            return source.error(kind, "no such file exists");
        }
        source.system_error(kind, "the file cannot be read", error)
    };
    let file = open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        let reason = "the path is a directory, expected a PEM file";
        return Err(source.error(TlsErrorKind::InvalidPem, reason));
    }
    if !kind.is_file() {
        let reason = "the path is not a regular file; it must be one, because the master reads it \
                      again at each start of a worker";
        return Err(source.error(TlsErrorKind::InvalidPem, reason));
    }
    let limit = MAX_BYTES as u64 + 1;
    // Enough for the file and for the read that finds its end. Otherwise the vector would grow, and
    // leave a copy of the key in freed memory.
    let capacity = usize::try_from(metadata.len().min(limit)).unwrap_or(MAX_BYTES) + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Opens with `O_NONBLOCK`: otherwise the open of a pipe blocks the master until a writer opens it
/// (open(2)).
fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::super::testing;
    use super::*;

    fn sources(cert: impl AsRef<Path>, key: &[u8]) -> CredentialSources {
        CredentialSources {
            cert: Pem::Path(cert.as_ref().to_owned()),
            key: Pem::Bytes(key.to_vec().into()),
            client_ca: None,
            alpn: Protocols::default(),
            labels: testing::labels(),
        }
    }

    /// The text of the error.
    fn rejected(path: &Path) -> String {
        let error = Credentials::read(&sources(path, b"")).expect_err("it cannot be read");
        error.chain()
    }

    #[test]
    fn files_and_bytes_are_read() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("cert.pem");
        fs::write(&path, "certificate").expect("a file");
        let found = Credentials::read(&sources(&path, b"key")).expect("readable");
        assert_eq!(*found.chain.pem, b"certificate");
        assert_eq!(*found.key.pem, b"key");
        assert_eq!(found.client_ca, None);
    }

    #[test]
    fn the_error_of_a_file_that_cannot_be_read_has_a_cause() {
        let folder = TempDir::new().expect("a folder");
        let missing = rejected(&folder.path().join("missing.pem"));
        assert!(
            missing.ends_with("missing.pem'): no such file exists"),
            "{missing}"
        );
        let looped = folder.path().join("loop.pem");
        std::os::unix::fs::symlink(&looped, &looped).expect("a link");
        let unreadable = rejected(&looped);
        let expected = "loop.pem'): the file cannot be read: ";
        assert!(unreadable.contains(expected), "{unreadable}");
        assert!(rejected(folder.path()).contains("is a directory"));
    }

    #[test]
    fn a_pipe_is_rejected_without_waiting_for_a_writer() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
        assert!(rejected(&path).contains("not a regular file"));
    }

    #[test]
    fn a_text_above_the_limit_is_rejected_and_one_at_the_limit_is_read() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("cert.pem");
        fs::write(&path, vec![b'x'; MAX_BYTES]).expect("a file");
        assert!(Credentials::read(&sources(&path, b"")).is_ok());
        fs::write(&path, vec![b'x'; MAX_BYTES + 1]).expect("a file");
        assert!(rejected(&path).contains("larger than 1 MiB"));
        let endless = rejected(Path::new("/dev/zero"));
        assert!(endless.contains("not a regular file"), "{endless}");
        let bytes = vec![b'x'; MAX_BYTES + 1];
        fs::write(&path, "").expect("a file");
        let error = Credentials::read(&sources(&path, &bytes)).expect_err("too large");
        assert!(error.to_string().contains("larger than 1 MiB"), "{error}");
    }

    #[test]
    fn debug_does_not_print_the_texts() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("cert.pem");
        fs::write(&path, "secret").expect("a file");
        let sources = sources(&path, b"secret");
        let found = Credentials::read(&sources).expect("readable");
        let text = format!("{sources:?} {found:?}");
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("6 bytes"), "{text}");
        assert!(!text.contains("115, 101"), "{text}");
    }
}
