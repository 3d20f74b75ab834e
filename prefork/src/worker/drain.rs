//! When a worker that was asked to go may close its connections. Policy: no clock, no descriptor.

use std::time::{Duration, Instant};

use crate::net::Census;

/// One drain, from the moment when the worker was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    /// Half of the budget: later than that nobody waits, the rest is for what is in flight.
    half: Instant,
    /// When the process is to be gone.
    pub(super) deadline: Instant,
    listeners_ended: Option<Instant>,
}

/// Whether `shutdown()` resolves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Now.
    Resolve,
    /// Ask again then, or when something changed.
    Wait(Instant),
}

impl Drain {
    /// What a client gets that has connected, and says nothing.
    const SILENCE: Duration = Duration::from_millis(250);

    pub(super) fn new(now: Instant, budget: Duration) -> Self {
        Self {
            half: now + budget / 2,
            deadline: now + budget,
            listeners_ended: None,
        }
    }

    /// Accepting ends at the latest then.
    pub(super) fn half(&self) -> Instant {
        self.half
    }

    /// The rule: when all our listeners have ended and no accepted connection is unread; those
    /// with something to read are waited for up to half of the budget, silent ones for a moment.
    /// The moment begins anew with each word in the middle of something: ours in a handshake, since the
    /// client could not have said more before, and the client's own, half of a hello or of a record of
    /// TLS, which its socket does not show any more.
    /// Whether unread connections have something to read is asked only where it matters.
    pub(super) fn verdict(
        &mut self,
        census: Census,
        has_waiting: impl FnOnce() -> bool,
        now: Instant,
    ) -> Verdict {
        if now >= self.half {
            return Verdict::Resolve;
        }
        if census.listeners > 0 {
            return Verdict::Wait(self.half);
        }
        let listeners_ended = *self.listeners_ended.get_or_insert(now);
        let silent_since = census
            .last_word
            .map_or(listeners_ended, |at| at.max(listeners_ended));
        let silent_until = silent_since + Self::SILENCE;
        if census.unread == 0 || (now >= silent_until && !has_waiting()) {
            return Verdict::Resolve;
        }
        if now < silent_until {
            return Verdict::Wait(silent_until.min(self.half));
        }
        Verdict::Wait(self.half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(10);

    fn census(listeners: usize, unread: usize) -> Census {
        Census {
            listeners,
            unread,
            last_word: None,
        }
    }

    #[test]
    fn with_nothing_of_ours_it_resolves_at_once() {
        let now = Instant::now();
        let mut drain = Drain::new(now, BUDGET);
        assert_eq!(drain.verdict(census(0, 0), || false, now), Verdict::Resolve);
    }

    #[test]
    fn an_open_listener_is_waited_for_up_to_half_of_the_budget() {
        let now = Instant::now();
        let mut drain = Drain::new(now, BUDGET);
        let half = now + BUDGET / 2;
        assert_eq!(
            drain.verdict(census(1, 0), || false, now),
            Verdict::Wait(half)
        );
        assert_eq!(
            drain.verdict(census(1, 0), || false, half),
            Verdict::Resolve
        );
    }

    #[test]
    fn a_silent_client_gets_a_moment_from_the_end_of_the_listeners_on() {
        let start = Instant::now();
        let mut drain = Drain::new(start, BUDGET);
        let ended = start + Duration::from_secs(1);
        let _ = drain.verdict(census(1, 1), || false, start);
        let silent_until = ended + Drain::SILENCE;
        assert_eq!(
            drain.verdict(census(0, 1), || false, ended),
            Verdict::Wait(silent_until)
        );
        assert_eq!(
            drain.verdict(census(0, 1), || false, silent_until),
            Verdict::Resolve
        );
    }

    #[test]
    fn a_client_in_the_middle_of_something_gets_its_moment_from_the_last_word_on() {
        let start = Instant::now();
        let mut drain = Drain::new(start, BUDGET);
        let _ = drain.verdict(census(0, 1), || true, start);
        let answered = start + Duration::from_secs(1);
        let census = Census {
            last_word: Some(answered),
            ..census(0, 1)
        };
        let silent_until = answered + Drain::SILENCE;
        assert_eq!(
            drain.verdict(census, || false, answered),
            Verdict::Wait(silent_until)
        );
        assert_eq!(
            drain.verdict(census, || false, silent_until),
            Verdict::Resolve
        );
    }

    #[test]
    fn a_word_from_before_the_drain_is_no_reason_to_wait_longer() {
        let start = Instant::now();
        let ended = start + Duration::from_secs(1);
        let mut drain = Drain::new(ended, BUDGET);
        let census = Census {
            last_word: Some(start),
            ..census(0, 1)
        };
        let silent_until = ended + Drain::SILENCE;
        assert_eq!(
            drain.verdict(census, || false, ended),
            Verdict::Wait(silent_until)
        );
    }

    #[test]
    fn a_client_that_has_spoken_is_waited_for_up_to_half_of_the_budget() {
        let start = Instant::now();
        let mut drain = Drain::new(start, BUDGET);
        let _ = drain.verdict(census(0, 2), || true, start);
        let later = start + Drain::SILENCE;
        let half = start + BUDGET / 2;
        assert_eq!(
            drain.verdict(census(0, 2), || true, later),
            Verdict::Wait(half)
        );
        assert_eq!(
            drain.verdict(census(0, 1), || false, later),
            Verdict::Resolve
        );
        assert_eq!(drain.verdict(census(0, 2), || true, half), Verdict::Resolve);
    }

    #[test]
    fn no_wait_is_longer_than_half_of_a_short_budget() {
        let start = Instant::now();
        let mut drain = Drain::new(start, Duration::from_millis(100));
        let half = start + Duration::from_millis(50);
        assert_eq!(
            drain.verdict(census(0, 1), || false, start),
            Verdict::Wait(half)
        );
    }
}
