//! Which handshakes may begin, and which one ends for another or for its age.
//!
//! The type is pure: times, the length of the accept queue and unread bytes are arguments. It does not know sockets or
//! tasks.
//!
//! If all places are taken, a handshake that has waited for its client for long enough gives way to the next connection.
//! How long is long enough depends on the length of the accept queue and on how far the client has come: a longer queue
//! shortens the time, and a client that has sent something gets more of it than a silent one. A handshake with unread
//! bytes waits for this process, not for its client, and never gives way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    /// Of those that go on and those that nobody has collected together.
    pub(super) max: usize,
    pub(super) protection: Protection,
}

impl Limits {
    /// The default of `max` where descriptors are few.
    const FEW: u64 = 256;

    /// The default of `max` where they are many: a client can make the server hold a hello of 64 KiB.
    const MANY: u64 = 512;

    /// The default of `max` in a process that may have so many descriptors: a quarter of them.
    pub(super) fn default_max(descriptors: u64) -> usize {
        let max = (descriptors / 4).clamp(Self::FEW, Self::MANY);
        usize::try_from(max).unwrap_or(usize::MAX)
    }
}

/// How long a handshake may wait for its client before it gives way to a new connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Protection {
    /// This long if the accept queue is empty; less if connections wait in it.
    ByQueue(Duration),
    #[cfg(test)]
    Fixed(Duration),
}

/// What a handshake waits for from its client. The first stage gives way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The client was refused, and reads the alert.
    Refused,
    /// The client has sent no byte.
    Silent,
    /// The client has sent a part of its hello.
    Begun,
    /// The server has answered the hello.
    Answered,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Refused, Self::Silent, Self::Begun, Self::Answered];

    /// How long a connection may wait in the accept queue because of handshakes at this stage.
    const fn wait_in_queue(self) -> Duration {
        match self {
            Self::Refused | Self::Silent | Self::Begun => Duration::from_millis(10),
            Self::Answered => Duration::from_millis(50),
        }
    }

    /// The shortest protection, however long the queue is.
    ///
    /// - A client sends its hello right after the last packet of the TCP handshake, so it is silent for milliseconds.
    /// - The parts of one hello follow each other without a round trip.
    /// - The client's answer to the server takes one round trip, which may be 300 ms in a mobile network.
    const fn shortest(self) -> Duration {
        match self {
            Self::Refused | Self::Silent => Duration::from_millis(20),
            Self::Begun => Duration::from_millis(100),
            Self::Answered => Duration::from_millis(400),
        }
    }
}

/// Whether one more handshake may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// If it has a number, that handshake gives way.
    Open(Option<u64>),
    /// If it has a time, the next handshake is old enough to give way then.
    Full(AskAgain),
}

/// When to ask again where there is no room; before, the answer is the same unless the accept queue grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskAgain {
    WhenRoomIsMade,
    /// When room is made, or then.
    AtTheLatest(Instant),
}

impl AskAgain {
    pub(super) fn no_later_than(self, end: Instant) -> Self {
        Self::AtTheLatest(match self {
            Self::WhenRoomIsMade => end,
            Self::AtTheLatest(at) => at.min(end),
        })
    }
}

/// Why one is ended from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenUp {
    Late,
    ForAnother,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Late => "the handshake took too long",
            Self::ForAnother => "the handshake gave way to a waiting client: max_handshakes or the limit of open files is reached",
        })
    }
}

#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    /// By number, and so in the order of their age. One that was given up counts until its socket is closed, so that
    /// there is never more than one beyond the limit.
    going_on: BTreeMap<u64, GoingOn>,
    /// Those that wait for their client and were not given up.
    waiting: Waiting,
    /// How many of `going_on` were given up.
    given_up: usize,
    next_number: u64,
    /// Through, and not taken by anybody yet.
    uncollected: usize,
}

