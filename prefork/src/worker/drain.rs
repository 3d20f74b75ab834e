//! Decides when a draining worker may close its connections.
//!
//! Policy only: it knows counts and times, no clock and no descriptor.

use std::time::{Duration, Instant};

use crate::net::{DrainProgress, LastIo};

/// The times of one drain, which begins when the worker is asked to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    begun: Instant,
    /// How long a client may be silent in a blocking read.
    silent_client_wait: Duration,
    /// Half of the budget: `shutdown()` resolves no later. The rest is for requests in flight.
    half: Instant,
    /// When the process must have exited.
    pub(super) deadline: Instant,
    listeners_ended: Option<Instant>,
}

/// Whether `shutdown()` resolves now or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrainDecision {
    /// It resolves now.
    Resolve,
    /// Decide again at this time, or earlier if something changes.
    Wait(Instant),
}

impl Drain {
    /// How long a drain waits for a client that has connected and sends nothing.
    const SILENT_CLIENT_WAIT: Duration = Duration::from_millis(250);

    pub(super) fn new(now: Instant, budget: Duration) -> Self {
        Self {
            begun: now,
            silent_client_wait: Self::SILENT_CLIENT_WAIT.min(budget / 4),
            half: now + budget / 2,
            deadline: now + budget,
            listeners_ended: None,
        }
    }

    /// Until when listeners may accept, at the latest.
    pub(super) fn accept_until(&self) -> Instant {
        self.half
    }

    /// Returns when to end a blocking read that gets no bytes.
    ///
    /// The thread in the read cannot see that the worker drains, so it would delay the stop. `at`
    /// is the time of the last use of the connection, if there was one.
    ///
    /// - If the client must send next, it gets 250 ms from the beginning of the drain or from the
    ///   last answer, but nothing after half of the budget.
    /// - In the middle of a request, it gets half of the budget, and up to three quarters while it
    ///   still sends.
    pub(super) fn silent_until(&self, last_use: LastIo, at: Option<Instant>) -> Instant {
        let at = at.unwrap_or(self.begun).max(self.begun);
        match last_use {
            LastIo::Answered if at >= self.half => at,
            LastIo::Answered => at + self.silent_client_wait,
            LastIo::Read => {
                let latest = self.half + (self.deadline - self.half) / 2;
                (at + self.silent_client_wait).max(self.half).min(latest)
            }
        }
    }

