//! The book that a simulated fleet is kept in: what was told and asked, counted the plain way, and every promise of
//! the supervisor as a check on it. It shares no code with the supervisor but the names.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::{
    Action, Cause, ChildId, Event, KillReason, Outcome, Policy, Readiness, SlotId, StartFailure,
    Supervisor, Urgency, Window,
};

pub(super) struct Book {
    policy: Policy,
    now: Instant,
    children: BTreeMap<ChildId, Entry>,
    /// Unasked exits.
    exits: Vec<Instant>,
    announced: Option<Instant>,
    master_ready: Option<Instant>,
    stop: Option<Stop>,
    has_closed_listeners: bool,
    /// A start that was not answered at once: no stop can promise more than its answer allows.
    has_late_start: bool,
}

/// The first stop.
#[derive(Clone, Copy)]
struct Stop {
    cause: Cause,
    at: Instant,
    kill_at: Instant,
}

struct Entry {
    slot: SlotId,
    started: Option<Instant>,
    readiness: Readiness,
    is_well: bool,
    has_lied: bool,
    has_closed: bool,
    terminated: Option<Instant>,
    killed: Option<Instant>,
    given_up: Option<Instant>,
    /// Not in its slot any more, because it died, never was, or was given up.
    left: Option<Instant>,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    NotYet,
    Exited,
    NeverStarted,
}