#[derive(Debug)]
struct GoingOn {
    begun: Instant,
    stage: Stage,
    /// When it began to wait for its client at this stage.
    since: Instant,
    given_up: Option<GivenUp>,
    /// It came to nothing by itself, and its client still reads why.
    has_failed: bool,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            going_on: BTreeMap::new(),
            waiting: Waiting::default(),
            given_up: 0,
            next_number: 0,
            uncollected: 0,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn limits_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// Whether all places are taken; if not, the length of the accept queue changes nothing.
    pub(super) fn is_full(&self) -> bool {
        self.count() >= self.limits.max
    }

    /// Whether one more may begin while `queued` connections wait in the accept queue. `has_unread` tells for a number
    /// whether bytes of that client wait to be read.
    pub(super) fn entry(
        &mut self,
        now: Instant,
        queued: usize,
        has_unread: impl Fn(u64) -> bool,
    ) -> Entry {
        if !self.is_full() {
            return Entry::Open(None);
        }
        if self.count() > self.limits.max || self.given_up > 0 {
            return Entry::Full(AskAgain::WhenRoomIsMade);
        }
        match self.next_to_give_way(now, queued, has_unread) {
            Ok(number) => Entry::Open(Some(number)),
            Err(ask_again) => Entry::Full(ask_again),
        }
    }

    /// One more: its number, and the one that gives way to it, if that has not ended since the entry.
    pub(super) fn begin(&mut self, now: Instant, gives_way: Option<u64>) -> (u64, Option<u64>) {
        let number = self.next_number;
        self.next_number += 1;
        let going_on = GoingOn {
            begun: now,
            stage: Stage::Silent,
            since: now,
            given_up: None,
            has_failed: false,
        };
        self.going_on.insert(number, going_on);
        self.waiting.insert(Stage::Silent, now, number);
        let is_over = self.count() > self.limits.max;
        let gives_way = gives_way.filter(|_| is_over);
        let gives_way = gives_way.filter(|&number| self.give_up(number, GivenUp::ForAnother));
        (number, gives_way)
    }

    /// As if the limit was reached: the next one to give way, if one is old enough.
    pub(super) fn give_way(
        &mut self,
        now: Instant,
        queued: usize,
        has_unread: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        if self.given_up > 0 {
            return None;
        }
        let next = self.next_to_give_way(now, queued, has_unread).ok();
        next.filter(|&number| self.give_up(number, GivenUp::ForAnother))
    }

    /// The task of a handshake reads or writes: it does not wait for its client, and does not give way.
    pub(super) fn client_spoke(&mut self, number: u64) {
        if let Some(going_on) = self.going_on.get(&number) {
            self.waiting.remove(going_on.stage, going_on.since, number);
        }
    }

    /// The task of a handshake waits for its client. The time counts from the first wait at a stage: a client cannot
    /// lengthen it by single bytes.
    pub(super) fn waits(&mut self, number: u64, stage: Stage, now: Instant) {
        let Some(going_on) = self.going_on.get_mut(&number) else {
            return;
        };
        if going_on.given_up.is_some() {
            return;
        }
        self.waiting.remove(going_on.stage, going_on.since, number);
        if going_on.stage != stage {
            going_on.stage = stage;
            going_on.since = now;
        }
        self.waiting.insert(stage, going_on.since, number);
    }

    /// Those whose time is over, and when that of the next one is.
    pub(super) fn late_ones(&mut self, now: Instant) -> (Vec<u64>, Option<Instant>) {
        let mut late = Vec::new();
        let mut next = None;
        for (&number, going_on) in &self.going_on {
            let deadline = going_on.begun.checked_add(self.limits.timeout);
            match deadline {
                Some(deadline) if deadline <= now => late.push(number),
                // The others are younger.
                Some(_) | None => {
                    next = deadline;
                    break;
                }
            }
        }
        late.retain(|&number| self.give_up(number, GivenUp::Late));
        (late, next)
    }

    pub(super) fn is_given_up(&self, number: u64) -> bool {
        let going_on = self.going_on.get(&number);
        going_on.is_some_and(|going_on| going_on.given_up.is_some())
    }

