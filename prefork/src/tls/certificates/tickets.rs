//! Session tickets that every worker of a master can decrypt: RFC 5077 for TLS 1.2, RFC 8446
//! (4.6.1) for TLS 1.3.
//!
//! Knows the format of a ticket; the ratchet knows the key of a time. A ticket is the name of the
//! key (16 bytes), a nonce (12), the encrypted session and a tag (16). The name is authenticated as
//! well.

use std::sync::Mutex;
use std::time::Duration;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

use super::ratchet::{PERIOD, Ratchet, TicketKey};
use crate::sys::clock::since_boot;

/// Encrypts and decrypts the tickets of one process.
#[derive(Debug)]
pub(crate) struct Tickets {
    ratchet: Mutex<Ratchet>,
}

impl Tickets {
    pub(crate) fn new(ratchet: Ratchet) -> Self {
        Self {
            ratchet: Mutex::new(ratchet),
        }
    }

    fn seal(&self, session: &[u8], now: Duration) -> Option<Vec<u8>> {
        let key = self.ratchet.lock().ok()?.keys(now)?.0.clone();
        // Random, because processes that share a key have no common counter. Two equal nonces in
        // one period have a probability of less than 2^-32 after 2^32 tickets, and of about 0.4
        // after 2^48.
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut ticket = [key.name.as_slice(), &nonce, session].concat();
        let (head, text) = ticket.split_at_mut(key.name.len() + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let name = Aad::from(&head[..key.name.len()]);
        let tag = cipher(&key)?.seal_in_place_separate_tag(nonce, name, text);
        ticket.extend(tag.ok()?.as_ref());
        Some(ticket)
    }

    /// Returns `None` for bytes that are no ticket, and for tickets of another master or of an
    /// erased key.
    fn open(&self, ticket: &[u8], now: Duration) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        let key = self.key(*name, now)?;
        let mut session = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = cipher(&key)?.open_in_place(nonce, Aad::from(name), &mut session);
        let length = opened.ok()?.len();
        session.truncate(length);
        Some(session)
    }

    /// The key with this name. Names are public, so the comparison need not take constant time.
    fn key(&self, name: [u8; 16], now: Duration) -> Option<TicketKey> {
        let mut ratchet = self.ratchet.lock().ok()?;
        let (current, previous) = ratchet.keys(now)?;
        [Some(current), previous]
            .into_iter()
            .flatten()
            .find(|key| key.name == name)
            .cloned()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// The time until the end of the next period, for a ticket from the beginning of a period.
    ///
    /// Later tickets live shorter.
    fn lifetime(&self) -> u32 {
        u32::try_from(2 * PERIOD.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, since_boot().ok()?)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, since_boot().ok()?)
    }
}

fn cipher(key: &TicketKey) -> Option<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, key.key.as_slice()).ok()?;
    Some(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Duration = Duration::from_secs(1000);
    /// A millisecond less than a period.
    const ALMOST: Duration = Duration::from_millis(21_599_999);

    fn tickets() -> Tickets {
        Tickets::new(Ratchet::new([7; 32], START))
    }

    #[test]
    fn any_worker_decrypts_the_ticket_of_any_other() {
        let ticket = tickets().seal(b"session", START).expect("a ticket");
        let opened = tickets().open(&ticket, START + ALMOST);
        assert_eq!(opened.as_deref(), Some(b"session".as_slice()));
        assert_eq!(ticket.len(), 16 + 12 + 7 + 16);
    }

    #[test]
    fn a_ticket_is_accepted_in_its_period_and_in_the_next_one() {
        let end_of_period = START + ALMOST;
        let ticket = tickets().seal(b"session", end_of_period);
        let ticket = ticket.expect("a ticket");
        let is_accepted = |now| tickets().open(&ticket, now).is_some();
        assert!(is_accepted(end_of_period));
        assert!(is_accepted(START + PERIOD));
        assert!(is_accepted(START + PERIOD + ALMOST));
        assert!(!is_accepted(START + 2 * PERIOD));
    }

    #[test]
    fn a_ticket_of_another_secret_is_rejected() {
        let ticket = tickets().seal(b"session", START).expect("a ticket");
        let other = Tickets::new(Ratchet::new([8; 32], START));
        assert_eq!(other.open(&ticket, START), None);
    }

    #[test]
    fn two_tickets_of_one_session_differ() {
        let tickets = tickets();
        let seal = || tickets.seal(b"session", START).expect("a ticket");
        assert_ne!(seal(), seal());
    }

    #[test]
    fn tickets_work_with_the_real_clock() {
        let now = since_boot().expect("a clock");
        let tickets = Tickets::new(Ratchet::random(now).expect("random bytes"));
        let ticket = tickets.encrypt(b"session").expect("a ticket");
        assert_eq!(
            tickets.decrypt(&ticket).as_deref(),
            Some(b"session".as_slice())
        );
        assert_eq!(tickets.lifetime(), 43_200);
        assert!(tickets.enabled());
    }

    proptest! {
        #[test]
        fn every_sealed_session_is_opened(session in prop::collection::vec(any::<u8>(), 0..600)) {
            let ticket = tickets().seal(&session, START).expect("a ticket");
            prop_assert_eq!(tickets().open(&ticket, START), Some(session));
        }

        #[test]
        fn arbitrary_bytes_are_no_ticket(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(tickets().open(&bytes, START), None);
            let mut ratchet = Ratchet::new([7; 32], START);
            let name = ratchet.keys(START).expect("keys").0.name;
            let named = [name.as_slice(), &bytes].concat();
            prop_assert_eq!(tickets().open(&named, START), None);
        }

        #[test]
        fn a_truncated_or_changed_ticket_is_rejected(index in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let ticket = tickets().seal(b"session", START).expect("a ticket");
            let index = index.index(ticket.len());
            prop_assert_eq!(tickets().open(&ticket[..index], START), None);
            let mut changed = ticket;
            changed[index] ^= 1 << bit;
            prop_assert_eq!(tickets().open(&changed, START), None);
        }
    }
}
