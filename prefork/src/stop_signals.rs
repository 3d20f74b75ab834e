//! Decides whether a signal during a stop ends it at once.
//!
//! Pure: times are arguments.
//!
//! One key press can arrive as several signals. A terminal sends SIGINT to the whole process group,
//! and package runners and `timeout(1)` relay the signal that they received themselves. So a signal
//! that arrives within [`StopSignals::WINDOW`] of the first one repeats it, whichever of the stop
//! signals the two are and whether a process or the kernel sent them. A later SIGINT is a second
//! request of the operator.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

/// The signals that always request a stop of a master.
///
/// SIGHUP requests one only if the terminal of the master has hung up.
pub(crate) const STOP_SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];

/// The signals that request a stop of a single process, which has no workers to replace.
pub(crate) const SINGLE_STOP_SIGNALS: [Signal; 4] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
];

/// The meaning of a stop signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StopSignal {
    /// It requests a graceful stop. During a stop it changes nothing.
    Graceful,
    /// It ends the stop at once.
    Immediate,
}

/// The stop signals of one process: a master, a worker or a single process.
#[derive(Debug, Default)]
pub(crate) struct StopSignals {
    /// When the stop began. Used only until the first signal.
    stop_began_at: Option<Instant>,
    /// When the first stop signal arrived.
    first_signal: Option<Instant>,
}

impl StopSignals {
    /// How long after the first signal another one counts as the same request.
    ///
    /// A relay takes milliseconds. Two key presses are further apart than this.
    pub(crate) const WINDOW: Duration = Duration::from_millis(100);

    /// Records that a stop has begun, by a signal or for another reason.
    ///
    /// Only the first call counts. Returns whether this was the first one.
    pub(crate) fn stop_began(&mut self, at: Instant) -> bool {
        let is_first = self.stop_began_at.is_none();
        self.stop_began_at.get_or_insert(at);
        is_first
    }

    /// Records equal stop signals by the arrival of the first and the last one.
    ///
    /// The signals in between do not matter: if one of them ends the stop, the last one ends it
    /// too.
    pub(crate) fn signals(&mut self, signal: Signal, first: Instant, last: Instant) -> StopSignal {
        self.signal(signal, first).max(self.signal(signal, last))
    }

