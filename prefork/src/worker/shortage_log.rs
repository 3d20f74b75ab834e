//! Decides which shortages in accept are logged, and when.
//!
//! A shortage is a lack of descriptors or memory. It gets one line at its beginning and one at its
//! end. It is over when accept has worked for one second: clients that come and go at the limit are
//! one incident. The number of incidents per minute is limited. Policy only: no clock, no
//! descriptor.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::net::ListenerShortage;

/// What was logged about each listener.
#[derive(Debug, Default)]
pub(super) struct ShortageLog {
    /// By the index of the listener.
    listeners: BTreeMap<usize, Logged>,
}

#[derive(Debug, Default)]
struct Logged {
    /// The beginning of an incident whose end is not logged yet.
    open_since: Option<Instant>,
    /// The beginning of the latest fact that needs no more lines.
    settled: Option<Instant>,
    /// The times of the latest logged beginnings.
    begun: VecDeque<Instant>,
}

/// A line to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShortageLine {
    Begins { listener: usize, errno: i32 },
    IsOver { listener: usize, lasted: Duration },
}

/// What to do next about one listener.
enum ShortageStep {
    Line(ShortageLine),
    Wait(Instant),
    Nothing,
}

impl ShortageLog {
    /// How long accept must work until a shortage is over.
    const CALM: Duration = Duration::from_secs(1);

    /// The maximum number of logged incidents per listener within the window.
    const MAX_INCIDENTS: usize = 5;

    const WINDOW: Duration = Duration::from_mins(1);

    /// Returns the lines to log now, and when to call this again.
    pub(super) fn lines(
        &mut self,
        facts: &[ListenerShortage],
        now: Instant,
    ) -> (Vec<ShortageLine>, Option<Instant>) {
        let (mut lines, mut next) = (Vec::new(), None::<Instant>);
        for fact in facts {
            let logged = self.listeners.entry(fact.listener).or_default();
            loop {
                match logged.step(fact, now) {
                    ShortageStep::Line(line) => lines.push(line),
                    ShortageStep::Wait(until) => {
                        next = Some(next.map_or(until, |next| next.min(until)));
                        break;
                    }
                    ShortageStep::Nothing => break,
                }
            }
        }
        (lines, next)
    }
}

impl Logged {
    fn step(&mut self, fact: &ListenerShortage, now: Instant) -> ShortageStep {
        let calm_at = fact.over.map(|over| over + ShortageLog::CALM);
        match (self.open_since, calm_at) {
            (Some(_), None) => ShortageStep::Nothing,
            (Some(_), Some(at)) if now < at => ShortageStep::Wait(at),
            (Some(since), Some(_)) => {
                self.open_since = None;
                self.settled = Some(fact.since);
                let over = fact.over.unwrap_or(now);
                ShortageStep::Line(ShortageLine::IsOver {
                    listener: fact.listener,
                    lasted: over.saturating_duration_since(since),
                })
            }
            (None, _) if self.settled == Some(fact.since) => ShortageStep::Nothing,
            // It was over before it could be logged.
            (None, Some(at)) if now >= at => {
                self.settled = Some(fact.since);
                ShortageStep::Nothing
            }
            (None, _) => self.begin(fact, now),
        }
    }