    /// Decides whether `shutdown()` resolves.
    ///
    /// It resolves when every `Listener` has ended and no accepted connection is unread. Unread
    /// connections with bytes to read get up to half of the budget, silent ones 250 ms.
    ///
    /// The 250 ms start again with each activity in the middle of an exchange: an answer of the
    /// worker in a TLS handshake, since the client could not send more before; and a part of a TLS
    /// message from the client, since the bytes that were read no longer show at the socket.
    ///
    /// `has_readable` returns whether unread connections have bytes to read. It is called only if
    /// the decision depends on it.
    pub(super) fn decide(
        &mut self,
        progress: DrainProgress,
        has_readable: impl FnOnce() -> bool,
        now: Instant,
    ) -> DrainDecision {
        if now >= self.half {
            return DrainDecision::Resolve;
        }
        if progress.listeners > 0 {
            return DrainDecision::Wait(self.half);
        }
        let listeners_ended = *self.listeners_ended.get_or_insert(now);
        let silent_since = progress
            .last_activity
            .map_or(listeners_ended, |at| at.max(listeners_ended));
        let silent_until = silent_since + Self::SILENT_CLIENT_WAIT;
        if progress.unread == 0 || (now >= silent_until && !has_readable()) {
            return DrainDecision::Resolve;
        }
        if now < silent_until {
            return DrainDecision::Wait(silent_until.min(self.half));
        }
        DrainDecision::Wait(self.half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(10);

    fn progress(listeners: usize, unread: usize) -> DrainProgress {
        DrainProgress {
            listeners,
            unread,
            last_activity: None,
        }
    }

    #[test]
    fn without_listeners_and_connections_it_resolves_at_once() {
        let now = Instant::now();
        let mut drain = Drain::new(now, BUDGET);
        assert_eq!(
            drain.decide(progress(0, 0), || false, now),
            DrainDecision::Resolve
        );
    }

    #[test]
    fn an_open_listener_is_waited_for_up_to_half_of_the_budget() {
        let now = Instant::now();
        let mut drain = Drain::new(now, BUDGET);
        let half = now + BUDGET / 2;
        assert_eq!(
            drain.decide(progress(1, 0), || false, now),
            DrainDecision::Wait(half)
        );
        assert_eq!(
            drain.decide(progress(1, 0), || false, half),
            DrainDecision::Resolve
        );
    }

    #[test]
    fn a_silent_client_gets_250_ms_from_the_end_of_the_listeners() {
        let start = Instant::now();
        let mut drain = Drain::new(start, BUDGET);
        let ended = start + Duration::from_secs(1);
        let _ = drain.decide(progress(1, 1), || false, start);
        let silent_until = ended + Drain::SILENT_CLIENT_WAIT;
        assert_eq!(
            drain.decide(progress(0, 1), || false, ended),
            DrainDecision::Wait(silent_until)
        );
        assert_eq!(
            drain.decide(progress(0, 1), || false, silent_until),
            DrainDecision::Resolve
        );
    }

    #[test]
    fn a_client_in_the_middle_of_an_exchange_gets_250_ms_from_the_last_activity() {
        let start = Instant::now();
        let mut drain = Drain::new(start, BUDGET);
        let _ = drain.decide(progress(0, 1), || true, start);
        let answered = start + Duration::from_secs(1);
        let progress = DrainProgress {
            last_activity: Some(answered),
            ..progress(0, 1)
        };
        let silent_until = answered + Drain::SILENT_CLIENT_WAIT;
        assert_eq!(
            drain.decide(progress, || false, answered),
            DrainDecision::Wait(silent_until)
        );
        assert_eq!(
            drain.decide(progress, || false, silent_until),
            DrainDecision::Resolve
        );
    }

    #[test]
    fn activity_before_the_drain_does_not_extend_the_wait() {
        let start = Instant::now();
        let ended = start + Duration::from_secs(1);
        let mut drain = Drain::new(ended, BUDGET);
        let progress = DrainProgress {
            last_activity: Some(start),
            ..progress(0, 1)
        };
        let silent_until = ended + Drain::SILENT_CLIENT_WAIT;
        assert_eq!(
            drain.decide(progress, || false, ended),
            DrainDecision::Wait(silent_until)
        );
    }

    #[test]
    fn a_client_that_has_sent_bytes_gets_up_to_half_of_the_budget() {
        let start = Instant::now();
        let mut drain = Drain::new(start, BUDGET);
        let _ = drain.decide(progress(0, 2), || true, start);
        let later = start + Drain::SILENT_CLIENT_WAIT;
        let half = start + BUDGET / 2;
        assert_eq!(
            drain.decide(progress(0, 2), || true, later),
            DrainDecision::Wait(half)
        );
        assert_eq!(
            drain.decide(progress(0, 1), || false, later),
            DrainDecision::Resolve
        );
        assert_eq!(
            drain.decide(progress(0, 2), || true, half),
            DrainDecision::Resolve
        );
    }

    #[test]
    fn a_wait_is_at_most_half_of_a_short_budget() {
        let start = Instant::now();
        let mut drain = Drain::new(start, Duration::from_millis(100));
        let half = start + Duration::from_millis(50);
        assert_eq!(
            drain.decide(progress(0, 1), || false, start),
            DrainDecision::Wait(half)
        );
    }

    #[test]
    fn a_client_that_must_send_next_gets_250_ms() {
        let accepted = Instant::now();
        let start = accepted + BUDGET;
        let drain = Drain::new(start, BUDGET);
        let half = start + BUDGET / 2;
        let cases = [
            // Silent since before the drain: connected without sending, or kept alive.
            (None, start + Drain::SILENT_CLIENT_WAIT),
            (Some(accepted), start + Drain::SILENT_CLIENT_WAIT),
            // Accepted or answered during the drain.
            (
                Some(start + BUDGET / 4),
                start + BUDGET / 4 + Drain::SILENT_CLIENT_WAIT,
            ),
            (Some(half), half),
        ];
        for (at, until) in cases {
            assert_eq!(drain.silent_until(LastIo::Answered, at), until, "{at:?}");
        }
    }

    #[test]
    fn a_client_in_the_middle_of_a_request_gets_half_of_the_budget() {
        let start = Instant::now();
        let drain = Drain::new(start, BUDGET);
        let half = start + BUDGET / 2;
        let late = half + Duration::from_secs(1);
        let cases = [
            (None, half),
            (Some(start + Duration::from_secs(1)), half),
            (Some(half), half + Drain::SILENT_CLIENT_WAIT),
            // It still sends: each part extends the wait by 250 ms.
            (Some(late), late + Drain::SILENT_CLIENT_WAIT),
            // The rest of the budget is for the exit of the worker.
            (Some(drain.deadline), half + BUDGET / 4),
        ];
        for (at, until) in cases {
            assert_eq!(drain.silent_until(LastIo::Read, at), until, "{at:?}");
        }
    }

    #[test]
    fn a_short_budget_shortens_the_wait_for_a_blocking_read() {
        let start = Instant::now();
        let drain = Drain::new(start, Duration::from_millis(100));
        let until = drain.silent_until(LastIo::Answered, None);
        assert_eq!(until, start + Duration::from_millis(25));
    }
}
