//! The keys of session tickets. All processes of a master derive the same keys from the clock.
//!
//! There is one secret per period of six hours. At the end of a period the secret is replaced by a
//! hash of itself. Of the old period only the ticket key is kept, for one more period, to decrypt
//! its tickets.
//!
//! - An attacker who obtains the state can decrypt tickets of at most the two periods before the
//!   last rotation. This is the purpose of rotation (RFC 5077, 5.5).
//! - The attacker can also derive all later secrets, until the master is restarted and creates a
//!   new secret. That is the price of a derivation without communication.
//! - A process rotates only when it needs a key: a worker for each client that sends or gets a
//!   ticket, the master for each start of a worker. An idle process does not wake up for it.
//! - Old secrets and keys are erased from memory. Copies on the stack or inside of the
//!   cryptographic library are not. The file that a worker got contains the secret of its start
//!   until `main` needs TLS.
//!
//! Does not read a clock: the time is an argument. It is the time since boot, because that clock is
//! the same in all processes, is never set, and continues while the machine sleeps.

use std::fmt;
use std::io;
use std::time::Duration;

use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// How long one key encrypts tickets.
pub(crate) const PERIOD: Duration = Duration::from_hours(6);

/// The maximum of rotations in one call: almost three years of periods, a few milliseconds of work.
///
/// A state that is further behind continues in the next call and has no keys until then.
const MAX_STEPS: u32 = 4096;

const SECRET_LEN: usize = 32;
const NAME_LEN: usize = 16;
const KEY_LEN: usize = 32;

/// The lengths of the encoded state, without and with the previous key.
const SHORT_LEN: usize = 8 + SECRET_LEN;
const LONG_LEN: usize = SHORT_LEN + NAME_LEN + KEY_LEN;

/// The state of one process. Copies that are advanced to the same time are equal.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ratchet {
    secret: Zeroizing<[u8; SECRET_LEN]>,
    /// When the period of the secret began, as time since boot.
    began: Duration,
    current: TicketKey,
    previous: Option<TicketKey>,
}

/// The key of one period.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TicketKey {
    /// The first bytes of each ticket. Public: a hash reveals nothing about the secret.
    pub(crate) name: [u8; NAME_LEN],
    pub(crate) key: Zeroizing<[u8; KEY_LEN]>,
}

impl Ratchet {
    /// Creates a state with a random secret.
    ///
    /// # Errors
    /// The operating system returned no random bytes.
    pub(crate) fn random(now: Duration) -> io::Result<Self> {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        let filled = SystemRandom::new().fill(secret.as_mut_slice());
        filled.map_err(|_| io::Error::other("no random bytes"))?;
        Ok(Self::new(secret, now))
    }

    /// Creates a state. The time is truncated to milliseconds, as in the encoded state.
    pub(crate) fn new(secret: impl Into<Zeroizing<[u8; SECRET_LEN]>>, now: Duration) -> Self {
        let secret = secret.into();
        Self {
            current: TicketKey::of(&secret),
            secret,
            began: Duration::from_millis(milliseconds(now)),
            previous: None,
        }
    }

    /// Rotates to the period of `now` and erases older secrets and keys.
    ///
    /// A time before the current period changes nothing.
    pub(crate) fn advance(&mut self, now: Duration) {
        for _ in 0..MAX_STEPS {
            if !self.is_behind(now) {
                return;
            }
            self.step();
        }
    }

    /// Returns the current key, and the previous key to decrypt older tickets.
    ///
    /// Returns `None` if the state is still behind `now` after 4096 rotations.
    pub(crate) fn keys(&mut self, now: Duration) -> Option<(&TicketKey, Option<&TicketKey>)> {
        self.advance(now);
        if self.is_behind(now) {
            return None;
        }
        Some((&self.current, self.previous.as_ref()))
    }

    /// When the current period began, as time since boot.
    pub(crate) fn began(&self) -> Duration {
        self.began
    }