    fn signal(&mut self, signal: Signal, at: Instant) -> StopSignal {
        let escalates = match self.first_signal {
            Some(first) => at.saturating_duration_since(first) >= Self::WINDOW,
            // If the process is already stopping, for example because a hook failed, an operator
            // who interrupts it does not want to wait. If the signal arrived before the stop began,
            // it requests the stop.
            None => self.stop_began_at.is_some_and(|began| began <= at),
        };
        // The order of delivery need not be the order of arrival.
        let first = self.first_signal.map_or(at, |first| first.min(at));
        self.first_signal = Some(first);
        if signal == Signal::SIGINT && escalates {
            StopSignal::Immediate
        } else {
            StopSignal::Graceful
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

    use super::*;

    /// Returns the meaning of each signal, by its time of arrival in milliseconds.
    fn answers(signals: &[(Signal, u64)]) -> Vec<StopSignal> {
        let start = Instant::now();
        let mut stop_signals = StopSignals::default();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        signals
            .iter()
            .map(|&(signal, time)| stop_signals.signals(signal, at(time), at(time)))
            .collect()
    }

    #[test]
    fn a_signal_right_after_the_first_repeats_it() {
        for first in SINGLE_STOP_SIGNALS {
            for second in SINGLE_STOP_SIGNALS {
                for after in [0, 1, 5, 10, 50, 99] {
                    let answers = answers(&[(first, 0), (second, after)]);
                    assert_eq!(
                        answers,
                        [StopSignal::Graceful; 2],
                        "{first}, {second} after {after} ms"
                    );
                }
            }
        }
    }

    #[test]
    fn a_later_sigint_ends_the_stop_whatever_began_it() {
        for first in SINGLE_STOP_SIGNALS {
            for after in [100, 101, 249, 3_000, 100_000] {
                let answers = answers(&[(first, 0), (SIGINT, after)]);
                assert_eq!(
                    answers,
                    [StopSignal::Graceful, StopSignal::Immediate],
                    "{first}, {after}"
                );
            }
        }
    }

    #[test]
    fn no_other_signal_ends_a_stop() {
        for second in [SIGTERM, SIGQUIT, SIGHUP] {
            let answers = answers(&[(SIGINT, 0), (second, 1_000)]);
            assert_eq!(answers, [StopSignal::Graceful; 2], "{second}");
        }
    }

    #[test]
    fn the_window_begins_with_the_first_signal_and_is_not_extended() {
        let answers = answers(&[(SIGINT, 0), (SIGINT, 80), (SIGINT, 160)]);
        assert_eq!(
            answers,
            [
                StopSignal::Graceful,
                StopSignal::Graceful,
                StopSignal::Immediate
            ]
        );
    }

    #[test]
    fn merged_signals_count_by_their_first_and_their_last() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let merged = |last| StopSignals::default().signals(SIGINT, start, at(last));
        assert_eq!(merged(5), StopSignal::Graceful);
        assert_eq!(merged(99), StopSignal::Graceful);
        assert_eq!(merged(100), StopSignal::Immediate);

        let mut stop_signals = StopSignals::default();
        assert_eq!(
            stop_signals.signals(SIGTERM, start, start),
            StopSignal::Graceful
        );
        let merged = stop_signals.signals(SIGINT, at(10), at(160));
        assert_eq!(
            merged,
            StopSignal::Immediate,
            "the last signal arrived after the window"
        );
    }

    #[test]
    fn a_signal_that_is_delivered_late_counts_by_its_arrival() {
        let answers = answers(&[(SIGINT, 50), (SIGTERM, 0), (SIGINT, 110)]);
        assert_eq!(
            answers,
            [
                StopSignal::Graceful,
                StopSignal::Graceful,
                StopSignal::Immediate
            ]
        );
    }

    #[test]
    fn the_first_sigint_ends_a_stop_that_no_signal_began() {
        let start = Instant::now();
        for after in [0, 5, 1_000] {
            let mut stop_signals = StopSignals::default();
            stop_signals.stop_began(start);
            let at = start + Duration::from_millis(after);
            assert_eq!(
                stop_signals.signals(SIGINT, at, at),
                StopSignal::Immediate,
                "{after}"
            );
        }
    }

    #[test]
    fn a_sigint_that_arrived_before_the_stop_began_requests_a_stop() {
        let start = Instant::now();
        let mut stop_signals = StopSignals::default();
        // A hook failed after the signal arrived and before the process read it.
        stop_signals.stop_began(start + Duration::from_millis(30));
        assert_eq!(
            stop_signals.signals(SIGINT, start, start),
            StopSignal::Graceful
        );
    }

    #[test]
    fn a_relayed_pair_during_another_stop_is_one_request() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut stop_signals = StopSignals::default();
        stop_signals.stop_began(start);
        let term = stop_signals.signals(SIGTERM, at(2_000), at(2_000));
        let int = stop_signals.signals(SIGINT, at(2_005), at(2_005));
        assert_eq!([term, int], [StopSignal::Graceful; 2]);
        assert_eq!(
            stop_signals.signals(SIGINT, at(2_100), at(2_100)),
            StopSignal::Immediate
        );
    }

    #[test]
    fn only_the_first_begin_of_a_stop_counts() {
        let start = Instant::now();
        let later = start + Duration::from_millis(30);
        let mut stop_signals = StopSignals::default();
        stop_signals.stop_began(start);
        stop_signals.stop_began(later + Duration::from_millis(1));
        assert_eq!(
            stop_signals.signals(SIGINT, later, later),
            StopSignal::Immediate
        );
    }
}
