//! How much a child may say: a handful of frames in its life, so that more is a fault.

use std::time::{Duration, Instant};

/// Counts frames in windows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    start: Instant,
    left: u32,
    window: Duration,
    max: u32,
}

impl Rate {
    /// The frames of so many windows may be heard at once: more than the queue of a channel holds.
    const MOST_WINDOWS: u32 = 3;

    /// Of frames of any kind: a hundred a second.
    pub(crate) fn frames(now: Instant) -> Self {
        Self::new(now, Duration::from_secs(1), 100)
    }

    /// Of frames about shortages, each of which is a line of the log: as many a minute as a worker of ours sends for four
    /// listeners.
    pub(crate) fn shortages(now: Instant) -> Self {
        Self::new(now, Duration::from_mins(1), 40)
    }

    fn new(start: Instant, window: Duration, max: u32) -> Self {
        Self {
            start,
            left: max,
            window,
            max,
        }
    }

    /// Notes one frame; whether it was within the limit.
    ///
    /// A window that lasted longer, since the master was paused or a hook took its time, allows
    /// what its length does: the frames were not sent at once, they are only heard at once.
    pub(crate) fn allows_one_more(&mut self, now: Instant) -> bool {
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

    fn is_limited_to(mut rate: Rate, start: Instant, max: u32, window: Duration) {
        assert!((0..max).all(|_| rate.allows_one_more(start)));
        assert!(!rate.allows_one_more(start));
        assert!(rate.allows_one_more(start + window));
    }

    #[test]
    fn a_hundred_frames_a_second_are_allowed_and_no_more() {
        let start = Instant::now();
        is_limited_to(Rate::frames(start), start, 100, Duration::from_secs(1));
    }

    #[test]
    fn forty_lines_about_shortages_a_minute_are_allowed_and_no_more() {
        let start = Instant::now();
        is_limited_to(Rate::shortages(start), start, 40, Duration::from_mins(1));
    }

    #[test]
    fn frames_that_waited_for_the_master_count_over_the_time_of_the_wait() {
        let start = Instant::now();
        let mut rate = Rate::frames(start);
        let resumed = start + Duration::from_millis(1_500);
        assert!((0..150).all(|_| rate.allows_one_more(resumed)));
        assert!(!rate.allows_one_more(resumed));
    }

    #[test]
    fn a_long_silence_saves_up_no_more_than_a_queue_holds() {
        let start = Instant::now();
        let mut rate = Rate::frames(start);
        let later = start + Duration::from_hours(1);
        assert!((0..300).all(|_| rate.allows_one_more(later)));
        assert!(!rate.allows_one_more(later));
    }
}
