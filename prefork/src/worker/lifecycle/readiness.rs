//! What a worker has reported about its readiness, and what it has to report.
//!
//! The first report, that the worker is ready, is sent without this: by the thread that calls
//! accept. This is about a worker that takes back its readiness.

use std::time::{Duration, Instant};

/// The reports of a worker that has taken back its readiness at least once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReadinessReports {
    /// `None`: it was never taken back.
    is_ready: Option<bool>,
    reported: Option<bool>,
    /// When the next report may be sent.
    next_at: Option<Instant>,
}

impl ReadinessReports {
    /// The least time between two reports.
    ///
    /// Each is a log line of the master. A program whose readiness changes often must not fill the
    /// log, and the last report counts.
    pub(super) const INTERVAL: Duration = Duration::from_secs(1);

    pub(super) fn set(&mut self, is_ready: bool) {
        self.is_ready = Some(is_ready);
    }

    /// Whether the worker accepts no connections because it is not ready.
    pub(super) fn is_taken_back(self) -> bool {
        self.is_ready == Some(false)
    }

    /// When the next report is due. A time that has passed means at once.
    pub(super) fn due(self, now: Instant) -> Option<Instant> {
        let is_new = self.is_ready.is_some() && self.is_ready != self.reported;
        is_new.then(|| self.next_at.unwrap_or(now))
    }

    /// Returns the report that is due, which the caller sends.
    pub(super) fn report(&mut self, now: Instant) -> Option<bool> {
        if self.due(now)? > now {
            return None;
        }
        self.reported = self.is_ready;
        self.next_at = Some(now + Self::INTERVAL);
        self.is_ready
    }

    #[cfg(test)]
    pub(super) fn normal_form(self, ticks: impl Fn(Instant) -> u8) -> Vec<u8> {
        let Self {
            is_ready,
            reported,
            next_at,
        } = self;
        let flag = |value: Option<bool>| value.map_or(2, u8::from);
        vec![flag(is_ready), flag(reported), next_at.map_or(0, ticks)]
    }
}
