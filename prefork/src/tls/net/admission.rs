//! Decides which TLS handshakes may begin, and which one is evicted or times out.
//!
//! Pure: the time, the length of the accept queue and the presence of unread bytes are arguments.
//! Does not know sockets or tasks.
//!
//! If the limit is reached, a handshake that has waited for its client for long enough is evicted
//! for the next connection; `handshake_limits` has the times. A handshake with unread bytes waits
//! for this process, not for its client, and is never evicted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tokio::time::Instant;

use super::handshake_limits::{HandshakeLimits, HandshakeStage};

/// Whether one more handshake may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdmissionDecision {
    /// One more may begin. The handshake with this number, if any, is evicted for it.
    Open(Option<u64>),
    /// No handshake may begin before this.
    Full(RetryWhen),
}

/// When to ask again after [`AdmissionDecision::Full`]. Before, the answer changes only if the accept
/// queue grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryWhen {
    /// When a handshake ends or accept returns a stream.
    WhenFreed,
    /// As above, at the latest at this time.
    At(Instant),
}

impl RetryWhen {
    pub(super) fn no_later_than(self, end: Instant) -> Self {
        Self::At(match self {
            Self::WhenFreed => end,
            Self::At(at) => at.min(end),
        })
    }
}

/// Why the server aborts a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AbortReason {
    TimedOut,
    Evicted,
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "the handshake took longer than handshake_timeout",
            Self::Evicted => "the handshake was aborted in favor of a waiting client: max_handshakes or the limit of open files is reached",
        })
    }
}

/// The handshakes of one listener, by number.
#[derive(Debug)]
pub(super) struct Admission {
    limits: HandshakeLimits,
    /// By number, so the oldest comes first. An aborted handshake counts until its socket is
    /// closed, so that the limit is never exceeded by more than one.
    in_progress: BTreeMap<u64, InProgress>,
    /// Handshakes that wait for their client and were not aborted.
    waiting: WaitingByStage,
    /// The number of aborted handshakes in `in_progress`.
    aborted: usize,
    next_number: u64,
    /// The number of complete handshakes whose stream accept has not returned.
    completed: usize,
}

/// A handshake whose socket is open.
#[derive(Debug)]
struct InProgress {
    begun: Instant,
    stage: HandshakeStage,
    /// When it began to wait for its client at this stage.
    since: Instant,
    given_up: Option<AbortReason>,
    /// It failed before it was aborted, and its client still reads the alert.
    has_failed: bool,
}

impl Admission {
    pub(super) fn new(limits: HandshakeLimits) -> Self {
        Self {
            limits,
            in_progress: BTreeMap::new(),
            waiting: WaitingByStage::default(),
            aborted: 0,
            next_number: 0,
            completed: 0,
        }
    }

    pub(super) fn limits(&self) -> HandshakeLimits {
        self.limits
    }

    pub(super) fn limits_mut(&mut self) -> &mut HandshakeLimits {
        &mut self.limits
    }

    /// Whether the limit is reached. If not, the length of the accept queue does not matter.
    pub(super) fn is_full(&self) -> bool {
        self.count() >= self.limits.max
    }

    /// Whether one more may begin while `queued` connections wait in the accept queue.
    ///
    /// `has_unread` returns for the number of a handshake whether bytes of its client are unread.
    pub(super) fn entry(
        &mut self,
        now: Instant,
        queued: usize,
        has_unread: impl Fn(u64) -> bool,
    ) -> AdmissionDecision {
        if !self.is_full() {
            return AdmissionDecision::Open(None);
        }
        if self.count() > self.limits.max || self.aborted > 0 {
            return AdmissionDecision::Full(RetryWhen::WhenFreed);
        }
        match self.next_to_evict(now, queued, has_unread) {
            Ok(number) => AdmissionDecision::Open(Some(number)),
            Err(retry) => AdmissionDecision::Full(retry),
        }
    }

    /// Adds a handshake. Returns its number and the number of the one that is evicted for it.
    ///
    /// `evicted` is the number from [`AdmissionDecision::Open`]. If that handshake has ended since,
    /// none is evicted.
    pub(super) fn begin(&mut self, now: Instant, evicted: Option<u64>) -> (u64, Option<u64>) {
        let number = self.next_number;
        self.next_number += 1;
        let entry = InProgress {
            begun: now,
            stage: HandshakeStage::Silent,
            since: now,
            given_up: None,
            has_failed: false,
        };
        self.in_progress.insert(number, entry);
        self.waiting.insert(HandshakeStage::Silent, now, number);
        let is_over = self.count() > self.limits.max;
        let evicted = evicted.filter(|_| is_over);
        let evicted = evicted.filter(|&number| self.abort(number, AbortReason::Evicted));
        (number, evicted)
    }

    /// Evicts a handshake as if the limit was reached. Returns its number, if one is old enough.
    pub(super) fn evict(
        &mut self,
        now: Instant,
        queued: usize,
        has_unread: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        if self.aborted > 0 {
            return None;
        }
        let next = self.next_to_evict(now, queued, has_unread).ok();
        next.filter(|&number| self.abort(number, AbortReason::Evicted))
    }

    /// The task of a handshake reads or writes: it does not wait for its client and cannot be
    /// evicted.
    pub(super) fn client_sent(&mut self, number: u64) {
        if let Some(entry) = self.in_progress.get(&number) {
            self.waiting.remove(entry.stage, entry.since, number);
        }
    }

