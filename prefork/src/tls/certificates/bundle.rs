//! The TLS bundle that a worker gets: its format, and the sealed memory file that contains it.
//!
//! The format is `prefork-tls 1\n`, then sections of `<name> <length>\n` and that many bytes. Knows
//! where a section begins and ends; does not know certificates. Older programs skip sections that
//! they do not know. The ticket keys are the last section and are required, so that truncated bytes
//! are rejected: without the section of the client CA, all clients would be accepted.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use prefork_options::{OptionValue, Protocols};
use zeroize::Zeroizing;

use super::credentials::{self, Credentials, PemText};
use super::ratchet::Ratchet;
use crate::sys::memfd;

const FIRST_LINE: &[u8] = b"prefork-tls 1\n";

/// The maximum length of a line with the name and the length of a section.
const MAX_LINE: usize = 64;

/// The maximum size of everything except the PEM texts. Most of it are the protocols.
const MAX_OTHER: usize = 16 * 1024;

const ALPN: &str = "alpn";
const CHAIN: &str = "chain";
const KEY: &str = "key";
const CLIENT_CA: &str = "client_ca";
const TICKETS: &str = "tickets";

/// Everything that a worker needs for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsBundle {
    pub(crate) credentials: Credentials,
    pub(crate) tickets: Ratchet,
}

impl TlsBundle {
    /// Encodes a bundle.
    pub(crate) fn encode(material: &Credentials, tickets: &Ratchet) -> Zeroizing<Vec<u8>> {
        // Enough for everything: a vector that grows leaves a copy of the key in freed memory.
        let client_ca = material.client_ca.as_ref().map_or(0, |ca| ca.pem.len());
        let size = material.chain.pem.len() + material.key.pem.len() + client_ca;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size + MAX_OTHER));
        bytes.extend(FIRST_LINE);
        let mut section = |name: &str, body: &[u8]| {
            bytes.extend(format!("{name} {}\n", body.len()).into_bytes());
            bytes.extend(body);
        };
        section(ALPN, material.alpn.to_string().as_bytes());
        section(CHAIN, &material.chain.pem);
        section(KEY, &material.key.pem);
        if let Some(client_ca) = &material.client_ca {
            section(CLIENT_CA, &client_ca.pem);
        }
        section(TICKETS, &tickets.encode());
        debug_assert!(bytes.len() <= size + MAX_OTHER, "the vector did not grow");
        bytes
    }

    /// Reads the sealed file that a child got. The file is not needed afterwards.
    ///
    /// # Errors
    /// A text that names what is wrong with the descriptor or the bytes.
    pub(crate) fn read(fd: impl AsFd) -> Result<Self, String> {
        let bytes = memfd::read(fd)
            .map(Zeroizing::new)
            .map_err(|error| error.to_string())?;
        Self::decode(&bytes)
    }

    /// Decodes a bundle. Does not check whether the certificate and the key can be used.
    ///
    /// Does not trust the lengths: allocates nothing for a section before its bytes were found.
    ///
    /// # Errors
    /// A text that names what is wrong. It contains no byte of a certificate or key.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Some(rest) = bytes.strip_prefix(FIRST_LINE) else {
            return Err("the TLS bundle does not begin with 'prefork-tls 1'".to_owned());
        };
        let sections = Sections::read(rest)?;
        let piece = |option, name| Some(PemText::from_bundle(option, sections.find(name)?));
        let required = |found: Option<PemText>, name| found.ok_or_else(|| missing(name));
        let alpn = sections.find(ALPN).ok_or_else(|| missing(ALPN))?;
        let tickets = sections.find(TICKETS).ok_or_else(|| missing(TICKETS))?;
        Ok(Self {
            credentials: Credentials {
                chain: required(piece(credentials::CERT, CHAIN), CHAIN)?,
                key: required(piece(credentials::KEY, KEY), KEY)?,
                client_ca: piece(credentials::CLIENT_CA, CLIENT_CA),
                alpn: read_alpn(alpn)?,
            },
            tickets: Ratchet::decode(tickets)?,
        })
    }
}

