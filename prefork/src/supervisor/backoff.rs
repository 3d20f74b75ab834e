//! The delay before a child is replaced that exited before it was healthy.
//!
//! It knows no slots: a number of failures goes in, and a delay comes out.

use std::time::Duration;

/// The delays after several failures in a row.
///
/// After the first failure there is no delay, after the second one it is `first`. Then it doubles
/// up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The delay after the second failure in a row.
    pub(crate) first: Duration,
    /// The longest delay, without jitter.
    pub(crate) max: Duration,
}

impl Default for Backoff {
    /// Returns a delay of 100 ms that doubles up to 5 s.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            max: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// Returns the delay after this many failures in a row, without jitter.
    ///
    /// 0 failures: the last child was healthy.
    pub(super) fn nominal(&self, failures: u32) -> Duration {
        match failures {
            0 | 1 => Duration::ZERO,
            more => {
                let factor = 1_u32.checked_shl(more - 2).unwrap_or(u32::MAX);
                self.first.saturating_mul(factor).min(self.max)
            }
        }
    }

    /// Returns the delay after this many failures in a row, with jitter.
    ///
    /// The jitter is up to 20 %, so that slots that failed together do not restart together.
    pub(super) fn delay(&self, failures: u32, jitter: &mut Jitter) -> Duration {
        let nominal = self.nominal(failures);
        if nominal.is_zero() {
            return nominal;
        }
        nominal.saturating_mul(jitter.next_percent()) / 100
    }
}

/// The random numbers that spread the delays.
///
/// `SplitMix64` (Steele, Lea and Flood, 'Fast splittable pseudorandom number generators', 2014):
/// small, seeded, and good enough for this purpose.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number from 80 to 120.
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