    /// The task of a handshake waits for its client.
    ///
    /// The time counts from the first wait at a stage, so that a client cannot extend it byte by
    /// byte.
    pub(super) fn waits_for_client(&mut self, number: u64, stage: HandshakeStage, now: Instant) {
        let Some(entry) = self.in_progress.get_mut(&number) else {
            return;
        };
        if entry.given_up.is_some() {
            return;
        }
        self.waiting.remove(entry.stage, entry.since, number);
        if entry.stage != stage {
            entry.stage = stage;
            entry.since = now;
        }
        self.waiting.insert(stage, entry.since, number);
    }

    /// Aborts the handshakes whose time is over. Returns their numbers and the next deadline.
    pub(super) fn timed_out(&mut self, now: Instant) -> (Vec<u64>, Option<Instant>) {
        let mut timed_out = Vec::new();
        let mut next = None;
        for (&number, entry) in &self.in_progress {
            let deadline = entry.begun.checked_add(self.limits.timeout);
            match deadline {
                Some(deadline) if deadline <= now => timed_out.push(number),
                // The others are younger.
                Some(_) | None => {
                    next = deadline;
                    break;
                }
            }
        }
        timed_out.retain(|&number| self.abort(number, AbortReason::TimedOut));
        (timed_out, next)
    }

    pub(super) fn is_aborted(&self, number: u64) -> bool {
        let entry = self.in_progress.get(&number);
        entry.is_some_and(|entry| entry.given_up.is_some())
    }

    pub(super) fn is_in_progress(&self, number: u64) -> bool {
        self.in_progress.contains_key(&number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_progress.is_empty()
    }

    /// The handshake is complete. It counts until its stream is returned by accept.
    pub(super) fn finish(&mut self, number: u64) {
        self.remove(number);
        self.completed += 1;
    }

    /// Accept returns the stream of a complete handshake.
    pub(super) fn collect(&mut self) {
        self.completed -= 1;
    }

    /// The handshake has failed. It counts until its socket is closed, or until it is evicted.
    ///
    /// Returns false if it was aborted before: then that is the reason of the failure.
    pub(super) fn fail(&mut self, number: u64, now: Instant) -> bool {
        self.waits_for_client(number, HandshakeStage::Refused, now);
        let Some(entry) = self.in_progress.get_mut(&number) else {
            return false;
        };
        entry.has_failed = entry.given_up.is_none();
        entry.has_failed
    }

    /// The socket of the handshake is closed. Returns why it was aborted, unless it had failed
    /// before.
    pub(super) fn end(&mut self, number: u64) -> Option<AbortReason> {
        let ended = self.remove(number)?;
        ended.given_up.filter(|_| !ended.has_failed)
    }

    /// The number of the first handshake that may be evicted, or when to ask again.
    fn next_to_evict(
        &mut self,
        now: Instant,
        queued: usize,
        has_unread: impl Fn(u64) -> bool,
    ) -> Result<u64, RetryWhen> {
        let mut retry = RetryWhen::WhenFreed;
        let mut before = 0;
        for stage in HandshakeStage::ALL {
            // If earlier stages hold at least half of the limit, evicting them is fast enough.
            if before > 0 && before * 2 >= self.count() {
                break;
            }
            let min_age = self.limits.min_age_at(stage, self.count(), queued);
            while let Some((since, number)) = self.waiting.first(stage) {
                let evictable_at = since.checked_add(min_age);
                if evictable_at.is_none_or(|at| now < at) {
                    retry = evictable_at.map_or(retry, |at| retry.no_later_than(at));
                    break;
                }
                // After a failure the bytes of the client do not matter.
                if stage == HandshakeStage::Refused || !has_unread(number) {
                    return Ok(number);
                }
                self.client_sent(number);
            }
            before += self.waiting.count(stage);
        }
        Err(retry)
    }

    /// Marks a handshake as aborted. Returns false if it was aborted before; the first reason
    /// counts.
    fn abort(&mut self, number: u64, reason: AbortReason) -> bool {
        let Some(entry) = self.in_progress.get_mut(&number) else {
            return false;
        };
        if entry.given_up.is_some() {
            return false;
        }
        entry.given_up = Some(reason);
        self.aborted += 1;
        self.waiting.remove(entry.stage, entry.since, number);
        true
    }

    fn remove(&mut self, number: u64) -> Option<InProgress> {
        let entry = self.in_progress.remove(&number)?;
        self.waiting.remove(entry.stage, entry.since, number);
        self.aborted -= usize::from(entry.given_up.is_some());
        Some(entry)
    }

    fn count(&self) -> usize {
        self.in_progress.len() + self.completed
    }
}

/// Handshakes by stage, ordered by the time since which they wait.
#[derive(Debug, Default)]
struct WaitingByStage([BTreeSet<(Instant, u64)>; HandshakeStage::ALL.len()]);

impl WaitingByStage {
    fn insert(&mut self, stage: HandshakeStage, since: Instant, number: u64) {
        self.0[stage as usize].insert((since, number));
    }

    fn remove(&mut self, stage: HandshakeStage, since: Instant, number: u64) {
        self.0[stage as usize].remove(&(since, number));
    }

    fn first(&self, stage: HandshakeStage) -> Option<(Instant, u64)> {
        self.0[stage as usize].first().copied()
    }

    fn count(&self, stage: HandshakeStage) -> usize {
        self.0[stage as usize].len()
    }
}

#[cfg(test)]
mod tests;