/// The sealed file for one set of credentials. All workers get the same one until its contents
/// change.
///
/// A change of the credentials needs a new, empty value. A change of the ticket keys is noticed
/// here.
#[derive(Debug, Default)]
pub(super) struct SealedBundle {
    /// The file, and when the period of the ticket keys in it began.
    sealed: Option<(OwnedFd, Duration)>,
}

impl SealedBundle {
    /// Returns the file, and creates it anew if the ticket keys have changed.
    ///
    /// If that fails, the previous file is returned: the worker derives the current ticket keys from
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
        let create = || io::Result::Ok((seal(&TlsBundle::encode(material, tickets))?, began));
        let sealed = match self.sealed.take() {
            Some(sealed) if sealed.1 == began => sealed,
            Some(previous) => create().unwrap_or(previous),
            None => create()?,
        };
        Ok(self.sealed.insert(sealed).0.as_fd())
    }
}

/// The known sections, in the order of the bytes.
#[derive(Default)]
struct Sections<'a>(Vec<(&'static str, &'a [u8])>);

impl<'a> Sections<'a> {
    fn read(mut rest: &'a [u8]) -> Result<Self, String> {
        let mut sections = Self::default();
        while !rest.is_empty() {
            let (name, length, after) = read_line(rest)?;
            let Some((body, after)) = after.split_at_checked(length) else {
                let left = after.len();
                return Err(format!(
                    "the TLS bundle is truncated: a section of {length} bytes has only {left}"
                ));
            };
            rest = after;
            let known = [ALPN, CHAIN, KEY, CLIENT_CA, TICKETS];
            let Some(name) = known.into_iter().find(|known| *known == name) else {
                continue;
            };
            if sections.find(name).is_some() {
                return Err(format!(
                    "the TLS bundle contains the section '{name}' twice"
                ));
            }
            sections.0.push((name, body));
        }
        Ok(sections)
    }

    fn find(&self, name: &str) -> Option<&'a [u8]> {
        let mut found = self.0.iter().filter(|(found, _)| *found == name);
        found.next().map(|(_, body)| *body)
    }
}

/// Reads the name and the length of a section. Also returns the bytes after the line.
fn read_line(bytes: &[u8]) -> Result<(&str, usize, &[u8]), String> {
    let malformed =
        || "a section of the TLS bundle does not begin with '<name> <length>'".to_owned();
    let line_end = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
    let (line, rest) = bytes.split_at(line_end.ok_or_else(malformed)?);
    let line = str::from_utf8(line).map_err(|_| malformed())?;
    let (name, length) = line.split_once(' ').ok_or_else(malformed)?;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    // `parse` would accept a sign.
    let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
    if name.is_empty() || !name.bytes().all(is_name) || !is_number {
        return Err(malformed());
    }
    let length = length.parse().map_err(|_| malformed())?;
    Ok((name, length, &rest[1..]))
}

fn read_alpn(bytes: &[u8]) -> Result<Protocols, String> {
    if bytes.is_empty() {
        return Ok(Protocols::default());
    }
    let text = str::from_utf8(bytes)
        .map_err(|_| "the protocols of the TLS bundle are not valid UTF-8".to_owned())?;
    Protocols::parse(text).map_err(|error| error.to_string())
}

