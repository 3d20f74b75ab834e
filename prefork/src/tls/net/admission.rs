//! Decides which TLS handshakes may begin, and which one is evicted or times out.
//!
//! Pure: the time, the length of the accept queue and the presence of unread bytes are arguments.
//! Does not know sockets or tasks.
//!
//! If the limit is reached, a handshake that has waited for its client for long enough is evicted
//! for the next connection. The time depends on the length of the accept queue and on the stage: a
//! longer queue shortens it, and a client that has sent something gets more time than a silent one.
//! A handshake with unread bytes waits for this process, not for its client, and is never evicted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// The limits of one listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct HandshakeLimits {
    /// How long a handshake may take.
    pub(super) timeout: Duration,
    /// The maximum of handshakes in progress plus streams that accept has not returned.
    pub(super) max: usize,
    pub(super) min_age: EvictAfter,
}

impl HandshakeLimits {
    /// The lowest default of `max`.
    const FEW: u64 = 256;

    /// The highest default of `max`: a client can make the server hold a `ClientHello` of 64 KiB.
    const MANY: u64 = 512;

    /// The default of `max`: a quarter of the descriptors that the process may have, within limits.
    pub(super) fn default_max(descriptors: u64) -> usize {
        let max = (descriptors / 4).clamp(Self::FEW, Self::MANY);
        usize::try_from(max).unwrap_or(usize::MAX)
    }
}

/// How long a handshake may wait for its client before it can be evicted for a new connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum EvictAfter {
    /// This time if the accept queue is empty; less if connections wait in it.
    ByQueue(Duration),
    #[cfg(test)]
    Fixed(Duration),
}

/// What a handshake waits for from its client. The first stage is evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandshakeStage {
    /// The handshake has failed, and the client reads the alert.
    Refused,
    /// The client has sent no byte.
    Silent,
    /// The client has sent a part of its `ClientHello`.
    Begun,
    /// The server has answered the `ClientHello`.
    Answered,
}

impl HandshakeStage {
    const ALL: [Self; 4] = [Self::Refused, Self::Silent, Self::Begun, Self::Answered];

    /// How long a connection may wait in the accept queue because of handshakes at this stage.
    const fn wait_in_queue(self) -> Duration {
        match self {
            Self::Refused | Self::Silent | Self::Begun => Duration::from_millis(10),
            Self::Answered => Duration::from_millis(50),
        }
    }

