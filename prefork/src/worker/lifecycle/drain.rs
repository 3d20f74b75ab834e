//! The times of one drain, and whether `shutdown()` resolves.
//!
//! Knows counts and times, no clock and no descriptor.

use std::time::{Duration, Instant};

/// One drain, which begins when the worker is asked to stop.
#[derive(Debug, Clone, Copy)]
pub(in crate::worker) struct Drain {
    begun: Instant,
    /// The end of the closing phase, if that is before `half`.
    pub(super) keepalive_until: Instant,
    /// How long a client may be silent in a blocking read.
    silent_client_wait: Duration,
    /// Half of the budget: until then listeners may accept, and then `shutdown()` resolves at the
    /// latest. The rest is for requests in flight.
    pub(super) half: Instant,
    /// When the process must have exited.
    pub(super) deadline: Instant,
    /// `None` until they were counted for the first time.
    pub(super) connections: Option<Connections>,
    listeners_ended: Option<Instant>,
    pub(super) readable: Readable,
}

/// The open listeners and the unread connections of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) struct Connections {
    /// The number of listeners that have not ended. One that an argument will take counts as open.
    pub(in crate::worker) listeners: usize,
    /// Whether this process has no other socket that can still accept.
    pub(in crate::worker) are_sockets_closed: bool,
    /// The number of accepted connections that are open.
    pub(in crate::worker) streams: usize,
    /// Whether responses announce that their connection closes.
    pub(in crate::worker) announces_close: bool,
    /// The number of accepted connections that are unread.
    pub(in crate::worker) unread: usize,
    /// The latest handshake write or partial read of an unread connection.
    pub(in crate::worker) last_activity: Option<Instant>,
}

/// Whether unread connections have bytes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    /// It was not checked since the connections changed.
    Unknown,
    Yes,
    No,
}

/// Whether `shutdown()` resolves now or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrainDecision {
    /// It resolves now.
    Resolve,
    /// Check whether unread connections have bytes to read, then decide again.
    CheckReadable,
    /// Decide again at this time, or earlier if something changes.
    Wait(Instant),
}

impl Drain {
    /// How long a drain waits for a client that has connected and sends nothing.
    const SILENT_CLIENT_WAIT: Duration = Duration::from_millis(250);

    pub(super) fn new(now: Instant, budget: Duration, keepalive_grace: Duration) -> Self {
        Self {
            begun: now,
            keepalive_until: now + keepalive_grace,
            silent_client_wait: Self::SILENT_CLIENT_WAIT.min(budget / 4),
            half: now + budget / 2,
            deadline: now + budget,
            connections: None,
            listeners_ended: None,
            readable: Readable::Unknown,
        }
    }

    /// Reduces the time that is left to this budget. A longer budget changes nothing.
    pub(super) fn shorten(&mut self, now: Instant, budget: Duration) {
        let shorter = Self::new(now, budget, Duration::ZERO);
        if shorter.deadline < self.deadline {
            self.deadline = shorter.deadline;
            self.half = self.half.min(shorter.half);
            self.silent_client_wait = self.silent_client_wait.min(shorter.silent_client_wait);
        }
    }

    /// Records the listeners and connections after a change.
    pub(super) fn count(&mut self, connections: Connections, now: Instant) {
        self.connections = Some(connections);
        self.readable = Readable::Unknown;
        if connections.listeners == 0 {
            self.listeners_ended.get_or_insert(now);
        }
    }

    /// Records whether unread connections have bytes to read.
    pub(super) fn readable_checked(&mut self, has_readable: bool) {
        self.readable = if has_readable {
            Readable::Yes
        } else {
            Readable::No
        };
    }

    #[cfg(test)]
    pub(super) fn listeners_ended(&self) -> Option<Instant> {
        let Self {
            // The model writes these.
            keepalive_until: _,
            half: _,
            deadline: _,
            connections: _,
            readable: _,
            // The model has no blocking reads.
            begun: _,
            silent_client_wait: _,
            listeners_ended,
        } = self;
        *listeners_ended
    }

