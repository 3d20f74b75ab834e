//! The normal form of a supervisor, by which the exploration recognizes a state.
//!
//! Each type writes itself, next to its fields. It lists all of them, so a new field does not
//! compile until its part of the normal form is decided.

use std::time::{Duration, Instant};

/// What the exploration compares instead of states.
///
/// - A time in the future is written as the whole seconds until then. Of those in the past, only
///   the order counts.
/// - Children are written in the order of their ids, and without them.
#[derive(Debug)]
pub(crate) struct NormalForm {
    now: Instant,
    bytes: Vec<u8>,
    /// The times, and where each is written.
    times: Vec<(Instant, usize)>,
}

impl NormalForm {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            now,
            bytes: Vec::with_capacity(128),
            times: Vec::with_capacity(16),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn number(&mut self, number: u64) {
        let byte = u8::try_from(number).expect("explored models have small numbers");
        self.bytes.push(byte);
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.bytes.push(u8::from(flag));
    }

    pub(crate) fn time(&mut self, at: Instant) {
        self.times.push((at, self.bytes.len()));
        self.bytes.push(0);
    }

    pub(crate) fn optional_time(&mut self, at: Option<Instant>) {
        self.flag(at.is_some());
        if let Some(at) = at {
            self.time(at);
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        /// Later times are all the same: no explored policy has such a duration.
        const LATEST: u64 = 100;
        let past = self.times.iter().map(|&(at, _)| at);
        let mut past: Vec<_> = past.filter(|&at| at <= self.now).collect();
        past.sort_unstable();
        past.dedup();
        for (at, index) in self.times {
            let written = match at.checked_duration_since(self.now) {
                Some(left) if left > Duration::ZERO => {
                    assert_eq!(left.subsec_nanos(), 0, "explored models use whole seconds");
                    u8::try_from(left.as_secs().min(LATEST)).expect("it is at most 100")
                }
                Some(_) | None => {
                    let later = past.iter().rev().take_while(|&&other| other > at).count();
                    200 + u8::try_from(later).expect("explored models have few times")
                }
            };
            self.bytes[index] = written;
        }
        self.bytes
    }
}
