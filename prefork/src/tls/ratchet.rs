//! The keys of session tickets, which all processes of one master have without talking: each goes forward by the clock.
//!
//! There is one secret per period of six hours. When a period ends, its secret is replaced by a hash of itself, and of the
//! old one nothing is kept but the key that opened its tickets, for one period more. So who learns what a process keeps
//! opens tickets from at most two periods before it last went forward, never older ones: that is why tickets are rotated
//! at all (RFC 5077, 5.5). What is kept is wiped when it goes; that no copy is left on a stack, or in what the
//! cryptography used meanwhile, is not promised, and the file that a worker got holds the secret of its start until the
//! body has asked for TLS. A worker goes forward with each client that shows or gets a ticket, the master with
//! each start of a worker: at rest neither is woken for it.
//! The price of not talking: who reads a secret can also make those to come, until the master makes a new one, that is
//! until it is started anew.
//!
//! It knows no clock: the time is an argument, counted since the machine's start, since that clock is the same in all
//! processes, is never set, and goes on while the machine sleeps.

use std::fmt;
use std::io;
use std::time::Duration;

use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// How long tickets are made with one key.
pub(crate) const PERIOD: Duration = Duration::from_hours(6);

/// How many periods one call goes forward; almost three years, and a few milliseconds. Who is further behind goes on with
/// the next call, and has no keys until then.
const MOST_STEPS: u32 = 4096;

const SECRET_LEN: usize = 32;
const NAME_LEN: usize = 16;
const KEY_LEN: usize = 32;

/// The lengths of [`Ratchet::encode`]'s bytes, without and with the key before.
const SHORT_LEN: usize = 8 + SECRET_LEN;
const LONG_LEN: usize = SHORT_LEN + NAME_LEN + KEY_LEN;

/// The state of one process. A copy that goes forward by the same clock stays equal.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ratchet {
    secret: Zeroizing<[u8; SECRET_LEN]>,
    /// When the period of the secret began, since the machine's start.
    began: Duration,
    current: TicketKey,
    previous: Option<TicketKey>,
}

/// What opens the tickets of one period.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TicketKey {
    /// Stands in front of each ticket; it tells nobody anything, since a hash made it.
    pub(crate) name: [u8; NAME_LEN],
    pub(crate) key: Zeroizing<[u8; KEY_LEN]>,
}

impl Ratchet {
    /// Begins with a secret that nobody knows.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn random(now: Duration) -> io::Result<Self> {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        let filled = SystemRandom::new().fill(secret.as_mut_slice());
        filled.map_err(|_| io::Error::other("no random bytes"))?;
        Ok(Self::new(secret, now))
    }

    /// The time is cut to milliseconds, as in the bytes: copies made of these stay equal to this one.
    pub(crate) fn new(secret: impl Into<Zeroizing<[u8; SECRET_LEN]>>, now: Duration) -> Self {
        let secret = secret.into();
        Self {
            current: TicketKey::of(&secret),
            secret,
            began: Duration::from_millis(milliseconds(now)),
            previous: None,
        }
    }

    /// Goes forward to the period of `now`, and forgets what came before. A time before the own period changes nothing.
    pub(crate) fn advance(&mut self, now: Duration) {
        for _ in 0..MOST_STEPS {
            if !self.is_behind(now) {
                return;
            }
            self.step();
        }
    }

    /// The key of this period, for making tickets, and the one before, for opening those that are still around; none
    /// while the period of `now` is too far away.
    pub(crate) fn keys(&mut self, now: Duration) -> Option<(&TicketKey, Option<&TicketKey>)> {
        self.advance(now);
        if self.is_behind(now) {
            return None;
        }
        Some((&self.current, self.previous.as_ref()))
    }

    /// When the current period began, since the machine's start.
    pub(crate) fn began(&self) -> Duration {
        self.began
    }

    /// The state as bytes: the time in milliseconds, the secret, and the key before where there is one.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // As long as it can become, so that it does not move.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONG_LEN));
        bytes.extend(milliseconds(self.began).to_be_bytes());
        bytes.extend(self.secret.iter());
        if let Some(previous) = &self.previous {
            bytes.extend(previous.name);
            bytes.extend(previous.key.iter());
        }
        bytes
    }

    /// # Errors
    /// A sentence about what is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if ![SHORT_LEN, LONG_LEN].contains(&bytes.len()) {
            let length = bytes.len();
            return Err(format!("{length} bytes are no state of ticket keys"));
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

    /// Nothing of what was is kept: the secret is overwritten, keys are when they are dropped.
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
        let mut made = Self {
            name: [0; NAME_LEN],
            key: Zeroizing::new([0; KEY_LEN]),
        };
        expand(secret, b"prefork tickets 1 name", &mut made.name);
        expand(secret, b"prefork tickets 1 key", made.key.as_mut_slice());
        made
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").finish_non_exhaustive()
    }
}

