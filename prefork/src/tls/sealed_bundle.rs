//! The sealed memory file with the TLS bundle. All children get the same one until its contents
//! change.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::bundle::TlsBundle;
use super::credentials::Credentials;
use super::ratchet::Ratchet;
use crate::sys::memfd;

/// The sealed file for one set of credentials.
///
/// A change of the credentials needs a new, empty value. A change of the ticket keys is noticed
/// here.
#[derive(Debug, Default)]
pub(super) struct SealedBundle(Option<SealedFile>);

#[derive(Debug)]
struct SealedFile {
    file: OwnedFd,
    /// When the period of the ticket keys in it began.
    began: Duration,
}

impl SealedBundle {
    /// Returns the file, and creates it anew if the ticket keys have changed.
    ///
    /// If that fails, the previous file is returned: the child derives the current ticket keys from
    /// it.
    ///
    /// # Errors
    /// No descriptors or no memory are left for the first file.
    pub(super) fn file(
        &mut self,
        material: &Credentials,
        tickets: &Ratchet,
    ) -> io::Result<BorrowedFd<'_>> {
        let seal = |bytes: &[u8]| memfd::sealed("prefork tls", bytes);
        self.file_by(seal, material, tickets)
    }

    fn file_by(
        &mut self,
        seal: impl Fn(&[u8]) -> io::Result<OwnedFd>,
        material: &Credentials,
        tickets: &Ratchet,
    ) -> io::Result<BorrowedFd<'_>> {
        let began = tickets.began();
        let create = || {
            let file = seal(&TlsBundle::encode(material, tickets))?;
            io::Result::Ok(SealedFile { file, began })
        };
        let sealed = match self.0.take() {
            Some(sealed) if sealed.began == began => sealed,
            Some(previous) => create().unwrap_or(previous),
            None => create()?,
        };
        Ok(self.0.insert(sealed).file.as_fd())
    }
}

#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod tests {
    use std::os::fd::AsRawFd;

    use super::super::ratchet::PERIOD;
    use super::super::testing;
    use super::*;

    #[test]
    fn the_file_is_the_same_until_the_ticket_keys_change() {
        let sources = testing::sources(&testing::server());
        let material = Credentials::read(&sources).expect("a pair");
        let start = Duration::from_secs(100);
        let mut tickets = Ratchet::new([7; 32], start);
        let mut bundle = SealedBundle::default();
        let mut file = |tickets: &Ratchet| {
            let file = bundle.file(&material, tickets).expect("a file");
            (file.as_raw_fd(), memfd::read(file).expect("sealed"))
        };
        let first = file(&tickets);
        tickets.advance(start + PERIOD / 2);
        assert_eq!(file(&tickets), first);
        tickets.advance(start + PERIOD);
        let (_, later) = file(&tickets);
        assert_ne!(later, first.1);
        assert_eq!(later, *TlsBundle::encode(&material, &tickets));
    }

    #[test]
    fn if_a_later_file_cannot_be_created_the_previous_one_stays() {
        let sources = testing::sources(&testing::server());
        let material = Credentials::read(&sources).expect("a pair");
        let start = Duration::from_secs(100);
        let mut tickets = Ratchet::new([7; 32], start);
        let mut bundle = SealedBundle::default();
        let full = |_: &[u8]| Err(io::ErrorKind::FileTooLarge.into());
        let first = bundle.file_by(full, &material, &tickets);
        assert!(first.is_err(), "there is no previous file");
        let read =
            |file: io::Result<BorrowedFd<'_>>| memfd::read(file.expect("a file")).expect("sealed");
        let first = read(bundle.file(&material, &tickets));
        tickets.advance(start + PERIOD);
        let later = bundle.file_by(full, &material, &tickets);
        assert_eq!(read(later), first);
        let again = read(bundle.file(&material, &tickets));
        assert_eq!(again, *TlsBundle::encode(&material, &tickets));
    }
}
