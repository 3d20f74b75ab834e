//! How many handshakes there may be, and which one ends for another or for its age: numbers and moments alone.
//!
//! Each question is asked with the time that it is. What becomes of a handshake is somebody else's to do.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    /// Of those that go on and those that nobody has collected together.
    pub(super) max: usize,
    /// A handshake that is older than this gives way to a new one where there is no room for both.
    pub(super) protected: Duration,
}

/// Whether one more handshake may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Open,
    /// Where it has a time: the oldest is old enough to give way then.
    Full(AskAgain),
}

/// When to ask again where there is no room; before, the answer is the same.
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
            Self::ForAnother => "the handshake was the oldest of too many",
        })
    }
}

#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    /// By number, and so in the order of their age. One that was given up counts until its socket is closed, so that
    /// there is never more than one beyond the limit.
    going_on: BTreeMap<u64, GoingOn>,
    next_number: u64,
    /// Through, and not taken by anybody yet.
    uncollected: usize,
}

#[derive(Debug)]
struct GoingOn {
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

    pub(super) fn entry(&self, now: Instant) -> Entry {
        if self.count() < self.limits.max {
            return Entry::Open;
        }
        let oldest = self.going_on.values().next();
        match oldest {
            Some(oldest) if oldest.given_up.is_none() && self.count() == self.limits.max => {
                let old = oldest.since + self.limits.protected;
                if now < old {
                    Entry::Full(AskAgain::AtTheLatest(old))
                } else {
                    Entry::Open
                }
            }
            Some(_) | None => Entry::Full(AskAgain::WhenRoomIsMade),
        }
    }

    /// One more: its number, and the one that gives way to it.
    pub(super) fn begin(&mut self, now: Instant) -> (u64, Option<u64>) {
        let number = self.next_number;
        self.next_number += 1;
        let going_on = GoingOn {
            since: now,
            given_up: None,
            has_failed: false,
        };
        self.going_on.insert(number, going_on);
        let is_over = self.count() > self.limits.max;
        (
            number,
            is_over.then(|| self.oldest_gives_way(now)).flatten(),
        )
    }

    /// The oldest gives way; not one that is young: where it is the oldest, others have just finished.
    pub(super) fn oldest_gives_way(&mut self, now: Instant) -> Option<u64> {
        let (&number, oldest) = self.going_on.iter_mut().next()?;
        let is_old = now >= oldest.since + self.limits.protected;
        (is_old && oldest.give_up(GivenUp::ForAnother)).then_some(number)
    }

    /// Those whose time is over, and when that of the next one is.
    pub(super) fn late_ones(&mut self, now: Instant) -> (Vec<u64>, Option<Instant>) {
        let mut late = Vec::new();
        for (&number, going_on) in &mut self.going_on {
            let deadline = going_on.since.checked_add(self.limits.timeout);
            match deadline {
                Some(deadline) if deadline <= now => {
                    if going_on.give_up(GivenUp::Late) {
                        late.push(number);
                    }
                }
                // The others are younger.
                Some(_) | None => return (late, deadline),
            }
        }
        (late, None)
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
        self.going_on.remove(&number);
        self.uncollected += 1;
    }

    pub(super) fn collect(&mut self) {
        self.uncollected -= 1;
    }

    /// It came to nothing, and keeps its place until its socket is closed. Whether that is news: one that was given up
    /// fails because it was.
    pub(super) fn fail(&mut self, number: u64) -> bool {
        let Some(going_on) = self.going_on.get_mut(&number) else {
            return false;
        };
        going_on.has_failed = going_on.given_up.is_none();
        going_on.has_failed
    }

    /// Its socket is closed. Why it was given up, where that is what it came to nothing by.
    pub(super) fn end(&mut self, number: u64) -> Option<GivenUp> {
        let ended = self.going_on.remove(&number)?;
        ended.given_up.filter(|_| !ended.has_failed)
    }

    fn count(&self) -> usize {
        self.going_on.len() + self.uncollected
    }
}

