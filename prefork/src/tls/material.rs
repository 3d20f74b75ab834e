//! Certificate chain, private key and client CA, as the PEM texts that were read.
//!
//! It knows how to read them, bounded and without waiting for a writer or a device; what nothing helps against is a file
//! system that does not answer. `check` knows whether they are of any use.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use prefork_options::{Pem, Protocols};
use zeroize::Zeroizing;

use super::refusal::{Holder, Provenance, Reason, Refusal};
use crate::config::{Config, Places};

/// The most bytes of one text: a chain has a few certificates, a bundle of CAs a few hundred.
const MOST_BYTES: usize = 1 << 20;

pub(crate) const CERT: &str = "tls_cert";
pub(crate) const KEY: &str = "tls_key";
pub(crate) const CLIENT_CA: &str = "tls_client_ca";

/// What the options say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) cert: Pem,
    pub(crate) key: Pem,
    pub(crate) client_ca: Option<Pem>,
    pub(crate) alpn: Protocols,
    pub(crate) places: Places,
}

/// What was read. Nothing shows the texts, since one of them is a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Material {
    pub(crate) chain: Piece,
    pub(crate) key: Piece,
    pub(crate) client_ca: Option<Piece>,
    pub(crate) alpn: Protocols,
}

/// One text and where it came from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) provenance: Provenance,
    pub(crate) pem: Zeroizing<Vec<u8>>,
}

impl Sources {
    /// None where no certificate is configured; that the options go together was checked.
    pub(super) fn of(config: &Config) -> Option<Self> {
        Some(Self {
            cert: config.tls_cert.clone()?,
            key: config.tls_key.clone()?,
            client_ca: config.tls_client_ca.clone(),
            alpn: config.tls_alpn.clone(),
            places: config.places.clone(),
        })
    }
}

impl Material {
    /// Reads all texts; whether they are of any use is [`check`](Self::check)'s to say.
    ///
    /// # Errors
    /// The first one that cannot be read.
    pub(crate) fn read(sources: &Sources) -> Result<Self, Refusal> {
        let (client_ca, places) = (sources.client_ca.as_ref(), &sources.places);
        Ok(Self {
            chain: Piece::read(CERT, &places.tls_cert, &sources.cert)?,
            key: Piece::read(KEY, &places.tls_key, &sources.key)?,
            client_ca: client_ca
                .map(|pem| Piece::read(CLIENT_CA, &places.tls_client_ca, pem))
                .transpose()?,
            alpn: sources.alpn.clone(),
        })
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("chain", &self.chain)
            .field("key", &self.key)
            .field("client_ca", &self.client_ca)
            .field("alpn", &self.alpn)
            .finish()
    }
}

impl Piece {
    /// What came from the master.
    pub(crate) fn handed(option: &'static str, pem: &[u8]) -> Self {
        Self {
            provenance: Provenance {
                option,
                said_by: option.to_owned(),
                holder: Holder::Master,
            },
            pem: Zeroizing::new(pem.to_vec()),
        }
    }

    fn read(option: &'static str, said_by: &str, pem: &Pem) -> Result<Self, Refusal> {
        let holder = match pem {
            Pem::Path(path) => Holder::File(path.clone()),
            Pem::Bytes(_) => Holder::Program,
        };
        let provenance = Provenance {
            option,
            said_by: said_by.to_owned(),
            holder,
        };
        let pem = match pem {
            Pem::Path(path) => read_file(path, &provenance)?,
            Pem::Bytes(bytes) => Zeroizing::new(bytes.to_vec()),
        };
        if pem.len() > MOST_BYTES {
            return Err(Refusal::new(&provenance, Reason::TooLarge));
        }
        Ok(Self { provenance, pem })
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.provenance, self.pem.len())
    }
}

/// Reads one byte more than allowed at most, so that the caller sees what is too large.
fn read_file(path: &Path, provenance: &Provenance) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Refusal::new(provenance, Reason::Missing),
        _ => Refusal::from_system(provenance, Reason::Unreadable, error),
    };
    let file = open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    let kind = about.file_type();
    if kind.is_dir() {
        return Err(Refusal::new(provenance, Reason::Directory));
    }
    if !kind.is_file() {
        return Err(Refusal::new(provenance, Reason::NoFile));
    }
    let limit = MOST_BYTES as u64 + 1;
    // Room for all of it and for seeing its end, so that a key does not move while it is read and stay behind.
    let room = usize::try_from(about.len().min(limit)).unwrap_or(MOST_BYTES) + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Non-blocking: the open of a pipe waits for its writer otherwise (open(2)), and supervision with it.
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

    fn sources(cert: impl AsRef<Path>, key: &[u8]) -> Sources {
        Sources {
            cert: Pem::Path(cert.as_ref().to_owned()),
            key: Pem::Bytes(key.to_vec().into()),
            client_ca: None,
            alpn: Protocols::default(),
            places: testing::places(),
        }
    }

    fn refused(path: &Path) -> Refusal {
        Material::read(&sources(path, b"")).expect_err("it cannot be read")
    }

    #[test]
    fn files_and_bytes_are_read() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("cert.pem");
        fs::write(&path, "certificate").expect("a file");
        let material = Material::read(&sources(&path, b"key")).expect("readable");
        assert_eq!(*material.chain.pem, b"certificate");
        assert_eq!(*material.key.pem, b"key");
        assert_eq!(material.client_ca, None);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_cause() {
        let folder = TempDir::new().expect("a folder");
        let missing = refused(&folder.path().join("missing.pem"));
        assert_eq!(missing.reason, Reason::Missing);
        let looped = folder.path().join("loop.pem");
        std::os::unix::fs::symlink(&looped, &looped).expect("a link");
        let unreadable = refused(&looped);
        assert_eq!(unreadable.reason, Reason::Unreadable);
        assert!(unreadable.source.is_some());
        let text = unreadable.to_string();
        assert!(text.contains("loop.pem'): cannot be read"), "{text}");
        assert_eq!(refused(folder.path()).reason, Reason::Directory);
    }

    #[test]
    fn a_pipe_is_refused_without_waiting_for_a_writer() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
        assert_eq!(refused(&path).reason, Reason::NoFile);
    }

    #[test]
    fn what_is_too_large_is_refused_and_what_is_just_not_is_read() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("cert.pem");
        fs::write(&path, vec![b'x'; MOST_BYTES]).expect("a file");
        assert!(Material::read(&sources(&path, b"")).is_ok());
        fs::write(&path, vec![b'x'; MOST_BYTES + 1]).expect("a file");
        assert_eq!(refused(&path).reason, Reason::TooLarge);
        let endless = refused(Path::new("/dev/zero"));
        assert_eq!(endless.reason, Reason::NoFile);
        let bytes = vec![b'x'; MOST_BYTES + 1];
        fs::write(&path, "").expect("a file");
        let refusal = Material::read(&sources(&path, &bytes)).expect_err("too large");
        assert_eq!(refusal.reason, Reason::TooLarge);
    }

    #[test]
    fn nothing_shows_the_texts() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("cert.pem");
        fs::write(&path, "secret").expect("a file");
        let sources = sources(&path, b"secret");
        let material = Material::read(&sources).expect("readable");
        let shown = format!("{sources:?} {material:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("6 bytes"), "{shown}");
        assert!(!shown.contains("115, 101"), "{shown}");
    }
}