    /// The minimum age for an eviction, however long the queue is.
    ///
    /// - A client sends its `ClientHello` right after the TCP handshake, so it is silent for
    ///   milliseconds.
    /// - The parts of one `ClientHello` follow each other without a round trip.
    /// - The client's reply to the server takes one round trip, which may be 300 ms in a mobile
    ///   network.
    const fn min_wait(self) -> Duration {
        match self {
            Self::Refused | Self::Silent => Duration::from_millis(20),
            Self::Begun => Duration::from_millis(100),
            Self::Answered => Duration::from_millis(400),
        }
    }
}

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
            let min_age = self.min_age_of(stage, queued);
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

    /// The minimum age for an eviction at this stage.
    ///
    /// It is short enough that no connection waits in the queue for longer than
    /// [`wait_in_queue`](TlsStage::wait_in_queue): within that time `queued` handshakes have to end.
    fn min_age_of(&self, stage: HandshakeStage, queued: usize) -> Duration {
        match self.limits.min_age {
            EvictAfter::ByQueue(longest) => {
                let to_u32 = |count| u32::try_from(count).unwrap_or(u32::MAX);
                let for_all = stage.wait_in_queue().saturating_mul(to_u32(self.count()));
                let fast_enough = for_all.checked_div(to_u32(queued));
                let shortest = stage.min_wait().min(longest);
                fast_enough.map_or(longest, |time| time.clamp(shortest, longest))
            }
            #[cfg(test)]
            EvictAfter::Fixed(time) => time,
        }
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
mod tests {
    use super::RetryWhen::{At, WhenFreed};
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);
    const MIN_AGE: Duration = Duration::from_secs(1);

    fn of(max: usize) -> (Admission, Instant) {
        let limits = HandshakeLimits {
            timeout: TIMEOUT,
            max,
            min_age: EvictAfter::ByQueue(MIN_AGE),
        };
        (Admission::new(limits), Instant::now())
    }

    /// Whether one more may begin if no bytes are unread.
    fn entry(admission: &mut Admission, now: Instant, queued: usize) -> AdmissionDecision {
        admission.entry(now, queued, |_| false)
    }

    /// Begins a handshake as the listener does. Returns its number and the number of the evicted
    /// one.
    fn begin(admission: &mut Admission, now: Instant) -> (u64, Option<u64>) {
        match entry(admission, now, 0) {
            AdmissionDecision::Open(evicted) => admission.begin(now, evicted),
            AdmissionDecision::Full(retry) => panic!("the limit is reached: {retry:?}"),
        }
    }

    #[test]
    fn the_oldest_handshake_is_evicted_once_when_it_is_old_enough() {
        let (mut admission, start) = of(2);
        assert_eq!(begin(&mut admission, start), (0, None));
        let later = start + MIN_AGE / 2;
        assert_eq!(begin(&mut admission, later), (1, None));
        let old = start + MIN_AGE;
        assert_eq!(
            entry(&mut admission, later, 0),
            AdmissionDecision::Full(At(old))
        );
        assert_eq!(
            entry(&mut admission, old, 0),
            AdmissionDecision::Open(Some(0))
        );
        assert_eq!(begin(&mut admission, old), (2, Some(0)));
        // Its socket is still open, so no second one is evicted.
        assert_eq!(
            entry(&mut admission, old + MIN_AGE, 0),
            AdmissionDecision::Full(WhenFreed)
        );
        assert_eq!(admission.end(0), Some(AbortReason::Evicted));
        assert_eq!(
            entry(&mut admission, old, 0),
            AdmissionDecision::Full(At(later + MIN_AGE))
        );
        assert_eq!(admission.end(1), None);
        assert_eq!(entry(&mut admission, old, 0), AdmissionDecision::Open(None));
    }

    #[test]
    fn a_complete_handshake_counts_and_is_not_evicted() {
        let (mut admission, start) = of(1);
        let (number, _) = begin(&mut admission, start);
        admission.finish(number);
        assert_eq!(
            entry(&mut admission, start + TIMEOUT, 0),
            AdmissionDecision::Full(WhenFreed)
        );
        assert_eq!(admission.evict(start + TIMEOUT, 0, |_| false), None);
        admission.collect();
        assert_eq!(
            entry(&mut admission, start, 0),
            AdmissionDecision::Open(None)
        );
    }

    #[test]
    fn each_handshake_has_its_own_timeout() {
        let (mut admission, start) = of(9);
        assert_eq!(admission.timed_out(start), (vec![], None));
        begin(&mut admission, start);
        begin(&mut admission, start);
        let later = start + Duration::from_secs(3);
        begin(&mut admission, later);
        assert_eq!(admission.timed_out(later), (vec![], Some(start + TIMEOUT)));
        let end = start + TIMEOUT;
        assert_eq!(
            admission.timed_out(end),
            (vec![0, 1], Some(later + TIMEOUT))
        );
        assert!(admission.is_aborted(1) && !admission.is_aborted(2));
        // The first two were returned already.
        assert_eq!(admission.timed_out(end), (vec![], Some(later + TIMEOUT)));
        assert_eq!(admission.end(1), Some(AbortReason::TimedOut));
        assert_eq!(admission.timed_out(later + TIMEOUT), (vec![2], None));
    }

    #[test]
    fn an_infinite_timeout_never_ends() {
        let (mut admission, start) = of(9);
        admission.limits_mut().timeout = Duration::MAX;
        begin(&mut admission, start);
        assert_eq!(admission.timed_out(start + TIMEOUT), (vec![], None));
    }

    #[test]
    fn after_the_limit_was_lowered_no_handshake_begins_until_enough_have_ended() {
        let (mut admission, start) = of(3);
        for _ in 0..3 {
            begin(&mut admission, start);
        }
        admission.limits_mut().max = 1;
        let old = start + MIN_AGE;
        assert_eq!(
            entry(&mut admission, old, 0),
            AdmissionDecision::Full(WhenFreed)
        );
        admission.end(0);
        assert_eq!(
            entry(&mut admission, old, 0),
            AdmissionDecision::Full(WhenFreed)
        );
        admission.end(1);
        assert_eq!(
            entry(&mut admission, old, 0),
            AdmissionDecision::Open(Some(2))
        );
    }

    #[test]
    fn a_failed_handshake_that_is_aborted_later_is_reported_once() {
        let (mut admission, start) = of(1);
        let (number, _) = begin(&mut admission, start);
        assert!(admission.fail(number, start));
        assert_eq!(admission.timed_out(start + TIMEOUT), (vec![number], None));
        assert_eq!(admission.end(number), None);
        assert!(!admission.fail(number, start), "it has ended");
    }

    #[test]
    fn an_aborted_handshake_that_fails_is_reported_as_aborted() {
        let (mut admission, start) = of(1);
        let (number, _) = begin(&mut admission, start);
        admission.timed_out(start + TIMEOUT);
        assert!(!admission.fail(number, start));
        assert_eq!(admission.end(number), Some(AbortReason::TimedOut));
    }

    #[test]
    fn the_first_reason_of_an_abort_counts() {
        let (mut admission, start) = of(1);
        begin(&mut admission, start);
        assert_eq!(admission.evict(start + TIMEOUT, 0, |_| false), Some(0));
        assert_eq!(admission.evict(start + TIMEOUT, 0, |_| false), None);
        assert_eq!(admission.timed_out(start + TIMEOUT), (vec![], None));
        assert_eq!(admission.end(0), Some(AbortReason::Evicted));
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_default_limit_is_a_quarter_of_the_descriptors_within_limits() {
        for (descriptors, max) in [
            (0, 256),
            (48, 256),
            (1024, 256),
            (1200, 300),
            (2048, 512),
            (u64::MAX, 512),
        ] {
            assert_eq!(HandshakeLimits::default_max(descriptors), max);
        }
    }

    #[test]
    fn a_longer_queue_shortens_the_minimum_age_down_to_a_limit() {
        let (mut admission, start) = of(200);
        for _ in 0..200 {
            begin(&mut admission, start);
        }
        for (queued, silent, answered) in [
            (0, 1000, 1000),
            (1, 1000, 1000),
            (4, 500, 1000),
            (20, 100, 500),
            (40, 50, 400),
            (4096, 20, 400),
            (usize::MAX, 20, 400),
        ] {
            let times = [HandshakeStage::Silent, HandshakeStage::Answered]
                .map(|at| admission.min_age_of(at, queued));
            assert_eq!(times, [MS * silent, MS * answered], "{queued} in the queue");
            let old = start + MS * silent;
            let full = AdmissionDecision::Full(At(old));
            assert_eq!(entry(&mut admission, start, queued), full);
            assert_eq!(
                entry(&mut admission, old, queued),
                AdmissionDecision::Open(Some(0))
            );
        }
    }

    #[test]
    fn a_client_that_has_sent_more_is_evicted_later() {
        let (mut admission, start) = of(4);
        for _ in 0..4 {
            begin(&mut admission, start);
        }
        admission.waits_for_client(0, HandshakeStage::Answered, start);
        admission.waits_for_client(1, HandshakeStage::Begun, start);
        assert!(admission.fail(3, start));
        let old = start + MIN_AGE;
        for next in [3, 2, 1, 0] {
            assert_eq!(admission.evict(old, 1, |_| false), Some(next));
            admission.end(next);
        }
        assert_eq!(admission.evict(old, 1, |_| false), None);
    }

    #[test]
    fn an_answered_client_is_evicted_only_if_silent_ones_hold_less_than_half_of_the_limit() {
        let (mut admission, start) = of(4);
        begin(&mut admission, start);
        begin(&mut admission, start);
        admission.waits_for_client(0, HandshakeStage::Answered, start);
        admission.waits_for_client(1, HandshakeStage::Answered, start);
        let old = start + MIN_AGE;
        begin(&mut admission, old);
        begin(&mut admission, old);
        let full = AdmissionDecision::Full(At(old + MIN_AGE));
        assert_eq!(entry(&mut admission, old, 0), full);
        let silent = AdmissionDecision::Open(Some(2));
        assert_eq!(entry(&mut admission, old + MIN_AGE, 0), silent);
        admission.waits_for_client(2, HandshakeStage::Answered, old);
        assert_eq!(
            entry(&mut admission, old, 0),
            AdmissionDecision::Open(Some(0))
        );
    }

    #[test]
    fn an_answered_client_is_not_evicted_however_many_silent_clients_connect() {
        let (mut admission, start) = of(256);
        begin(&mut admission, start);
        admission.waits_for_client(0, HandshakeStage::Answered, start);
        let mut silent = 0;
        for ms in 0..9000 {
            let now = start + MS * ms;
            while let AdmissionDecision::Open(evicted) = entry(&mut admission, now, 4096) {
                let (_, evicted) = admission.begin(now, evicted);
                assert_ne!(evicted, Some(0), "after {ms} ms");
                evicted.map(|number| admission.end(number));
                silent += 1;
            }
        }
        assert!(silent > 100_000, "{silent}");
    }

    #[test]
    fn a_handshake_with_unread_bytes_is_not_evicted() {
        let (mut admission, start) = of(2);
        begin(&mut admission, start);
        begin(&mut admission, start);
        let old = start + MIN_AGE;
        let first = |number| number == 0;
        assert_eq!(
            admission.entry(old, 9, first),
            AdmissionDecision::Open(Some(1))
        );
        let any = |_| true;
        assert_eq!(
            admission.entry(old, 9, any),
            AdmissionDecision::Full(WhenFreed)
        );
        // The task has read the bytes and waits for more: the time counts from this first wait.
        admission.waits_for_client(0, HandshakeStage::Begun, old);
        let later = old + HandshakeStage::Begun.min_wait();
        assert_eq!(
            entry(&mut admission, old, 9),
            AdmissionDecision::Full(At(later))
        );
        // After one more byte it waits again at the same stage.
        admission.client_sent(0);
        admission.waits_for_client(0, HandshakeStage::Begun, later);
        assert_eq!(
            entry(&mut admission, later, 9),
            AdmissionDecision::Open(Some(0))
        );
    }

    #[test]
    fn a_handshake_that_ended_after_the_entry_is_not_evicted() {
        let (mut admission, start) = of(1);
        begin(&mut admission, start);
        let old = start + MIN_AGE;
        assert_eq!(
            entry(&mut admission, old, 0),
            AdmissionDecision::Open(Some(0))
        );
        admission.finish(0);
        assert_eq!(admission.begin(old, Some(0)), (1, None));
        assert_eq!(
            entry(&mut admission, old, 0),
            AdmissionDecision::Full(WhenFreed)
        );
        admission.collect();
        assert_eq!(
            entry(&mut admission, old + MIN_AGE, 0),
            AdmissionDecision::Open(Some(1))
        );
    }

    #[test]
    fn an_infinite_minimum_age_never_ends() {
        let (mut admission, start) = of(1);
        admission.limits_mut().min_age = EvictAfter::Fixed(Duration::MAX);
        begin(&mut admission, start);
        let full = AdmissionDecision::Full(WhenFreed);
        assert_eq!(entry(&mut admission, start + TIMEOUT, 9), full);
    }

    /// What a client does after the TCP handshake.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Client {
        /// Sends nothing more after this stage.
        Stalls(HandshakeStage),
        /// Sends its `ClientHello` at once and finishes after one round trip.
        Honest { round_trip: u32 },
    }

    /// The results of the honest clients in a [`load`].
    #[derive(Debug, Default)]
    struct HandshakeOutcome {
        /// How long each waited in the accept queue, in milliseconds.
        waits: Vec<u32>,
        evicted: usize,
    }

    /// Simulates three seconds of a listener with the limit `max`.
    ///
    /// `rate` clients per second stall at a stage; one honest client connects every 20 ms. A step
    /// is one millisecond, in which the listener accepts all connections that it may.
    fn load(max: usize, rate: u32, stalls: HandshakeStage, round_trip: u32) -> HandshakeOutcome {
        let (mut admission, start) = of(max);
        let mut queue = std::collections::VecDeque::new();
        let mut honest = BTreeMap::new();
        let mut outcome = HandshakeOutcome::default();
        for ms in 0..3000 {
            let now = start + MS * ms;
            let stalling = (ms + 1) * rate / 1000 - ms * rate / 1000;
            queue.extend((0..stalling).map(|_| (ms, Client::Stalls(stalls))));
            if ms % 20 == 0 {
                queue.push_back((ms, Client::Honest { round_trip }));
            }
            honest.retain(|&number, &mut end| {
                let is_over = end <= ms;
                if is_over {
                    admission.finish(number);
                    admission.collect();
                }
                !is_over
            });
            while let AdmissionDecision::Open(evicted) = entry(&mut admission, now, queue.len())
                && let Some((since, client)) = queue.pop_front()
            {
                let (number, evicted) = admission.begin(now, evicted);
                if let Some(evicted) = evicted {
                    admission.end(evicted);
                    outcome.evicted += usize::from(honest.remove(&evicted).is_some());
                }
                match client {
                    Client::Stalls(stage) => admission.waits_for_client(number, stage, now),
                    Client::Honest { round_trip } => {
                        admission.waits_for_client(number, HandshakeStage::Answered, now);
                        honest.insert(number, ms + round_trip);
                        outcome.waits.push(ms - since);
                    }
                }
            }
        }
        // Clients that still wait count as well.
        let late = queue
            .iter()
            .filter(|(_, client)| !matches!(client, Client::Stalls(_)));
        outcome.waits.extend(late.map(|(since, _)| 3000 - since));
        outcome.waits.sort_unstable();
        outcome
    }

    #[test]
    fn clients_that_stall_neither_delay_nor_evict_honest_clients() {
        for max in [256, 512] {
            for rate in [200, 500, 700, 1000, 2000, 5000] {
                for stalls in [
                    HandshakeStage::Refused,
                    HandshakeStage::Silent,
                    HandshakeStage::Begun,
                ] {
                    for round_trip in [1, 300] {
                        // With round trips of 300 ms, the rest of the limit must be enough for all
                        // clients that stall.
                        let outcome = load(max, rate, stalls, round_trip);
                        let case = format!("limit {max}, {rate}/s {stalls:?}, {round_trip} ms");
                        let median = outcome.waits[outcome.waits.len() / 2];
                        let max_median = if stalls == HandshakeStage::Begun {
                            110
                        } else {
                            20
                        };
                        assert_eq!(outcome.evicted, 0, "{case}");
                        let fits = stalls != HandshakeStage::Begun
                            || rate <= 2000
                            || max == 512 && rate <= 5000;
                        assert!(
                            !fits || median <= max_median,
                            "{case}: {median} ms in the queue"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn clients_that_stall_after_their_hello_delay_honest_clients_by_a_limited_time() {
        for (max, rate) in [(256, 200), (256, 500), (512, 500), (512, 1000)] {
            for round_trip in [1, 300] {
                let outcome = load(max, rate, HandshakeStage::Answered, round_trip);
                let median = outcome.waits[outcome.waits.len() / 2];
                let case = format!("limit {max}, {rate}/s, {round_trip} ms");
                assert_eq!(outcome.evicted, 0, "{case}");
                assert!(median <= 200, "{case}: {median} ms in the queue");
            }
        }
    }

    /// More honest clients than the limit connect at once, as after a restart. Each is served.
    #[test]
    fn a_burst_of_honest_clients_is_served_without_evictions() {
        let (mut admission, start) = of(256);
        let mut queued: usize = 2000;
        let mut active: Vec<(u64, u32)> = Vec::new();
        for ms in 0..5000 {
            let now = start + MS * ms;
            active.retain(|&(number, end)| {
                if end <= ms {
                    admission.finish(number);
                    admission.collect();
                }
                end > ms
            });
            while let AdmissionDecision::Open(evicted) = entry(&mut admission, now, queued)
                && queued > 0
            {
                queued -= 1;
                let (number, evicted) = admission.begin(now, evicted);
                assert_eq!(evicted, None, "after {ms} ms");
                admission.waits_for_client(number, HandshakeStage::Answered, now);
                active.push((number, ms + 300));
            }
        }
        assert_eq!((queued, active.len()), (0, 0));
    }
}