impl GoingOn {
    /// Whether it was not before; the first reason counts.
    fn give_up(&mut self, why: GivenUp) -> bool {
        let is_new = self.given_up.is_none();
        self.given_up.get_or_insert(why);
        is_new
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
            protected: PROTECTED,
        };
        (Admission::new(limits), Instant::now())
    }

    #[test]
    fn the_oldest_gives_way_when_it_is_old_enough_and_once() {
        let (mut admission, start) = of(2);
        assert_eq!(admission.begin(start), (0, None));
        let later = start + PROTECTED / 2;
        assert_eq!(admission.begin(later), (1, None));
        let old = start + PROTECTED;
        assert_eq!(admission.entry(later), Entry::Full(AtTheLatest(old)));
        assert_eq!(admission.entry(old), Entry::Open);
        assert_eq!(admission.begin(old), (2, Some(0)));
        // Its socket is still open, and a second one does not go as well.
        assert_eq!(
            admission.entry(old + PROTECTED),
            Entry::Full(WhenRoomIsMade)
        );
        assert_eq!(admission.end(0), Some(GivenUp::ForAnother));
        assert_eq!(
            admission.entry(old),
            Entry::Full(AtTheLatest(later + PROTECTED))
        );
        assert_eq!(admission.end(1), None);
        assert_eq!(admission.entry(old), Entry::Open);
    }

    #[test]
    fn one_that_is_through_keeps_its_place_and_gives_way_to_nobody() {
        let (mut admission, start) = of(1);
        let (number, _) = admission.begin(start);
        admission.finish(number);
        assert_eq!(
            admission.entry(start + TIMEOUT),
            Entry::Full(WhenRoomIsMade)
        );
        assert_eq!(admission.oldest_gives_way(start + TIMEOUT), None);
        admission.collect();
        assert_eq!(admission.entry(start), Entry::Open);
    }

    #[test]
    fn each_has_a_time_of_its_own() {
        let (mut admission, start) = of(9);
        assert_eq!(admission.late_ones(start), (vec![], None));
        admission.begin(start);
        admission.begin(start);
        let later = start + Duration::from_secs(3);
        admission.begin(later);
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
        admission.begin(start);
        assert_eq!(admission.late_ones(start + TIMEOUT), (vec![], None));
    }

    #[test]
    fn below_a_limit_that_was_lowered_nobody_begins_before_enough_have_gone() {
        let (mut admission, start) = of(3);
        for _ in 0..3 {
            admission.begin(start);
        }
        admission.limits_mut().max = 1;
        let old = start + PROTECTED;
        assert_eq!(admission.entry(old), Entry::Full(WhenRoomIsMade));
        admission.end(0);
        assert_eq!(admission.entry(old), Entry::Full(WhenRoomIsMade));
        admission.end(1);
        assert_eq!(admission.entry(old), Entry::Open);
    }

    #[test]
    fn one_that_failed_is_told_once_also_when_it_is_given_up_afterwards() {
        let (mut admission, start) = of(1);
        let (number, _) = admission.begin(start);
        assert!(admission.fail(number));
        assert_eq!(admission.late_ones(start + TIMEOUT), (vec![number], None));
        assert_eq!(admission.end(number), None);
        assert!(!admission.fail(number), "it is gone");
    }

    #[test]
    fn one_that_was_given_up_and_fails_of_it_is_told_as_given_up() {
        let (mut admission, start) = of(1);
        let (number, _) = admission.begin(start);
        admission.late_ones(start + TIMEOUT);
        assert!(!admission.fail(number));
        assert_eq!(admission.end(number), Some(GivenUp::Late));
    }

    #[test]
    fn the_first_reason_counts() {
        let (mut admission, start) = of(1);
        admission.begin(start);
        assert_eq!(admission.oldest_gives_way(start + TIMEOUT), Some(0));
        assert_eq!(admission.oldest_gives_way(start + TIMEOUT), None);
        assert_eq!(admission.late_ones(start + TIMEOUT), (vec![], None));
        assert_eq!(admission.end(0), Some(GivenUp::ForAnother));
    }
}
