//! The limit of frames from one child. A child sends a handful in its life, so many more are a
//! fault.

use std::time::{Duration, Instant};

/// Counts frames in windows of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateLimit {
    start: Instant,
    left: u32,
    window: Duration,
    max: u32,
}

impl RateLimit {
    /// The number of windows that are added up at most.
    ///
    /// Their frames are more than the queue of a channel holds.
    const MOST_WINDOWS: u32 = 3;

    /// The limit of all frames: 100 per second.
    pub(crate) fn frames(now: Instant) -> Self {
        Self::new(now, Duration::from_secs(1), 100)
    }

    /// The limit of frames about shortages: 40 per minute.
    ///
    /// Each is a log line. A worker of this crate sends as many for four listeners.
    pub(crate) fn shortages(now: Instant) -> Self {
        Self::new(now, Duration::from_mins(1), 40)
    }

    /// The limit of log lines about the readiness of a worker: 120 per minute.
    ///
    /// A worker of this crate reports at most one change per second.
    pub(crate) fn readiness(now: Instant) -> Self {
        Self::new(now, Duration::from_mins(1), 120)
    }

    fn new(start: Instant, window: Duration, max: u32) -> Self {
        Self {
            start,
            left: max,
            window,
            max,
        }
    }

    /// Counts one frame; returns whether it was within the limit.
    ///
    /// A longer window, after a pause of the master or a slow hook, allows proportionally more: the
    /// frames were not sent at once, they are only read at once.
    pub(crate) fn try_acquire(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.start);
        if elapsed >= self.window {
            let elapsed = elapsed.min(self.window * Self::MOST_WINDOWS);
            let allowed = elapsed.as_millis() * u128::from(self.max) / self.window.as_millis();
            self.start = now;
            self.left = u32::try_from(allowed).unwrap_or(self.max);
        }
        let is_allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_limited_to(mut rate: RateLimit, start: Instant, max: u32, window: Duration) {
        assert!((0..max).all(|_| rate.try_acquire(start)));
        assert!(!rate.try_acquire(start));
        assert!(rate.try_acquire(start + window));
    }

    #[test]
    fn a_hundred_frames_a_second_are_allowed_and_no_more() {
        let start = Instant::now();
        is_limited_to(RateLimit::frames(start), start, 100, Duration::from_secs(1));
    }

    #[test]
    fn forty_lines_about_shortages_a_minute_are_allowed_and_no_more() {
        let start = Instant::now();
        is_limited_to(
            RateLimit::shortages(start),
            start,
            40,
            Duration::from_mins(1),
        );
    }

    #[test]
    fn frames_that_waited_for_the_master_are_counted_over_the_waiting_time() {
        let start = Instant::now();
        let mut rate = RateLimit::frames(start);
        let resumed = start + Duration::from_millis(1_500);
        assert!((0..150).all(|_| rate.try_acquire(resumed)));
        assert!(!rate.try_acquire(resumed));
    }

    #[test]
    fn a_long_pause_allows_at_most_three_windows() {
        let start = Instant::now();
        let mut rate = RateLimit::frames(start);
        let later = start + Duration::from_hours(1);
        assert!((0..300).all(|_| rate.try_acquire(later)));
        assert!(!rate.try_acquire(later));
    }
}
