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
    /// # Errors
    /// No descriptors or no memory left.
    pub(super) fn file(
        &mut self,
        material: &Material,
        tickets: &Ratchet,
    ) -> io::Result<BorrowedFd<'_>> {
        let began = tickets.began();
        let sealed = match self.0.take() {
            Some(sealed) if sealed.began == began => sealed,
            Some(_) | None => {
                let bytes = Parcel::encode(material, tickets);
                let file = memory_file::sealed("prefork tls", &bytes)?;
                Sealed { file, began }
            }
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
}