    pub(super) fn is_going_on(&self, number: u64) -> bool {
        self.going_on.contains_key(&number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.going_on.is_empty()
    }

    /// It is through, and keeps its place until it is collected.
    pub(super) fn finish(&mut self, number: u64) {
        self.remove(number);
        self.uncollected += 1;
    }

    pub(super) fn collect(&mut self) {
        self.uncollected -= 1;
    }

    /// It came to nothing, and keeps its place until its socket is closed or it gives way. Whether that is news: one that
    /// was given up fails because it was.
    pub(super) fn fail(&mut self, number: u64, now: Instant) -> bool {
        self.waits(number, Stage::Refused, now);
        let Some(going_on) = self.going_on.get_mut(&number) else {
            return false;
        };
        going_on.has_failed = going_on.given_up.is_none();
        going_on.has_failed
    }

    /// Its socket is closed. Why it was given up, where that is what it came to nothing by.
    pub(super) fn end(&mut self, number: u64) -> Option<GivenUp> {
        let ended = self.remove(number)?;
        ended.given_up.filter(|_| !ended.has_failed)
    }

    /// The number of the first that has waited for long enough, or when one will have.
    fn next_to_give_way(
        &mut self,
        now: Instant,
        queued: usize,
        has_unread: impl Fn(u64) -> bool,
    ) -> Result<u64, AskAgain> {
        let mut ask_again = AskAgain::WhenRoomIsMade;
        let mut before = 0;
        for stage in Stage::ALL {
            // Stages before this one with half of the places make room fast enough.
            if before > 0 && before * 2 >= self.count() {
                break;
            }
            let protection = self.protection(stage, queued);
            while let Some((since, number)) = self.waiting.first(stage) {
                let old = since.checked_add(protection);
                if old.is_none_or(|old| now < old) {
                    ask_again = old.map_or(ask_again, |old| ask_again.no_later_than(old));
                    break;
                }
                // A client that was refused is not listened to.
                if stage == Stage::Refused || !has_unread(number) {
                    return Ok(number);
                }
                self.client_spoke(number);
            }
            before += self.waiting.count(stage);
        }
        Err(ask_again)
    }

    /// The time after which handshakes make room fast enough that no connection waits in the queue for longer than
    /// [`wait_in_queue`](Stage::wait_in_queue): in each such time as many as wait have to leave.
    fn protection(&self, stage: Stage, queued: usize) -> Duration {
        match self.limits.protection {
            Protection::ByQueue(longest) => {
                let to_u32 = |count| u32::try_from(count).unwrap_or(u32::MAX);
                let all_places = stage.wait_in_queue().saturating_mul(to_u32(self.count()));
                let fast_enough = all_places.checked_div(to_u32(queued));
                let shortest = stage.shortest().min(longest);
                fast_enough.map_or(longest, |time| time.clamp(shortest, longest))
            }
            #[cfg(test)]
            Protection::Fixed(time) => time,
        }
    }

    /// Whether it was not given up before; the first reason counts.
    fn give_up(&mut self, number: u64, why: GivenUp) -> bool {
        let Some(going_on) = self.going_on.get_mut(&number) else {
            return false;
        };
        if going_on.given_up.is_some() {
            return false;
        }
        going_on.given_up = Some(why);
        self.given_up += 1;
        self.waiting.remove(going_on.stage, going_on.since, number);
        true
    }

    fn remove(&mut self, number: u64) -> Option<GoingOn> {
        let going_on = self.going_on.remove(&number)?;
        self.waiting.remove(going_on.stage, going_on.since, number);
        self.given_up -= usize::from(going_on.given_up.is_some());
        Some(going_on)
    }

    fn count(&self) -> usize {
        self.going_on.len() + self.uncollected
    }
}

/// Handshakes by stage, and at each stage in the order in which their wait began.
#[derive(Debug, Default)]
struct Waiting([BTreeSet<(Instant, u64)>; Stage::ALL.len()]);

impl Waiting {
    fn insert(&mut self, stage: Stage, since: Instant, number: u64) {
        self.0[stage as usize].insert((since, number));
    }