fn missing(name: &str) -> String {
    format!("the section '{name}' of the TLS bundle is missing")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn bundle(client_ca: Option<&[u8]>, alpn: &str) -> TlsBundle {
        TlsBundle {
            credentials: Credentials {
                chain: PemText::from_bundle(credentials::CERT, b"certificate\n"),
                key: PemText::from_bundle(credentials::KEY, b"secret"),
                client_ca: client_ca.map(|pem| PemText::from_bundle(credentials::CLIENT_CA, pem)),
                alpn: read_alpn(alpn.as_bytes()).expect("protocols"),
            },
            tickets: Ratchet::new(*b"0123456789abcdef0123456789ABCDEF", Duration::from_secs(1)),
        }
    }

    fn encode(bundle: &TlsBundle) -> Vec<u8> {
        TlsBundle::encode(&bundle.credentials, &bundle.tickets).to_vec()
    }

    #[test]
    fn the_bytes_of_version_1_are_pinned() {
        let bundle = bundle(Some(b"authority"), "h2,http/1.1");
        let bytes: &[u8] = b"prefork-tls 1\n\
            alpn 11\nh2,http/1.1\
            chain 12\ncertificate\n\
            key 6\nsecret\
            client_ca 9\nauthority\
            tickets 40\n\0\0\0\0\0\0\x03\xe80123456789abcdef0123456789ABCDEF";
        assert_eq!(encode(&bundle), bytes);
        assert_eq!(TlsBundle::decode(bytes), Ok(bundle));
    }

    #[test]
    fn without_a_client_ca_and_protocols_they_are_absent() {
        let bundle = bundle(None, "");
        assert_eq!(TlsBundle::decode(&encode(&bundle)), Ok(bundle));
    }

    #[test]
    fn sections_of_later_versions_are_skipped() {
        let bundle = bundle(None, "h2");
        let mut bytes = encode(&bundle);
        bytes.extend(b"staple 3\n\0\n\xff");
        assert_eq!(TlsBundle::decode(&bytes), Ok(bundle));
    }

    #[test]
    fn malformed_bytes_are_rejected_with_a_reason() {
        let complete = encode(&bundle(None, "h2"));
        let with = |more: &[u8]| [complete.as_slice(), more].concat();
        for (bytes, reason) in [
            (b"".to_vec(), "does not begin with 'prefork-tls 1'"),
            (b"prefork-tls 2\n".to_vec(), "does not begin with"),
            (
                b"prefork-tls 1\n".to_vec(),
                "'alpn' of the TLS bundle is missing",
            ),
            (with(b"key 6\nsecret"), "contains the section 'key' twice"),
            (with(b"more 18446744073709551615\n"), "bytes has only 0"),
            (with(b"more 18446744073709551616\n"), "<name> <length>"),
            (with(b"more +1\nx"), "<name> <length>"),
            (with(b"more -1\nx"), "<name> <length>"),
            (with(b"more \n"), "<name> <length>"),
            (with(b"more"), "<name> <length>"),
            (with(b" 0\n"), "<name> <length>"),
            (with(&[b'x'; 100]), "<name> <length>"),
            (
                b"prefork-tls 1\nalpn 3\nh 2chain 0\nkey 0\ntickets 40\n0123456701234567012345670123456701234567".to_vec(),
                "is not the name of a protocol",
            ),
            (
                b"prefork-tls 1\nalpn 0\nchain 0\nkey 0\ntickets 3\nabc".to_vec(),
                "3 bytes are not a valid state of the ticket keys",
            ),
        ] {
            let error = TlsBundle::decode(&bytes).expect_err(reason);
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn truncated_bytes_are_rejected() {
        let complete = encode(&bundle(Some(b"authority"), "h2"));
        for end in 0..complete.len() {
            assert!(TlsBundle::decode(&complete[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn debug_does_not_print_the_key() {
        let text = format!("{:?}", bundle(None, ""));
        assert!(!text.contains("secret"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = TlsBundle::decode(&bytes);
            let _ = TlsBundle::decode(&[FIRST_LINE, &bytes].concat());
        }

        #[test]
        fn any_sections_are_decoded_or_rejected(text in "((alpn|chain|key|client_ca|tickets|x) [0-9]{1,3}\n[ -~\n]{0,50}){0,8}") {
            let _ = TlsBundle::decode(&[FIRST_LINE, text.as_bytes()].concat());
        }

        #[test]
        fn encoded_texts_are_decoded(
            chain in prop::collection::vec(any::<u8>(), 0..200),
            key in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bundle = bundle(None, "h2");
            bundle.credentials.chain.pem = chain.into();
            bundle.credentials.key.pem = key.into();
            prop_assert_eq!(TlsBundle::decode(&encode(&bundle)), Ok(bundle));
        }
    }
}

#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod file_tests {
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
