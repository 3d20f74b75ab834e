//! The file that children get their parcel in: the same one for all, until something in it is different.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::material::Material;
use super::parcel::Parcel;
use super::ratchet::Ratchet;
use crate::sys::memory_file;

/// Begin with an empty one when there is other material. That the keys of tickets are others it sees by itself.
#[derive(Debug, Default)]
pub(super) struct Envelope(Option<Sealed>);

#[derive(Debug)]
struct Sealed {
    file: OwnedFd,
    /// When the period of the keys in it began.
    began: Duration,
}

impl Envelope {
    /// Where a later file cannot be made it is the one before: the child makes its keys of tickets those of now.
    ///
    /// # Errors
    /// No descriptors or no memory left for the first one.
    pub(super) fn file(
        &mut self,
        material: &Material,
        tickets: &Ratchet,
    ) -> io::Result<BorrowedFd<'_>> {
        let seal = |bytes: &[u8]| memory_file::sealed("prefork tls", bytes);
        self.file_by(seal, material, tickets)
    }

    fn file_by(
        &mut self,
        seal: impl Fn(&[u8]) -> io::Result<OwnedFd>,
        material: &Material,
        tickets: &Ratchet,
    ) -> io::Result<BorrowedFd<'_>> {
        let began = tickets.began();
        let new = || {
            let file = seal(&Parcel::encode(material, tickets))?;
            io::Result::Ok(Sealed { file, began })
        };
        let sealed = match self.0.take() {
            Some(sealed) if sealed.began == began => sealed,
            Some(before) => new().unwrap_or(before),
            None => new()?,
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
    fn the_file_is_the_same_until_the_keys_of_tickets_are_others() {
        let sources = testing::sources(&testing::server());
        let material = Material::read(&sources).expect("a pair");
        let start = Duration::from_secs(100);
        let mut tickets = Ratchet::new([7; 32], start);
        let mut envelope = Envelope::default();
        let mut file = |tickets: &Ratchet| {
            let file = envelope.file(&material, tickets).expect("a file");
            (file.as_raw_fd(), memory_file::read(file).expect("sealed"))
        };
        let first = file(&tickets);
        tickets.advance(start + PERIOD / 2);
        assert_eq!(file(&tickets), first);
        tickets.advance(start + PERIOD);
        let (_, later) = file(&tickets);
        assert_ne!(later, first.1);
        assert_eq!(later, *Parcel::encode(&material, &tickets));
    }
    #[test]
    fn where_no_later_file_can_be_made_the_one_before_stays() {
        let sources = testing::sources(&testing::server());
        let material = Material::read(&sources).expect("a pair");
        let start = Duration::from_secs(100);
        let mut tickets = Ratchet::new([7; 32], start);
        let mut envelope = Envelope::default();
        let full = |_: &[u8]| Err(io::ErrorKind::FileTooLarge.into());
        let none = envelope.file_by(full, &material, &tickets);
        assert!(none.is_err(), "there is none before the first");
        let read = |file: io::Result<BorrowedFd<'_>>| {
            memory_file::read(file.expect("a file")).expect("sealed")
        };
        let first = read(envelope.file(&material, &tickets));
        tickets.advance(start + PERIOD);
        let later = envelope.file_by(full, &material, &tickets);
        assert_eq!(read(later), first);
        let again = read(envelope.file(&material, &tickets));
        assert_eq!(again, *Parcel::encode(&material, &tickets));
    }
}
