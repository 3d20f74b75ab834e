//! Limits the log lines about signals that have no effect. Pure: times are arguments.
//!
//! A process that sends the same signal in a loop must not fill the log. So the first signal of a
//! kind is logged at once. Those that follow within [`SignalLogLimit::LOG_INTERVAL`] of a line are
//! logged as one line, with their count.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::sys::signals::ReceivedSignal;

/// The signals that wait for their line, by kind.
#[derive(Debug, Default)]
pub(super) struct SignalLogLimit {
    /// A short list: a master handles few kinds of signals.
    kinds: Vec<RepeatedSignal>,
}

#[derive(Debug)]
struct RepeatedSignal {
    signal: Signal,
    /// The time of the next line, at the earliest.
    quiet_until: Instant,
    waiting: Option<ReceivedSignal>,
}

impl SignalLogLimit {
    /// The minimum time between two lines about one kind of signal.
    pub(super) const LOG_INTERVAL: Duration = Duration::from_secs(1);

    /// Records signals that have no effect. Returns what to log now.
    pub(super) fn record(
        &mut self,
        received: ReceivedSignal,
        now: Instant,
    ) -> Option<ReceivedSignal> {
        let is_same = |kind: &&mut RepeatedSignal| kind.signal == received.signal;
        let Some(kind) = self.kinds.iter_mut().find(is_same) else {
            self.kinds.push(RepeatedSignal {
                signal: received.signal,
                quiet_until: now + Self::LOG_INTERVAL,
                waiting: None,
            });
            return Some(received);
        };
        kind.waiting = Some(match kind.waiting {
            Some(before) => before.with(received),
            None => received,
        });
        kind.due(now)
    }

    /// Returns one record that is due. Call it until it returns `None`.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<ReceivedSignal> {
        self.kinds.iter_mut().find_map(|kind| kind.due(now))
    }

    /// When the next record is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.kinds.iter().filter(|kind| kind.waiting.is_some());
        waiting.map(|kind| kind.quiet_until).min()
    }

    /// Returns all waiting records, because the master ends.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = ReceivedSignal> + use<> {
        std::mem::take(&mut self.kinds)
            .into_iter()
            .filter_map(|kind| kind.waiting)
    }
}

impl RepeatedSignal {
    fn due(&mut self, now: Instant) -> Option<ReceivedSignal> {
        if now < self.quiet_until {
            return None;
        }
        let received = self.waiting.take()?;
        self.quiet_until = now + SignalLogLimit::LOG_INTERVAL;
        Some(received)
    }
}

impl ReceivedSignal {
    /// Merges two records of the same signal.
    fn with(self, later: Self) -> Self {
        Self {
            count: self.count.saturating_add(later.count),
            first: self.first.min(later.first),
            last: self.last.max(later.last),
            ..later
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(signal: Signal, count: u64, sender: i32, at: Instant) -> ReceivedSignal {
        ReceivedSignal {
            signal,
            sender: Some(sender),
            count,
            first: at,
            last: at,
        }
    }

    #[test]
    fn the_first_of_a_kind_is_logged_at_once() {
        let (now, mut repeats) = (Instant::now(), SignalLogLimit::default());
        for signal in [Signal::SIGUSR1, Signal::SIGUSR2] {
            let one = received(signal, 3, 7, now);
            assert_eq!(repeats.record(one, now), Some(one));
        }
        assert_eq!(repeats.deadline(), None, "nothing waits");
    }

    #[test]
    fn a_burst_after_it_is_one_record_when_the_pause_is_over() {
        let (start, mut repeats) = (Instant::now(), SignalLogLimit::default());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let signal = Signal::SIGUSR1;
        repeats.record(received(signal, 1, 7, start), start);
        for after in 1..=321 {
            let one = received(signal, 1, 7, at(after));
            assert_eq!(repeats.record(one, at(after)), None);
        }
        assert_eq!(
            repeats.deadline(),
            Some(start + SignalLogLimit::LOG_INTERVAL)
        );
        assert_eq!(repeats.next_due(at(999)), None);
        let all = ReceivedSignal {
            last: at(321),
            ..received(signal, 321, 7, at(1))
        };
        assert_eq!(repeats.next_due(at(1_000)), Some(all));
        assert_eq!(repeats.next_due(at(1_000)), None);
        assert_eq!(repeats.deadline(), None);
    }

    #[test]
    fn a_flood_gets_one_line_per_pause() {
        let (start, mut repeats) = (Instant::now(), SignalLogLimit::default());
        let mut lines = 0;
        let mut counted = 0;
        for after in 0..10_000 {
            let now = start + Duration::from_millis(after);
            let one = received(Signal::SIGUSR1, 5, 7, now);
            let due = repeats.record(one, now).or(repeats.next_due(now));
            lines += u32::from(due.is_some());
            counted += due.map_or(0, |due| due.count);
        }
        assert_eq!(lines, 10);
        counted += repeats.drain().map(|rest| rest.count).sum::<u64>();
        assert_eq!(counted, 50_000, "each signal is in one line");
    }

    #[test]
    fn a_signal_after_a_pause_is_logged_at_once() {
        let (start, mut repeats) = (Instant::now(), SignalLogLimit::default());
        repeats.record(received(Signal::SIGUSR1, 1, 7, start), start);
        let later = start + SignalLogLimit::LOG_INTERVAL;
        let one = received(Signal::SIGUSR1, 1, 8, later);
        assert_eq!(repeats.record(one, later), Some(one));
    }

    #[test]
    fn kinds_do_not_wait_for_each_other() {
        let (start, mut repeats) = (Instant::now(), SignalLogLimit::default());
        repeats.record(received(Signal::SIGUSR1, 1, 7, start), start);
        let soon = start + Duration::from_millis(1);
        assert_eq!(
            repeats.record(received(Signal::SIGUSR1, 1, 7, soon), soon),
            None
        );
        let other = received(Signal::SIGTERM, 1, 7, soon);
        assert_eq!(repeats.record(other, soon), Some(other));
        let rest: Vec<Signal> = repeats.drain().map(|rest| rest.signal).collect();
        assert_eq!(rest, [Signal::SIGUSR1]);
        assert_eq!(repeats.deadline(), None);
    }
}