    /// Whether no socket of this process can accept any more.
    pub(super) fn is_closed(&self) -> bool {
        let is_closed = |now: Connections| now.listeners == 0 && now.are_sockets_closed;
        self.connections.is_some_and(is_closed)
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
    pub(in crate::worker) fn silent_until(
        &self,
        is_mid_request: bool,
        at: Option<Instant>,
    ) -> Instant {
        let at = at.unwrap_or(self.begun).max(self.begun);
        if is_mid_request {
            let latest = self.half + (self.deadline - self.half) / 2;
            (at + self.silent_client_wait).max(self.half).min(latest)
        } else if at >= self.half {
            at
        } else {
            at + self.silent_client_wait
        }
    }

    /// Decides whether `shutdown()` resolves.
    ///
    /// It resolves when every `Listener` has ended, no accepted connection is unread, and the
    /// closing phase is over.
    pub(super) fn decide(&self, now: Instant) -> DrainDecision {
        match self.decide_on_unread(now) {
            DrainDecision::Resolve if now < self.closing_until() => {
                DrainDecision::Wait(self.closing_until())
            }
            decision => decision,
        }
    }

    /// Returns the end of the closing phase, in which kept connections can end by themselves.
    ///
    /// There is none if responses do not announce it, or if no connection is open.
    fn closing_until(&self) -> Instant {
        let has_kept = |now: Connections| now.announces_close && now.streams > 0;
        if self.connections.is_some_and(has_kept) {
            self.keepalive_until.min(self.half)
        } else {
            self.begun
        }
    }

    /// Unread connections with bytes to read get up to half of the budget, silent ones 250 ms.
    ///
    /// The 250 ms start again with each activity in the middle of an exchange: an answer of the
    /// worker in a TLS handshake, since the client could not send more before; and a part of a TLS
    /// message from the client, since the bytes that were read no longer show at the socket.
    ///
    /// The check for bytes to read takes a system call, so it is requested only if the decision
    /// depends on it.
    fn decide_on_unread(&self, now: Instant) -> DrainDecision {
        if now >= self.half {
            return DrainDecision::Resolve;
        }
        let (Some(connections), Some(listeners_ended)) = (self.connections, self.listeners_ended)
        else {
            return DrainDecision::Wait(self.half);
        };
        if connections.listeners > 0 {
            return DrainDecision::Wait(self.half);
        }
        if connections.unread == 0 {
            return DrainDecision::Resolve;
        }
        let silent_since = connections
            .last_activity
            .map_or(listeners_ended, |at| at.max(listeners_ended));
        let silent_until = silent_since + Self::SILENT_CLIENT_WAIT;
        if now < silent_until {
            return DrainDecision::Wait(silent_until.min(self.half));
        }
        match self.readable {
            Readable::Unknown => DrainDecision::CheckReadable,
            Readable::Yes => DrainDecision::Wait(self.half),
            Readable::No => DrainDecision::Resolve,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(10);
    const KEEPALIVE: Duration = Duration::from_secs(1);

    fn begun(now: Instant) -> Drain {
        Drain::new(now, BUDGET, KEEPALIVE)
    }

    fn connections(listeners: usize, unread: usize) -> Connections {
        Connections {
            listeners,
            are_sockets_closed: listeners == 0,
            streams: unread,
            announces_close: false,
            unread,
            last_activity: None,
        }
    }

    /// The decision for these connections, like that of a monitor which checks when asked.
    fn decide(
        drain: &mut Drain,
        connections: Connections,
        has_readable: bool,
        now: Instant,
    ) -> DrainDecision {
        drain.count(connections, now);
        match drain.decide(now) {
            DrainDecision::CheckReadable => {
                drain.readable_checked(has_readable);
                drain.decide(now)
            }
            decision => decision,
        }
    }

    #[test]
    fn without_listeners_and_connections_it_resolves_at_once() {
        let now = Instant::now();
        let mut drain = begun(now);
        assert_eq!(
            decide(&mut drain, connections(0, 0), false, now),
            DrainDecision::Resolve
        );
    }

    #[test]
    fn an_open_listener_is_waited_for_up_to_half_of_the_budget() {
        let now = Instant::now();
        let mut drain = begun(now);
        let half = now + BUDGET / 2;
        assert_eq!(
            decide(&mut drain, connections(1, 0), false, now),
            DrainDecision::Wait(half)
        );
        assert_eq!(
            decide(&mut drain, connections(1, 0), false, half),
            DrainDecision::Resolve
        );
    }

    /// A thread that takes a listener can be between the two counts.
    #[test]
    fn a_listener_that_is_opened_after_all_others_have_ended_is_waited_for() {
        let now = Instant::now();
        let mut drain = begun(now);
        drain.count(connections(0, 0), now);
        let half = now + BUDGET / 2;
        let decision = decide(&mut drain, connections(1, 0), false, now);
        assert_eq!(decision, DrainDecision::Wait(half));
    }

    #[test]
    fn a_silent_client_gets_250_ms_from_the_end_of_the_listeners() {
        let start = Instant::now();
        let mut drain = begun(start);
        let ended = start + Duration::from_secs(1);
        let _ = decide(&mut drain, connections(1, 1), false, start);
        let silent_until = ended + Drain::SILENT_CLIENT_WAIT;
        assert_eq!(
            decide(&mut drain, connections(0, 1), false, ended),
            DrainDecision::Wait(silent_until)
        );
        assert_eq!(
            decide(&mut drain, connections(0, 1), false, silent_until),
            DrainDecision::Resolve
        );
    }

    #[test]
    fn a_client_in_the_middle_of_an_exchange_gets_250_ms_from_the_last_activity() {
        let start = Instant::now();
        let mut drain = begun(start);
        let _ = decide(&mut drain, connections(0, 1), true, start);
        let answered = start + Duration::from_secs(1);
        let active = Connections {
            last_activity: Some(answered),
            ..connections(0, 1)
        };
        let silent_until = answered + Drain::SILENT_CLIENT_WAIT;
        assert_eq!(
            decide(&mut drain, active, false, answered),
            DrainDecision::Wait(silent_until)
        );
        assert_eq!(
            decide(&mut drain, active, false, silent_until),
            DrainDecision::Resolve
        );
    }

    #[test]
    fn activity_before_the_drain_does_not_extend_the_wait() {
        let start = Instant::now();
        let ended = start + Duration::from_secs(1);
        let mut drain = begun(ended);
        let active = Connections {
            last_activity: Some(start),
            ..connections(0, 1)
        };
        let silent_until = ended + Drain::SILENT_CLIENT_WAIT;
        assert_eq!(
            decide(&mut drain, active, false, ended),
            DrainDecision::Wait(silent_until)
        );
    }

    #[test]
    fn a_client_that_has_sent_bytes_gets_up_to_half_of_the_budget() {
        let start = Instant::now();
        let mut drain = begun(start);
        let _ = decide(&mut drain, connections(0, 2), true, start);
        let later = start + Drain::SILENT_CLIENT_WAIT;
        let half = start + BUDGET / 2;
        assert_eq!(
            decide(&mut drain, connections(0, 2), true, later),
            DrainDecision::Wait(half)
        );
        assert_eq!(
            decide(&mut drain, connections(0, 1), false, later),
            DrainDecision::Resolve
        );
        assert_eq!(
            decide(&mut drain, connections(0, 2), true, half),
            DrainDecision::Resolve
        );
    }

    #[test]
    fn a_wait_is_at_most_half_of_a_short_budget() {
        let start = Instant::now();
        let mut drain = Drain::new(start, Duration::from_millis(100), KEEPALIVE);
        let half = start + Duration::from_millis(50);
        assert_eq!(
            decide(&mut drain, connections(0, 1), false, start),
            DrainDecision::Wait(half)
        );
    }

    #[test]
    fn a_client_that_must_send_next_gets_250_ms() {
        let accepted = Instant::now();
        let start = accepted + BUDGET;
        let drain = begun(start);
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
            assert_eq!(drain.silent_until(false, at), until, "{at:?}");
        }
    }

    #[test]
    fn a_client_in_the_middle_of_a_request_gets_half_of_the_budget() {
        let start = Instant::now();
        let drain = begun(start);
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
            assert_eq!(drain.silent_until(true, at), until, "{at:?}");
        }
    }

    #[test]
    fn a_short_budget_shortens_the_wait_for_a_blocking_read() {
        let start = Instant::now();
        let drain = Drain::new(start, Duration::from_millis(100), KEEPALIVE);
        let until = drain.silent_until(false, None);
        assert_eq!(until, start + Duration::from_millis(25));
    }

    #[test]
    fn the_check_for_bytes_is_repeated_only_after_a_change() {
        let start = Instant::now();
        let mut drain = begun(start);
        drain.count(connections(0, 1), start);
        let later = start + Drain::SILENT_CLIENT_WAIT;
        assert_eq!(drain.decide(later), DrainDecision::CheckReadable);
        drain.readable_checked(true);
        let half = start + BUDGET / 2;
        for now in [later, later + Drain::SILENT_CLIENT_WAIT] {
            assert_eq!(drain.decide(now), DrainDecision::Wait(half));
        }
        drain.count(connections(0, 1), later);
        assert_eq!(drain.decide(later), DrainDecision::CheckReadable);
    }

    #[test]
    fn a_shorter_budget_wins_and_a_longer_one_changes_nothing() {
        let start = Instant::now();
        let mut drain = begun(start);
        let later = start + Duration::from_secs(1);
        let times = |drain: &Drain| (drain.half, drain.deadline, drain.silent_client_wait);
        let before = times(&drain);
        let short = Duration::from_millis(400);
        let same_deadline = (start + BUDGET.saturating_sub(short), short);
        for (now, budget) in [(later, BUDGET), (start, BUDGET), same_deadline] {
            drain.shorten(now, budget);
            assert_eq!(times(&drain), before, "{budget:?}");
        }
        drain.shorten(later, short);
        let wait = Duration::from_millis(100);
        assert_eq!(times(&drain), (later + short / 2, later + short, wait));
        // Half of the first budget has passed: the listeners have ended.
        let mut drain = begun(start);
        let half = start + BUDGET / 2;
        let late = half + Duration::from_secs(1);
        drain.shorten(late, Duration::from_secs(2));
        let wait = Drain::SILENT_CLIENT_WAIT;
        assert_eq!(times(&drain), (half, late + Duration::from_secs(2), wait));
    }

    #[test]
    fn before_the_first_count_it_waits() {
        let start = Instant::now();
        let drain = begun(start);
        assert_eq!(drain.decide(start), DrainDecision::Wait(start + BUDGET / 2));
        assert!(!drain.is_closed());
    }

    fn kept(unread: usize) -> Connections {
        Connections {
            streams: unread + 1,
            announces_close: true,
            ..connections(0, unread)
        }
    }

    #[test]
    fn kept_connections_get_keepalive_grace_from_the_beginning_of_the_drain() {
        let start = Instant::now();
        let later = start + Duration::from_millis(700);
        let until = start + KEEPALIVE;
        let mut drain = begun(start);
        let decision = decide(&mut drain, kept(0), false, later);
        assert_eq!(decision, DrainDecision::Wait(until));
        assert_eq!(drain.decide(until), DrainDecision::Resolve);
        let none = connections(0, 0);
        let without = Connections {
            announces_close: false,
            ..kept(0)
        };
        for connections in [none, without] {
            let decision = decide(&mut drain, connections, false, later);
            assert_eq!(decision, DrainDecision::Resolve, "{connections:?}");
        }
    }

    #[test]
    fn kept_connections_get_no_more_than_half_of_the_budget() {
        let start = Instant::now();
        let short = KEEPALIVE / 2;
        let half = start + short / 2;
        let mut drains = [Drain::new(start, short, KEEPALIVE), begun(start)];
        drains[1].shorten(start, short);
        for drain in &mut drains {
            let decision = decide(drain, kept(0), false, start);
            assert_eq!(decision, DrainDecision::Wait(half));
            assert_eq!(drain.decide(half), DrainDecision::Resolve);
        }
    }

    /// The closing phase is no reason to drop a request that has arrived.
    #[test]
    fn an_unread_connection_is_waited_for_beyond_keepalive_grace() {
        let start = Instant::now();
        let mut drain = begun(start);
        let until = start + KEEPALIVE;
        drain.count(kept(1), start);
        assert_eq!(
            decide(&mut drain, kept(1), true, until),
            DrainDecision::Wait(start + BUDGET / 2)
        );
        assert_eq!(
            decide(&mut drain, kept(1), false, until),
            DrainDecision::Resolve
        );
    }
}
