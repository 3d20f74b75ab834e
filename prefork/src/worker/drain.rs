//! When a worker that was asked to go may close its connections. Policy: no clock, no descriptor.

use std::time::{Duration, Instant};

use crate::net::{Census, LastUse};

/// One drain, from the moment when the worker was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    begun: Instant,
    /// For so long a client may be silent in a blocking read.
    silence: Duration,
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
            begun: now,
            silence: Self::SILENCE.min(budget / 4),
            half: now + budget / 2,
            deadline: now + budget,
            listeners_ended: None,
        }
    }

    /// Accepting ends at the latest then.
    pub(super) fn half(&self) -> Instant {
        self.half
    }

    /// When a blocking read is ended, unless bytes come before: its thread cannot see that the worker drains, and holds up
    /// the stop. A client that is to speak next has a moment, from the beginning of the drain or from the last answer on,
    /// and none when half of the budget is over. In the middle of a request it has until half of the budget, and,
    /// while it still sends, until three quarters.
    pub(super) fn silent_until(&self, last_use: LastUse, at: Option<Instant>) -> Instant {
        let at = at.unwrap_or(self.begun).max(self.begun);
        match last_use {
            LastUse::Answered if at >= self.half => at,
            LastUse::Answered => at + self.silence,
            LastUse::Read => {
                let latest = self.half + (self.deadline - self.half) / 2;
                (at + self.silence).max(self.half).min(latest)
            }
        }
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

    #[test]
    fn a_client_that_is_to_speak_next_has_a_moment() {
        let accepted = Instant::now();
        let start = accepted + BUDGET;
        let drain = Drain::new(start, BUDGET);
        let half = start + BUDGET / 2;
        let cases = [
            // Silent since before the drain: connected and said nothing, or kept.
            (None, start + Drain::SILENCE),
            (Some(accepted), start + Drain::SILENCE),
            // Accepted or answered during the drain.
            (
                Some(start + BUDGET / 4),
                start + BUDGET / 4 + Drain::SILENCE,
            ),
            (Some(half), half),
        ];
        for (at, until) in cases {
            assert_eq!(drain.silent_until(LastUse::Answered, at), until, "{at:?}");
        }
    }

    #[test]
    fn a_client_in_the_middle_of_a_request_has_half_of_the_budget() {
        let start = Instant::now();
        let drain = Drain::new(start, BUDGET);
        let half = start + BUDGET / 2;
        let late = half + Duration::from_secs(1);
        let cases = [
            (None, half),
            (Some(start + Duration::from_secs(1)), half),
            (Some(half), half + Drain::SILENCE),
            // It still sends: each part gives it a moment more.
            (Some(late), late + Drain::SILENCE),
            // The rest of the budget is for the end of the worker.
            (Some(drain.deadline), half + BUDGET / 4),
        ];
        for (at, until) in cases {
            assert_eq!(drain.silent_until(LastUse::Read, at), until, "{at:?}");
        }
    }

    #[test]
    fn a_short_budget_shortens_the_moment_of_a_blocking_read() {
        let start = Instant::now();
        let drain = Drain::new(start, Duration::from_millis(100));
        let until = drain.silent_until(LastUse::Answered, None);
        assert_eq!(until, start + Duration::from_millis(25));
    }
}