/// HKDF-Expand (RFC 5869, 2.3); the secret is uniform already, so that nothing has to be extracted first.
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
        .expect("HKDF gives up to 8160 bytes");
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The first bytes; the caller has checked that there are as many.
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
        ratchet.keys(now).expect("it is not far").0.clone()
    }

    fn previous(ratchet: &mut Ratchet, now: Duration) -> Option<TicketKey> {
        ratchet.keys(now).expect("it is not far").1.cloned()
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
    fn processes_that_start_at_different_times_agree() {
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
    fn what_is_handed_out_later_tells_nothing_of_what_was() {
        let mut master = ratchet();
        let first = current(&mut master, START);
        master.advance(START + 2 * PERIOD);
        let bytes = master.encode();
        assert_eq!(bytes.len(), LONG_LEN);
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(!holds(&[7; SECRET_LEN]) && !holds(first.key.as_slice()) && !holds(&first.name));
    }

    #[test]
    fn a_process_that_slept_for_a_thousand_periods_catches_up_at_once() {
        let mut slept = ratchet();
        let mut awake = ratchet();
        for period in 0..1000 {
            awake.advance(START + period * PERIOD);
        }
        let now = START + 1000 * PERIOD;
        assert_eq!(current(&mut slept, now), current(&mut awake, now));
        assert_eq!(slept, awake);
    }

    #[test]
    fn one_that_is_too_far_behind_has_no_keys_until_it_caught_up() {
        let mut slept = ratchet();
        let now = START + (2 * MOST_STEPS + 1) * PERIOD;
        assert!(slept.keys(now).is_none());
        assert!(slept.keys(now).is_none());
        assert!(slept.keys(now).is_some());
        assert_eq!(slept.began(), now);
    }

    #[test]
    fn a_clock_that_stands_before_the_period_changes_nothing() {
        let mut ratchet = ratchet();
        ratchet.advance(Duration::ZERO);
        assert_eq!(ratchet, self::ratchet());
        assert!(ratchet.keys(Duration::ZERO).is_some());
    }

    #[test]
    fn secrets_are_never_the_same_and_never_shown() {
        let one = Ratchet::random(START).expect("random bytes");
        let other = Ratchet::random(START).expect("random bytes");
        assert_ne!(one, other);
        let mut known = ratchet();
        known.advance(START + PERIOD);
        let shown = format!("{known:?} {:?}", known.current);
        assert_eq!(shown, "Ratchet { began: 22600s, .. } TicketKey { .. }");
    }

    #[test]
    fn the_keys_of_version_1_are_pinned() {
        // As HMAC-SHA256 of another implementation has them.
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
        fn the_way_to_a_time_does_not_matter(mut stops in prop::collection::vec(0..400_000_u64, 1..20)) {
            stops.sort_unstable();
            let mut stepwise = ratchet();
            for stop in &stops {
                stepwise.advance(START + Duration::from_secs(*stop));
                stepwise = Ratchet::decode(&stepwise.encode()).expect("a state");
            }
            let mut direct = ratchet();
            direct.advance(START + Duration::from_secs(*stops.last().expect("one at least")));
            prop_assert_eq!(stepwise, direct);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
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