    /// Encodes the state: the time in milliseconds, the secret, and the previous key if there is
    /// one.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // The maximum length: a vector that grows leaves a copy of the secret in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONG_LEN));
        bytes.extend(milliseconds(self.began).to_be_bytes());
        bytes.extend(self.secret.iter());
        if let Some(previous) = &self.previous {
            bytes.extend(previous.name);
            bytes.extend(previous.key.iter());
        }
        bytes
    }

    /// Decodes a state.
    ///
    /// # Errors
    /// A text that names what is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if ![SHORT_LEN, LONG_LEN].contains(&bytes.len()) {
            let length = bytes.len();
            return Err(format!(
                "{length} bytes are not a valid state of the ticket keys"
            ));
        }
        let mut rest = bytes;
        let began = Duration::from_millis(u64::from_be_bytes(take(&mut rest)));
        let mut ratchet = Self::new(take(&mut rest), began);
        if !rest.is_empty() {
            let name = take(&mut rest);
            let key = Zeroizing::new(take(&mut rest));
            ratchet.previous = Some(TicketKey { name, key });
        }
        Ok(ratchet)
    }

    fn is_behind(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) >= PERIOD
    }

    /// Rotates once. Overwrites the old secret; `Zeroizing` overwrites keys when they are dropped.
    fn step(&mut self) {
        let mut next = Zeroizing::new([0; SECRET_LEN]);
        expand(&self.secret, b"prefork tickets 1 next", next.as_mut_slice());
        self.secret.copy_from_slice(next.as_slice());
        let current = TicketKey::of(&self.secret);
        self.previous = Some(std::mem::replace(&mut self.current, current));
        self.began = self.began.saturating_add(PERIOD);
    }
}

impl fmt::Debug for Ratchet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ratchet")
            .field("began", &self.began)
            .finish_non_exhaustive()
    }
}

impl TicketKey {
    fn of(secret: &[u8; SECRET_LEN]) -> Self {
        let mut derived = Self {
            name: [0; NAME_LEN],
            key: Zeroizing::new([0; KEY_LEN]),
        };
        expand(secret, b"prefork tickets 1 name", &mut derived.name);
        expand(secret, b"prefork tickets 1 key", derived.key.as_mut_slice());
        derived
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").finish_non_exhaustive()
    }
}