    fn remove(&mut self, stage: Stage, since: Instant, number: u64) {
        self.0[stage as usize].remove(&(since, number));
    }

    fn first(&self, stage: Stage) -> Option<(Instant, u64)> {
        self.0[stage as usize].first().copied()
    }

    fn count(&self, stage: Stage) -> usize {
        self.0[stage as usize].len()
    }
}

#[cfg(test)]
mod tests {
    use super::AskAgain::{AtTheLatest, WhenRoomIsMade};
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);
    const PROTECTED: Duration = Duration::from_secs(1);

    fn of(max: usize) -> (Admission, Instant) {
        let limits = Limits {
            timeout: TIMEOUT,
            max,
            protection: Protection::ByQueue(PROTECTED),
        };
        (Admission::new(limits), Instant::now())
    }

    /// Whether one may begin; no bytes are unread.
    fn entry(admission: &mut Admission, now: Instant, queued: usize) -> Entry {
        admission.entry(now, queued, |_| false)
    }

    /// Begins one as the listener does: its number, and the one that gives way.
    fn begin(admission: &mut Admission, now: Instant) -> (u64, Option<u64>) {
        match entry(admission, now, 0) {
            Entry::Open(gives_way) => admission.begin(now, gives_way),
            Entry::Full(ask_again) => panic!("there is no room: {ask_again:?}"),
        }
    }

    #[test]
    fn the_oldest_gives_way_when_it_is_old_enough_and_once() {
        let (mut admission, start) = of(2);
        assert_eq!(begin(&mut admission, start), (0, None));
        let later = start + PROTECTED / 2;
        assert_eq!(begin(&mut admission, later), (1, None));
        let old = start + PROTECTED;
        assert_eq!(
            entry(&mut admission, later, 0),
            Entry::Full(AtTheLatest(old))
        );
        assert_eq!(entry(&mut admission, old, 0), Entry::Open(Some(0)));
        assert_eq!(begin(&mut admission, old), (2, Some(0)));
        // Its socket is still open, and a second one does not go as well.
        assert_eq!(
            entry(&mut admission, old + PROTECTED, 0),
            Entry::Full(WhenRoomIsMade)
        );
        assert_eq!(admission.end(0), Some(GivenUp::ForAnother));
        assert_eq!(
            entry(&mut admission, old, 0),
            Entry::Full(AtTheLatest(later + PROTECTED))
        );
        assert_eq!(admission.end(1), None);
        assert_eq!(entry(&mut admission, old, 0), Entry::Open(None));
    }

    #[test]
    fn one_that_is_through_keeps_its_place_and_gives_way_to_nobody() {
        let (mut admission, start) = of(1);
        let (number, _) = begin(&mut admission, start);
        admission.finish(number);
        assert_eq!(
            entry(&mut admission, start + TIMEOUT, 0),
            Entry::Full(WhenRoomIsMade)
        );
        assert_eq!(admission.give_way(start + TIMEOUT, 0, |_| false), None);
        admission.collect();
        assert_eq!(entry(&mut admission, start, 0), Entry::Open(None));
    }

    #[test]
    fn each_has_a_time_of_its_own() {
        let (mut admission, start) = of(9);
        assert_eq!(admission.late_ones(start), (vec![], None));
        begin(&mut admission, start);
        begin(&mut admission, start);
        let later = start + Duration::from_secs(3);
        begin(&mut admission, later);
        assert_eq!(admission.late_ones(later), (vec![], Some(start + TIMEOUT)));
        let end = start + TIMEOUT;
        assert_eq!(
            admission.late_ones(end),
            (vec![0, 1], Some(later + TIMEOUT))
        );
        assert!(admission.is_given_up(1) && !admission.is_given_up(2));
        // They were told already.
        assert_eq!(admission.late_ones(end), (vec![], Some(later + TIMEOUT)));
        assert_eq!(admission.end(1), Some(GivenUp::Late));
        assert_eq!(admission.late_ones(later + TIMEOUT), (vec![2], None));
    }