    fn begin(&mut self, fact: &ListenerShortage, now: Instant) -> ShortageStep {
        let is_old = |begun: &Instant| *begun + ShortageLog::WINDOW <= now;
        while self.begun.front().is_some_and(is_old) {
            self.begun.pop_front();
        }
        if self.begun.len() >= ShortageLog::MAX_INCIDENTS {
            let oldest = self.begun.front().copied().unwrap_or(now);
            return ShortageStep::Wait(oldest + ShortageLog::WINDOW);
        }
        self.begun.push_back(now);
        self.open_since = Some(fact.since);
        ShortageStep::Line(ShortageLine::Begins {
            listener: fact.listener,
            errno: fact.errno,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERRNO: i32 = libc::EMFILE;

    fn fact(since: Instant, over: Option<Instant>) -> ListenerShortage {
        ListenerShortage {
            listener: 0,
            errno: ERRNO,
            since,
            last: since,
            over,
        }
    }

    fn begins() -> ShortageLine {
        ShortageLine::Begins {
            listener: 0,
            errno: ERRNO,
        }
    }

    fn is_over(lasted: Duration) -> ShortageLine {
        ShortageLine::IsOver {
            listener: 0,
            lasted,
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_shortage_is_two_lines_however_long_it_lasts() {
        let start = Instant::now();
        let mut shortages = ShortageLog::default();
        let lasting = [fact(start, None)];
        assert_eq!(shortages.lines(&lasting, start), (vec![begins()], None));
        for seconds in 1..600 {
            let now = start + SECOND * seconds;
            assert_eq!(shortages.lines(&lasting, now), (vec![], None));
        }
        let over = start + SECOND * 600;
        let past = [fact(start, Some(over))];
        let calm = over + ShortageLog::CALM;
        assert_eq!(shortages.lines(&past, over), (vec![], Some(calm)));
        let line = is_over(SECOND * 600);
        assert_eq!(shortages.lines(&past, calm), (vec![line], None));
        assert_eq!(shortages.lines(&past, calm + SECOND), (vec![], None));
    }

    #[test]
    fn clients_that_come_and_go_at_the_limit_are_one_incident() {
        let start = Instant::now();
        let mut shortages = ShortageLog::default();
        let mut lines = Vec::new();
        let (mut now, step) = (start, ShortageLog::CALM / 2);
        let mut last = (start, start);
        for _ in 0..100 {
            let since = now;
            lines.extend(shortages.lines(&[fact(since, None)], now).0);
            now += step;
            lines.extend(shortages.lines(&[fact(since, Some(now))], now).0);
            last = (since, now);
            now += step;
        }
        assert_eq!(lines, [begins()]);
        let (since, over) = last;
        let lasted = over.duration_since(start);
        let (end, _) = shortages.lines(&[fact(since, Some(over))], now + SECOND);
        assert_eq!(end, [is_over(lasted)]);
    }

    #[test]
    fn two_incidents_are_two_pairs_of_lines() {
        let start = Instant::now();
        let mut shortages = ShortageLog::default();
        for round in 0..2 {
            let since = start + SECOND * 10 * round;
            assert_eq!(shortages.lines(&[fact(since, None)], since).0, [begins()]);
            let past = [fact(since, Some(since + SECOND))];
            let lines = shortages.lines(&past, since + SECOND * 3).0;
            assert_eq!(lines, [is_over(SECOND)]);
        }
    }

    #[test]
    fn a_flapping_limit_does_not_flood() {
        let start = Instant::now();
        let mut shortages = ShortageLog::default();
        let mut begun = 0;
        let rounds = 300;
        for round in 0..rounds {
            // Two seconds each: long enough to count as over.
            let since = start + SECOND * 2 * round;
            let over = since + SECOND / 2;
            let (lines, _) = shortages.lines(&[fact(since, None)], since);
            begun += lines.iter().filter(|line| **line == begins()).count();
            let calm = over + ShortageLog::CALM;
            let (lines, _) = shortages.lines(&[fact(since, Some(over))], calm);
            assert!(lines.len() <= 1, "{lines:?}");
        }
        let minutes = usize::try_from(rounds * 2 / 60).expect("few");
        let limit = (minutes + 1) * ShortageLog::MAX_INCIDENTS;
        assert!((minutes..=limit).contains(&begun), "{begun}");
    }

    #[test]
    fn a_shortage_that_had_to_wait_is_logged_if_it_lasts() {
        let start = Instant::now();
        let mut shortages = ShortageLog::default();
        let mut now = start;
        for _ in 0..ShortageLog::MAX_INCIDENTS {
            let _ = shortages.lines(&[fact(now, None)], now);
            let past = [fact(now, Some(now))];
            now += SECOND * 2;
            let _ = shortages.lines(&past, now);
        }
        let lasting = [fact(now, None)];
        let allowed = start + ShortageLog::WINDOW;
        assert_eq!(shortages.lines(&lasting, now), (vec![], Some(allowed)));
        assert_eq!(shortages.lines(&lasting, allowed), (vec![begins()], None));
    }

    #[test]
    fn one_that_was_over_at_once_is_logged_and_an_old_one_is_not() {
        let start = Instant::now();
        let past = [fact(start, Some(start))];
        let mut shortages = ShortageLog::default();
        let calm = start + ShortageLog::CALM;
        assert_eq!(shortages.lines(&past, start), (vec![begins()], Some(calm)));
        let mut late = ShortageLog::default();
        assert_eq!(late.lines(&past, calm), (vec![], None));
    }

    #[test]
    fn each_listener_has_its_own_lines() {
        let start = Instant::now();
        let mut shortages = ShortageLog::default();
        let other = ListenerShortage {
            listener: 1,
            ..fact(start, None)
        };
        let (lines, _) = shortages.lines(&[fact(start, None), other], start);
        assert_eq!(lines.len(), 2);
    }
}