/// HKDF-Expand (RFC 5869, 2.3). HKDF-Extract is not needed, because the secret is uniformly random.
fn expand(secret: &[u8; SECRET_LEN], label: &[u8], out: &mut [u8]) {
    struct Length(usize);

    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }

    let length = Length(out.len());
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret)
        .expand(&[label], length)
        .and_then(|bytes| bytes.fill(out))
        .expect("HKDF returns up to 8160 bytes");
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Takes the first bytes. The caller has checked the length.
fn take<const COUNT: usize>(bytes: &mut &[u8]) -> [u8; COUNT] {
    let (first, rest) = bytes.split_first_chunk().expect("the length was checked");
    *bytes = rest;
    *first
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Duration = Duration::from_secs(1000);
    /// A millisecond less than a period.
    const ALMOST: Duration = Duration::from_millis(21_599_999);

    fn ratchet() -> Ratchet {
        Ratchet::new([7; SECRET_LEN], START)
    }

    fn current(ratchet: &mut Ratchet, now: Duration) -> TicketKey {
        ratchet.keys(now).expect("not too far behind").0.clone()
    }

    fn previous(ratchet: &mut Ratchet, now: Duration) -> Option<TicketKey> {
        ratchet.keys(now).expect("not too far behind").1.cloned()
    }

    #[test]
    fn a_key_is_current_for_a_period_and_previous_for_the_next() {
        let mut ratchet = ratchet();
        let first = current(&mut ratchet, START);
        assert_eq!(previous(&mut ratchet, START), None);
        assert_eq!(current(&mut ratchet, START + ALMOST), first);
        assert_ne!(current(&mut ratchet, START + PERIOD), first);
        let end = START + 2 * PERIOD;
        assert_eq!(
            previous(&mut ratchet, START + PERIOD + ALMOST),
            Some(first.clone())
        );
        assert_ne!(previous(&mut ratchet, end), Some(first.clone()));
        assert_ne!(current(&mut ratchet, end), first);
    }

    #[test]
    fn processes_that_start_at_different_times_have_the_same_keys() {
        let mut master = ratchet();
        let mut early = Ratchet::decode(&master.encode()).expect("a state");
        master.advance(START + 5 * PERIOD / 2);
        let mut late = Ratchet::decode(&master.encode()).expect("a state");
        assert_eq!(master, late);
        let now = START + 7 * PERIOD / 2;
        assert_eq!(current(&mut early, now), current(&mut late, now));
        assert_eq!(previous(&mut early, now), previous(&mut late, now));
        assert_eq!(early, late);
    }

    #[test]
    fn a_later_state_contains_no_old_secrets_and_keys() {
        let mut master = ratchet();
        let first = current(&mut master, START);
        master.advance(START + 2 * PERIOD);
        let bytes = master.encode();
        assert_eq!(bytes.len(), LONG_LEN);
        let contains = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(!contains(&[7; SECRET_LEN]));
        assert!(!contains(first.key.as_slice()) && !contains(&first.name));
    }

    #[test]
    fn a_process_that_is_a_thousand_periods_behind_catches_up_in_one_call() {
        let mut behind = ratchet();
        let mut stepwise = ratchet();
        for period in 0..1000 {
            stepwise.advance(START + period * PERIOD);
        }
        let now = START + 1000 * PERIOD;
        assert_eq!(current(&mut behind, now), current(&mut stepwise, now));
        assert_eq!(behind, stepwise);
    }

    #[test]
    fn a_state_that_is_too_far_behind_has_no_keys_until_it_has_caught_up() {
        let mut behind = ratchet();
        let now = START + (2 * MAX_STEPS + 1) * PERIOD;
        assert!(behind.keys(now).is_none());
        assert!(behind.keys(now).is_none());
        assert!(behind.keys(now).is_some());
        assert_eq!(behind.began(), now);
    }

    #[test]
    fn a_time_before_the_current_period_changes_nothing() {
        let mut ratchet = ratchet();
        ratchet.advance(Duration::ZERO);
        assert_eq!(ratchet, self::ratchet());
        assert!(ratchet.keys(Duration::ZERO).is_some());
    }

    #[test]
    fn random_secrets_differ_and_debug_does_not_print_them() {
        let one = Ratchet::random(START).expect("random bytes");
        let other = Ratchet::random(START).expect("random bytes");
        assert_ne!(one, other);
        let mut known = ratchet();
        known.advance(START + PERIOD);
        let text = format!("{known:?} {:?}", known.current);
        assert_eq!(text, "Ratchet { began: 22600s, .. } TicketKey { .. }");
    }

    #[test]
    fn the_keys_of_version_1_are_pinned() {
        // The expected values were computed with HMAC-SHA256 of another implementation.
        let mut ratchet = ratchet();
        let hex = |bytes: &[u8]| -> String {
            let digit = |value: u8| char::from_digit(value.into(), 16);
            let digits = bytes
                .iter()
                .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
            digits.flatten().collect()
        };
        let key = current(&mut ratchet, START);
        assert_eq!(hex(&key.name), "015f5e95d5332b3202a4a064ddb8bd61");
        assert_eq!(
            hex(key.key.as_slice()),
            "6bff871338a7a019f11f02244b5541804eb8325aafe04dc6b1d232c7b618450b"
        );
        let key = current(&mut ratchet, START + PERIOD);
        assert_eq!(
            hex(key.key.as_slice()),
            "2f695efd8f082b5602d9c2347d4e36b461f31d18dcabec06e5b65670996425f4"
        );
    }

    proptest! {
        #[test]
        fn the_steps_to_a_time_do_not_matter(mut stops in prop::collection::vec(0..400_000_u64, 1..20)) {
            stops.sort_unstable();
            let mut stepwise = ratchet();
            for stop in &stops {
                stepwise.advance(START + Duration::from_secs(*stop));
                stepwise = Ratchet::decode(&stepwise.encode()).expect("a state");
            }
            let mut direct = ratchet();
            direct.advance(START + Duration::from_secs(*stops.last().expect("at least one")));
            prop_assert_eq!(stepwise, direct);
        }

        #[test]
        fn any_bytes_are_decoded_or_rejected(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            now in any::<u64>(),
        ) {
            if let Ok(mut ratchet) = Ratchet::decode(&bytes) {
                prop_assert_eq!(&*ratchet.encode(), &bytes);
                ratchet.advance(Duration::from_millis(now));
            }
        }
    }
}