    #[test]
    fn a_time_without_end_never_comes() {
        let (mut admission, start) = of(9);
        admission.limits_mut().timeout = Duration::MAX;
        begin(&mut admission, start);
        assert_eq!(admission.late_ones(start + TIMEOUT), (vec![], None));
    }

    #[test]
    fn below_a_limit_that_was_lowered_nobody_begins_before_enough_have_gone() {
        let (mut admission, start) = of(3);
        for _ in 0..3 {
            begin(&mut admission, start);
        }
        admission.limits_mut().max = 1;
        let old = start + PROTECTED;
        assert_eq!(entry(&mut admission, old, 0), Entry::Full(WhenRoomIsMade));
        admission.end(0);
        assert_eq!(entry(&mut admission, old, 0), Entry::Full(WhenRoomIsMade));
        admission.end(1);
        assert_eq!(entry(&mut admission, old, 0), Entry::Open(Some(2)));
    }

    #[test]
    fn one_that_failed_is_told_once_also_when_it_is_given_up_afterwards() {
        let (mut admission, start) = of(1);
        let (number, _) = begin(&mut admission, start);
        assert!(admission.fail(number, start));
        assert_eq!(admission.late_ones(start + TIMEOUT), (vec![number], None));
        assert_eq!(admission.end(number), None);
        assert!(!admission.fail(number, start), "it is gone");
    }

    #[test]
    fn one_that_was_given_up_and_fails_of_it_is_told_as_given_up() {
        let (mut admission, start) = of(1);
        let (number, _) = begin(&mut admission, start);
        admission.late_ones(start + TIMEOUT);
        assert!(!admission.fail(number, start));
        assert_eq!(admission.end(number), Some(GivenUp::Late));
    }

    #[test]
    fn the_first_reason_counts() {
        let (mut admission, start) = of(1);
        begin(&mut admission, start);
        assert_eq!(admission.give_way(start + TIMEOUT, 0, |_| false), Some(0));
        assert_eq!(admission.give_way(start + TIMEOUT, 0, |_| false), None);
        assert_eq!(admission.late_ones(start + TIMEOUT), (vec![], None));
        assert_eq!(admission.end(0), Some(GivenUp::ForAnother));
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_quarter_of_the_descriptors_is_for_handshakes_within_limits() {
        for (descriptors, max) in [
            (0, 256),
            (48, 256),
            (1024, 256),
            (1200, 300),
            (2048, 512),
            (u64::MAX, 512),
        ] {
            assert_eq!(Limits::default_max(descriptors), max);
        }
    }

    #[test]
    fn a_longer_queue_shortens_the_protection_down_to_a_limit() {
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
            let times = [Stage::Silent, Stage::Answered].map(|at| admission.protection(at, queued));
            assert_eq!(times, [MS * silent, MS * answered], "{queued} in the queue");
            let old = start + MS * silent;
            let full = Entry::Full(AtTheLatest(old));
            assert_eq!(entry(&mut admission, start, queued), full);
            assert_eq!(entry(&mut admission, old, queued), Entry::Open(Some(0)));
        }
    }

    #[test]
    fn a_client_that_has_sent_more_gives_way_later() {
        let (mut admission, start) = of(4);
        for _ in 0..4 {
            begin(&mut admission, start);
        }
        admission.waits(0, Stage::Answered, start);
        admission.waits(1, Stage::Begun, start);
        assert!(admission.fail(3, start));
        let old = start + PROTECTED;
        for next in [3, 2, 1, 0] {
            assert_eq!(admission.give_way(old, 1, |_| false), Some(next));
            admission.end(next);
        }
        assert_eq!(admission.give_way(old, 1, |_| false), None);
    }

