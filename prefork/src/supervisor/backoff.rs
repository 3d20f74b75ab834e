//! How long a slot waits whose children die before they are well. Knows nothing of slots: a count in, a delay out.

use std::time::Duration;

/// The first failure is answered at once, the second after `first`, then doubling up to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// What the second failure in a row waits.
    pub(crate) first: Duration,
    /// What no wait exceeds, jitter aside.
    pub(crate) most: Duration,
}

impl Default for Backoff {
    /// 100 ms doubling to 5 s.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// The wait after this many failures in a row (0: the last child was well), without jitter.
    pub(super) fn nominal(&self, failures: u32) -> Duration {
        match failures {
            0 | 1 => Duration::ZERO,
            more => {
                let factor = 1_u32.checked_shl(more - 2).unwrap_or(u32::MAX);
                self.first.saturating_mul(factor).min(self.most)
            }
        }
    }

    /// The same with up to a fifth more or less, so that slots that failed together do not return together.
    pub(super) fn delay(&self, failures: u32, jitter: &mut Jitter) -> Duration {
        let nominal = self.nominal(failures);
        if nominal.is_zero() {
            return nominal;
        }
        nominal.saturating_mul(jitter.next_percent()) / 100
    }
}

/// `SplitMix64` (Steele, Lea and Flood, 'Fast splittable pseudorandom number generators', 2014): small, seeded, and
/// good enough to spread delays.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 80 to 120.
    fn next_percent(&mut self) -> u32 {
        80 + u32::try_from(self.next() % 41).expect("a remainder of 41 fits")
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