impl Book {
    pub(super) fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            now,
            children: BTreeMap::new(),
            exits: Vec::new(),
            announced: None,
            master_ready: None,
            stop: None,
            has_closed_listeners: false,
            has_late_start: false,
        }
    }

    pub(super) fn is_master_ready(&self) -> bool {
        self.master_ready.is_some()
    }

    pub(super) fn is_there(&self, child: ChildId) -> bool {
        self.children
            .get(&child)
            .is_some_and(|entry| entry.end == End::NotYet)
    }

    pub(super) fn starts(&self) -> usize {
        self.children.len()
    }

    // Facts.

    pub(super) fn told(&mut self, event: Event, now: Instant) {
        self.now = now;
        match event {
            Event::Started { child, readiness } => {
                let patience = self.policy.kill_patience;
                let give_up_at = self.stop.map(|stop| stop.kill_at + patience);
                if let Some(entry) = self.living(child)
                    && entry.started.is_none()
                {
                    entry.started = Some(now);
                    entry.readiness = readiness;
                    // Nobody waits for it any more.
                    entry.left = give_up_at.filter(|&at| at < now);
                }
            }
            Event::StartFailed { child, failure } => self.start_failed(child, failure),
            Event::Ready { child } => {
                if let Some(entry) = self.living(child)
                    && entry.may_get_well()
                {
                    entry.is_well = true;
                }
            }
            Event::Readiness { child, readiness } => {
                if let Some(entry) = self.living(child)
                    && entry.may_get_well()
                {
                    entry.readiness = readiness;
                }
            }
            Event::Closed { child } => {
                if let Some(entry) = self.living(child) {
                    entry.has_closed = true;
                }
            }
            Event::Violation { child } => {
                if let Some(entry) = self.living(child)
                    && entry.killed.is_none()
                {
                    entry.has_lied = true;
                }
            }
            Event::Exited { child } => self.exited(child),
            Event::MasterReady => {
                if self.stop.is_none() {
                    self.master_ready.get_or_insert(now);
                }
            }
            Event::HookFailed => self.stop(Cause::HookFailed),
            Event::StopRequested { urgency } => {
                self.stop(Cause::Requested);
                match (urgency, &mut self.stop) {
                    (Urgency::Immediate, Some(stop)) => stop.kill_at = stop.kill_at.min(now),
                    (Urgency::Graceful | Urgency::Immediate, _) => {}
                }
            }
        }
    }

    fn living(&mut self, child: ChildId) -> Option<&mut Entry> {
        let entry = self.children.get_mut(&child)?;
        (entry.end == End::NotYet).then_some(entry)
    }

    fn start_failed(&mut self, child: ChildId, failure: StartFailure) {
        let now = self.now;
        let Some(entry) = self.living(child) else {
            return;
        };
        entry.end = End::NeverStarted;
        entry.left = Some(now);
        let slot = entry.slot;
        if failure == StartFailure::Passing && self.master_ready.is_some() {
            self.count(slot, child);
        } else {
            let cause = Cause::StartFailed {
                slot,
                child,
                failure,
            };
            self.stop(cause);
        }
    }

    fn exited(&mut self, child: ChildId) {
        let now = self.now;
        let Some(entry) = self.living(child) else {
            return;
        };
        entry.end = End::Exited;
        let slot = entry.slot;
        // One that was given up has left, and was counted, before.
        if entry.left.is_none() {
            entry.left = Some(now);
            self.count(slot, child);
        }
    }

    fn count(&mut self, slot: SlotId, child: ChildId) {
        if self.stop.is_some() {
            return;
        }
        let now = self.now;
        let remembered = self
            .exits
            .iter()
            .filter(|&&at| match self.policy.recover_window {
                Window::Sliding(window) => now - at < window,
                Window::Forever => true,
            });
        let exits = remembered.count() as u64 + 1;
        self.exits.push(now);
        let threshold = self.policy.recover_threshold;
        if exits > u64::from(threshold) {
            self.stop(Cause::OverRecovery {
                exits,
                threshold,
                window: self.policy.recover_window,
                slot,
                child,
            });
        }
    }

    fn stop(&mut self, cause: Cause) {
        let at = self.now;
        let kill_at = at + self.policy.shutdown_grace_period;
        self.stop.get_or_insert(Stop { cause, at, kill_at });
    }

    // Time.

    /// Children that the supervisor gave up since it was last looked at: by time, then by slot, as it does. What is due
    /// at one instant may come in any order, so it is read off the supervisor; that it was due is checked.
    pub(super) fn note_given_up(&mut self, supervisor: &Supervisor, now: Instant) {
        self.now = now;
        let patience = self.policy.kill_patience;
        let is_missing = |child, entry: &Entry| {
            supervisor.child_in(entry.slot) != Some(child) && entry.left.is_none()
        };
        let missing = self
            .children
            .iter()
            .filter(|&(&child, entry)| is_missing(child, entry));
        let mut lost: Vec<_> = missing
            .filter_map(|(&child, entry)| Some((entry.killed? + patience, entry.slot, child)))
            .filter(|&(give_up_at, ..)| give_up_at <= now)
            .collect();
        lost.sort();
        for (_, slot, child) in lost {
            if self.stop.is_none() {
                let entry = self.children.get_mut(&child).expect("it was found above");
                entry.left = Some(now);
                self.count(slot, child);
            }
        }
        let mut children = self.children.iter();
        assert!(
            self.stop.is_some() || !children.any(|(&child, entry)| is_missing(child, entry)),
            "given up without a kill or too early"
        );
    }

    /// What has become true by the time alone.
    pub(super) fn about_to_ask(&mut self, now: Instant) {
        self.now = now;
        for entry in self.children.values_mut() {
            let is_unseen = entry.readiness == Readiness::Unseen && entry.may_get_well();
            let well_at = entry.started.map(|at| at + self.policy.healthy_after);
            if is_unseen && entry.left.is_none() && well_at.is_some_and(|at| at <= now) {
                entry.is_well = true;
            }
        }
    }

    // Decisions.

    pub(super) fn asked(&mut self, action: Action, now: Instant) {
        self.now = now;
        match action {
            Action::Start { slot, child } => self.check_start(slot, child),
            Action::AnnounceMasterReady => {
                assert!(self.stop.is_none(), "announced while stopping");
                assert!(self.announced.is_none(), "announced twice");
                let confirmed = self
                    .children
                    .values()
                    .filter(|entry| entry.started.is_some());
                assert_eq!(confirmed.count(), self.policy.slots.get());
                self.announced = Some(now);
            }
            Action::Terminate { child, kill_at } => {
                let stop = self.stop.expect("nobody is asked to go before a stop");
                assert_eq!(kill_at, stop.kill_at);
                let entry = self.living(child).expect("the dead are asked to go");
                assert!(entry.started.is_some(), "asked to go before it was there");
                assert!(entry.killed.is_none(), "asked to go after it was killed");
                assert_eq!(entry.terminated.replace(now), None, "asked to go twice");
            }
            Action::Kill { child, reason } => self.check_kill(child, reason),
            Action::GiveUp { child } => {
                let entry = self.living(child).expect("the dead are not given up");
                let killed = entry.killed.expect("only the killed are given up");
                assert_eq!(entry.given_up.replace(now), None, "given up twice");
                assert!(now >= killed + self.policy.kill_patience, "given up early");
            }
            Action::CloseListeners => {
                assert!(self.stop.is_some(), "closed the listeners while serving");
                assert!(!self.has_closed_listeners, "closed the listeners twice");
                self.has_closed_listeners = true;
                let accepting = self.children.values().any(|entry| self.is_accepting(entry));
                assert!(!accepting, "closed the listeners while a child accepts");
            }
        }
    }

    fn check_start(&mut self, slot: SlotId, child: ChildId) {
        let now = self.now;
        assert!(self.stop.is_none(), "a start after a stop began");
        let before = self.children.values().filter(|entry| entry.slot == slot);
        let before: Vec<_> = before.collect();
        assert!(
            before.iter().all(|entry| entry.left.is_some()),
            "two children in one slot"
        );
        if let Some(last) = before.last() {
            let ready = self
                .master_ready
                .expect("a recovery before the master was ready");
            let [earliest, latest] = self.recovery_of(&before);
            let left = last.left.expect("all have left");
            assert!(
                now >= left + earliest && now >= ready,
                "a recovery too early"
            );
            assert!(now <= ready.max(left + latest), "a recovery too late");
        }
        let entry = Entry {
            slot,
            started: None,
            readiness: Readiness::Announced,
            is_well: false,
            has_lied: false,
            has_closed: false,
            terminated: None,
            killed: None,
            given_up: None,
            left: None,
            end: End::NotYet,
        };
        let known = self.children.insert(child, entry).is_some();
        assert!(!known, "a child id was used twice");
    }

    /// How long a slot may wait that had these children.
    fn recovery_of(&self, children: &[&Entry]) -> [Duration; 2] {
        let unwell = children.iter().rev().take_while(|entry| !entry.is_well);
        let nominal = match unwell.count() {
            0 | 1 => Duration::ZERO,
            more => {
                let doubled = self.policy.backoff.first * (1_u32 << (more - 2).min(20));
                doubled.min(self.policy.backoff.most)
            }
        };
        let interval = self.policy.recover_interval;
        [interval + nominal * 8 / 10, interval + nominal * 12 / 10]
    }

    fn check_kill(&mut self, child: ChildId, reason: KillReason) {
        let (now, stop, timeout) = (self.now, self.stop, self.policy.ready_timeout);
        let entry = self.living(child).expect("the dead are killed");
        assert_eq!(entry.killed.replace(now), None, "killed twice");
        match reason {
            KillReason::NotReady => {
                assert!(!entry.is_well && entry.readiness == Readiness::Announced);
                let started = entry.started.expect("killed before it was there");
                assert_eq!(now.max(started + timeout), now, "had time to get ready");
            }
            KillReason::Violation => assert!(entry.has_lied),
            KillReason::OutOfTime => {
                let stop = stop.expect("out of time without a stop");
                assert!(now >= stop.kill_at, "killed before its time was over");
            }
        }
    }

    fn is_accepting(&self, entry: &Entry) -> bool {
        entry.end == End::NotYet && !entry.has_closed && !self.is_given_up(entry)
    }

    fn is_given_up(&self, entry: &Entry) -> bool {
        let patience = self.policy.kill_patience;
        let unanswered = entry.started.is_none();
        let out_of_patience = |at: Instant| self.now >= at + patience;
        entry.left.is_some()
            || entry.killed.is_some_and(out_of_patience)
            || unanswered && self.stop.is_some_and(|stop| out_of_patience(stop.kill_at))
    }

    // Rest.

    /// What must be true whenever the supervisor had nothing to do.
    pub(super) fn rested(&mut self, supervisor: &Supervisor, now: Instant) {
        self.now = now;
        assert_eq!(supervisor.is_stopping(), self.stop.is_some());
        for (child, entry) in &self.children {
            let is_there = entry.end == End::NotYet;
            assert_eq!(supervisor.slot_of(*child), is_there.then_some(entry.slot));
            self.has_late_start |= is_there && entry.started.is_none();
        }
        match self.stop {
            None => self.check_running(),
            Some(stop) => self.check_stopping(supervisor, stop),
        }
    }

    fn check_running(&self) {
        let now = self.now;
        let confirmed = self
            .children
            .values()
            .filter(|entry| entry.started.is_some());
        let all_confirmed = confirmed.count() >= self.policy.slots.get();
        assert!(self.announced.is_some() || !all_confirmed, "not announced");
        let late = self.children.values().filter(|entry| entry.left.is_none());
        for entry in late {
            let must_be_ready = entry.readiness == Readiness::Announced && entry.may_get_well();
            let ready_by = entry.started.map(|at| at + self.policy.ready_timeout);
            if must_be_ready {
                assert!(ready_by.is_none_or(|by| now < by), "a mute child lives on");
            }
            assert!(!entry.has_lied || entry.killed.is_some(), "a liar lives on");
            let give_up_at = entry.killed.map(|at| at + self.policy.kill_patience);
            assert!(
                give_up_at.is_none_or(|at| now < at),
                "a slot waits for the unkillable"
            );
        }
        let slots = (0..self.policy.slots.get()).map(SlotId);
        for slot in slots {
            let children = self.children.values().filter(|entry| entry.slot == slot);
            let children: Vec<_> = children.collect();
            let last = children.last().expect("every slot was started at once");
            if let (Some(left), Some(ready)) = (last.left, self.master_ready) {
                let [_, latest] = self.recovery_of(&children);
                assert!(now < ready.max(left + latest), "a slot is forgotten");
            }
        }
    }

    fn check_stopping(&self, supervisor: &Supervisor, stop: Stop) {
        let mut bound = stop.kill_at + self.policy.kill_patience;
        if self.has_late_start {
            bound += self.policy.kill_patience;
        }
        if self.now >= bound {
            assert!(supervisor.outcome().is_some(), "a stop does not end");
        }
        for entry in self.children.values() {
            let is_there = entry.end == End::NotYet && entry.left.is_none();
            if is_there && entry.started.is_some() {
                let was_told = entry.terminated.is_some() || entry.killed.is_some();
                assert!(was_told, "a child was not told to go");
                assert!(
                    self.now < stop.kill_at || entry.killed.is_some(),
                    "a child outlives the grace period"
                );
            }
        }
        let must_close = !self.children.values().any(|entry| self.is_accepting(entry));
        assert!(
            self.has_closed_listeners || !must_close,
            "the listeners stay open though nobody accepts"
        );
        assert!(self.now >= stop.at);
    }

    // The end.

    pub(super) fn close(&self, outcome: Option<&Outcome>) {
        let outcome = outcome.expect("the fleet has ended");
        let stop = self.stop.expect("a fleet ends by a stop");
        assert_eq!(outcome.cause, stop.cause, "the first cause stays");
        let unseen = self
            .children
            .iter()
            .filter(|(_, entry)| entry.end == End::NotYet);
        let unseen: Vec<_> = unseen.map(|(&child, _)| child).collect();
        assert_eq!(outcome.unkillable, unseen, "a child is not accounted for");
        assert!(self.has_closed_listeners, "the listeners were never closed");
    }
}

impl Entry {
    fn may_get_well(&self) -> bool {
        self.started.is_some()
            && !self.is_well
            && !self.has_lied
            && self.killed.is_none()
            && self.terminated.is_none()
    }
}
