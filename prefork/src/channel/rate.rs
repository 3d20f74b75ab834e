//! How much a child may say: a handful of frames in its life, so that more is a fault.

use std::time::{Duration, Instant};

/// Counts frames in windows of one second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    window: Instant,
    left: u32,
}

impl Rate {
    const WINDOW: Duration = Duration::from_secs(1);
    const MAX: u32 = 100;
    /// The frames of so many windows may be heard at once: more than the queue of a channel holds.
    const MOST_WINDOWS: u32 = 3;

    pub(crate) fn new(now: Instant) -> Self {
        Self {
            window: now,
            left: Self::MAX,
        }
    }

    /// Notes one frame; whether it was within the limit.
    ///
    /// A window that lasted longer, since the master was paused or a hook took its time, allows
    /// what its length does: the frames were not sent at once, they are only heard at once.
    pub(crate) fn allows_one_more(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.window);
        if elapsed >= Self::WINDOW {
            let elapsed = elapsed.min(Self::WINDOW * Self::MOST_WINDOWS);
            let allowed = elapsed.as_millis() * u128::from(Self::MAX) / Self::WINDOW.as_millis();
            self.window = now;
            self.left = u32::try_from(allowed).unwrap_or(Self::MAX);
        }
        let is_allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_frames_a_second_are_allowed_and_no_more() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert!((0..Rate::MAX).all(|_| rate.allows_one_more(start)));
        assert!(!rate.allows_one_more(start));
        assert!(rate.allows_one_more(start + Rate::WINDOW));
    }

    #[test]
    fn frames_that_waited_for_the_master_count_over_the_time_of_the_wait() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let resumed = start + Duration::from_millis(1_500);
        assert!((0..150).all(|_| rate.allows_one_more(resumed)));
        assert!(!rate.allows_one_more(resumed));
    }

    #[test]
    fn a_long_silence_saves_up_no_more_than_a_queue_holds() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let later = start + Duration::from_hours(1);
        assert!((0..300).all(|_| rate.allows_one_more(later)));
        assert!(!rate.allows_one_more(later));
    }
}
