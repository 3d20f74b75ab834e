//! Tests of the decisions, in virtual time.

use std::time::Duration;

use super::RetryWhen::{At, WhenFreed};
use super::*;
use crate::tls::net::handshake_limits::EvictAfter;

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
            .map(|at| admission.limits().min_age_at(at, 200, queued));
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
