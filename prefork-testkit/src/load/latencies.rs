//! A histogram of latencies. Its memory does not grow with the number of values.

use std::time::Duration;

/// The buckets of each power of two. A percentile is at most 1/128 above the real value.
const BUCKETS: u64 = 128;

/// Larger values count as this one: about 73 minutes, in nanoseconds.
const LARGEST: u64 = (1 << 42) - 1;

/// A histogram of latencies.
#[derive(Debug, Clone, Default)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Latencies {
    pub(super) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(LARGEST);
        let index = bucket(nanos.min(LARGEST));
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        self.total += 1;
        self.max = self.max.max(latency);
    }

    pub(super) fn max(&self) -> Duration {
        self.max
    }

    /// Returns the smallest recorded latency that this share of all latencies does not exceed.
    ///
    /// 0 without latencies.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentile of 2^53 values needs no exact rank"
    )]
    pub(super) fn percentile(&self, percent: f64) -> Duration {
        let rank = (self.total as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return Duration::from_nanos(upper_bound(index)).min(self.max);
            }
        }
        self.max
    }
}

/// Values below 2 × [`BUCKETS`] have a bucket each. Above, each power of two has [`BUCKETS`].
fn bucket(value: u64) -> usize {
    let shift = value.max(BUCKETS).ilog2() - BUCKETS.ilog2();
    let index = u64::from(shift) * BUCKETS + (value >> shift);
    usize::try_from(index).expect("there are less than 5,000 buckets")
}

fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / BUCKETS).saturating_sub(1);
    ((bucket - shift * BUCKETS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_contains_its_values_and_is_narrow() {
        let mut last = 0;
        for power in 0..42 {
            for offset in [0, 1, 7, 100, 12_345] {
                let value = ((1_u64 << power) + offset).min(LARGEST);
                let upper = upper_bound(bucket(value));
                assert!(upper >= value, "{value} is in a bucket up to {upper}");
                assert!(upper - value <= value / BUCKETS, "{value}: {upper}");
                assert_eq!(bucket(upper) + 1, bucket(upper + 1));
            }
            assert!(bucket(1 << power) >= last);
            last = bucket(1 << power);
        }
        assert!(last < 5_000);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50.0), Duration::ZERO);
        for millis in (1..=1_000).rev() {
            latencies.record(Duration::from_millis(millis));
        }
        for (percent, expected) in [(0.0, 1.0), (50.0, 500.0), (99.0, 990.0), (100.0, 1_000.0)] {
            let found = latencies.percentile(percent).as_secs_f64() * 1_000.0;
            assert!(
                found >= expected && found <= expected * 1.01,
                "{percent}: {found}"
            );
        }
        latencies.record(Duration::from_hours(24));
        assert_eq!(latencies.max(), Duration::from_hours(24));
        assert_eq!(latencies.percentile(100.0), Duration::from_nanos(LARGEST));
    }
}