    #[test]
    fn an_answered_one_gives_way_only_if_silent_ones_hold_less_than_half_of_the_places() {
        let (mut admission, start) = of(4);
        begin(&mut admission, start);
        begin(&mut admission, start);
        admission.waits(0, Stage::Answered, start);
        admission.waits(1, Stage::Answered, start);
        let old = start + PROTECTED;
        begin(&mut admission, old);
        begin(&mut admission, old);
        let full = Entry::Full(AtTheLatest(old + PROTECTED));
        assert_eq!(entry(&mut admission, old, 0), full);
        let silent = Entry::Open(Some(2));
        assert_eq!(entry(&mut admission, old + PROTECTED, 0), silent);
        admission.waits(2, Stage::Answered, old);
        assert_eq!(entry(&mut admission, old, 0), Entry::Open(Some(0)));
    }

    #[test]
    fn however_many_silent_ones_come_a_client_that_was_answered_stays() {
        let (mut admission, start) = of(256);
        begin(&mut admission, start);
        admission.waits(0, Stage::Answered, start);
        let mut silent = 0;
        for ms in 0..9000 {
            let now = start + MS * ms;
            while let Entry::Open(gives_way) = entry(&mut admission, now, 4096) {
                let (_, gone) = admission.begin(now, gives_way);
                assert_ne!(gone, Some(0), "after {ms} ms");
                gone.map(|gone| admission.end(gone));
                silent += 1;
            }
        }
        assert!(silent > 100_000, "{silent}");
    }

    #[test]
    fn a_handshake_with_unread_bytes_does_not_give_way() {
        let (mut admission, start) = of(2);
        begin(&mut admission, start);
        begin(&mut admission, start);
        let old = start + PROTECTED;
        let first = |number| number == 0;
        assert_eq!(admission.entry(old, 9, first), Entry::Open(Some(1)));
        let any = |_| true;
        assert_eq!(admission.entry(old, 9, any), Entry::Full(WhenRoomIsMade));
        // Its task has read them, and waits for more: the time counts from this first wait.
        admission.waits(0, Stage::Begun, old);
        let later = old + Stage::Begun.shortest();
        assert_eq!(
            entry(&mut admission, old, 9),
            Entry::Full(AtTheLatest(later))
        );
        // One more byte, and the next wait at the same stage.
        admission.client_spoke(0);
        admission.waits(0, Stage::Begun, later);
        assert_eq!(entry(&mut admission, later, 9), Entry::Open(Some(0)));
    }

    #[test]
    fn one_that_ended_after_the_entry_gives_way_to_nobody() {
        let (mut admission, start) = of(1);
        begin(&mut admission, start);
        let old = start + PROTECTED;
        assert_eq!(entry(&mut admission, old, 0), Entry::Open(Some(0)));
        admission.finish(0);
        assert_eq!(admission.begin(old, Some(0)), (1, None));
        assert_eq!(entry(&mut admission, old, 0), Entry::Full(WhenRoomIsMade));
        admission.collect();
        assert_eq!(
            entry(&mut admission, old + PROTECTED, 0),
            Entry::Open(Some(1))
        );
    }

    #[test]
    fn a_protection_without_end_never_ends() {
        let (mut admission, start) = of(1);
        admission.limits_mut().protection = Protection::Fixed(Duration::MAX);
        begin(&mut admission, start);
        let full = Entry::Full(WhenRoomIsMade);
        assert_eq!(entry(&mut admission, start + TIMEOUT, 9), full);
    }

