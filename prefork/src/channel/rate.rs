//! How much a child may say: a handful of frames in its life, so that more is a fault.

use std::time::{Duration, Instant};

/// Counts frames in windows of one second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    window: Instant,
    count: u32,
}

impl Rate {
    const WINDOW: Duration = Duration::from_secs(1);
    const MAX: u32 = 100;

    pub(crate) fn new(now: Instant) -> Self {
        Self {
            window: now,
            count: 0,
        }
    }

    /// Notes one frame; whether it was within the limit.
    pub(crate) fn allows_one_more(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.window) >= Self::WINDOW {
            *self = Self::new(now);
        }
        self.count += 1;
        self.count <= Self::MAX
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
}