    /// What a client does after the TCP handshake.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Client {
        /// Sends nothing more after this stage.
        Stalls(Stage),
        /// Sends its hello at once and finishes after one round trip.
        Honest { round_trip: u32 },
    }

    /// What became of the honest clients of a [`load`].
    #[derive(Debug, Default)]
    struct Outcome {
        /// How long each waited in the accept queue, in milliseconds.
        waits: Vec<u32>,
        cut: usize,
    }

    /// Three seconds of a listener with `max` places: `rate` clients a second that stall, and an honest one each 20 ms.
    /// A step is a millisecond, in which the listener takes all whom it has room for.
    fn load(max: usize, rate: u32, stalls: Stage, round_trip: u32) -> Outcome {
        let (mut admission, start) = of(max);
        let mut queue = std::collections::VecDeque::new();
        let mut honest = BTreeMap::new();
        let mut outcome = Outcome::default();
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
            while let Entry::Open(gives_way) = entry(&mut admission, now, queue.len())
                && let Some((since, client)) = queue.pop_front()
            {
                let (number, gone) = admission.begin(now, gives_way);
                if let Some(gone) = gone {
                    admission.end(gone);
                    outcome.cut += usize::from(honest.remove(&gone).is_some());
                }
                match client {
                    Client::Stalls(stage) => admission.waits(number, stage, now),
                    Client::Honest { round_trip } => {
                        admission.waits(number, Stage::Answered, now);
                        honest.insert(number, ms + round_trip);
                        outcome.waits.push(ms - since);
                    }
                }
            }
        }
        // Those who still wait count as well.
        let late = queue
            .iter()
            .filter(|(_, client)| !matches!(client, Client::Stalls(_)));
        outcome.waits.extend(late.map(|(since, _)| 3000 - since));
        outcome.waits.sort_unstable();
        outcome
    }

    #[test]
    fn clients_that_stall_neither_delay_nor_end_honest_handshakes() {
        for max in [256, 512] {
            for rate in [200, 500, 700, 1000, 2000, 5000] {
                for stalls in [Stage::Refused, Stage::Silent, Stage::Begun] {
                    for round_trip in [1, 300] {
                        // With 300 ms each, the rest of the places must be enough for all who stall.
                        let outcome = load(max, rate, stalls, round_trip);
                        let of = format!("{max} places, {rate}/s {stalls:?}, {round_trip} ms");
                        let median = outcome.waits[outcome.waits.len() / 2];
                        let most = if stalls == Stage::Begun { 110 } else { 20 };
                        assert_eq!(outcome.cut, 0, "{of}");
                        let fits =
                            stalls != Stage::Begun || rate <= 2000 || max == 512 && rate <= 5000;
                        assert!(!fits || median <= most, "{of}: {median} ms in the queue");
                    }
                }
            }
        }
    }

    #[test]
    fn clients_that_stall_after_their_hello_delay_honest_ones_by_a_limit() {
        for (max, rate) in [(256, 200), (256, 500), (512, 500), (512, 1000)] {
            for round_trip in [1, 300] {
                let outcome = load(max, rate, Stage::Answered, round_trip);
                let median = outcome.waits[outcome.waits.len() / 2];
                let of = format!("{max} places, {rate}/s, {round_trip} ms");
                assert_eq!(outcome.cut, 0, "{of}");
                assert!(median <= 200, "{of}: {median} ms in the queue");
            }
        }
    }

    /// More honest clients than places, at once, as after a restart: each is served, and nobody gives way.
    #[test]
    fn a_burst_of_honest_clients_is_served_in_turn() {
        let (mut admission, start) = of(256);
        let mut queued: usize = 2000;
        let mut under_way: Vec<(u64, u32)> = Vec::new();
        for ms in 0..5000 {
            let now = start + MS * ms;
            under_way.retain(|&(number, end)| {
                if end <= ms {
                    admission.finish(number);
                    admission.collect();
                }
                end > ms
            });
            while let Entry::Open(gives_way) = entry(&mut admission, now, queued)
                && queued > 0
            {
                queued -= 1;
                let (number, gone) = admission.begin(now, gives_way);
                assert_eq!(gone, None, "after {ms} ms");
                admission.waits(number, Stage::Answered, now);
                under_way.push((number, ms + 300));
            }
        }
        assert_eq!((queued, under_way.len()), (0, 0));
    }
}
