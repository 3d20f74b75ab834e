//! The book that a simulated fleet is kept in: what was told and asked, counted the plain way, and every promise of
//! the supervisor as a check on it. It shares no code with the supervisor but the names.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::phase::Phase;
use super::super::slot::SlotState;
use super::super::{
    Action, Cause, ChildId, Event, KillReason, Outcome, Policy, Readiness, SlotId, StartFailure,
    Supervisor, Urgency, Window,
};

#[expect(clippy::struct_excessive_bools, reason = "notes of independent facts")]
pub(super) struct Book {
    policy: Policy,
    now: Instant,
    children: BTreeMap<ChildId, Entry>,
    /// Unexpected exits, each at the time when it was counted.
    exits: Vec<Instant>,
    was_healthy: bool,
    /// The same by the time alone: what is due at one instant comes in any order.
    may_be_healthy: bool,
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

#[expect(clippy::struct_excessive_bools, reason = "notes of independent facts")]
struct Entry {
    slot: SlotId,
    started: Option<Instant>,
    readiness: Readiness,
    is_well: bool,
    has_lied: bool,
    has_closed: bool,
    main_ended: Option<Instant>,
    /// It left its slot because its process outlived its `main`.
    has_outlived: bool,
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
            was_healthy: false,
            may_be_healthy: false,
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
                    self.proves_at_once(child);
                }
            }
            Event::StartFailed { child, failure } => self.start_failed(child, failure),
            Event::Ready { child } => {
                if let Some(entry) = self.living(child)
                    && entry.may_get_well()
                {
                    entry.is_well = true;
                    self.was_healthy = true;
                }
            }
            Event::Readiness { child, readiness } => {
                if let Some(entry) = self.living(child)
                    && entry.may_get_well()
                {
                    entry.readiness = readiness;
                    self.proves_at_once(child);
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
            Event::MainEnded { child } => {
                if let Some(entry) = self.living(child)
                    && entry.started.is_some()
                    && entry.killed.is_none()
                    && !entry.has_lied
                {
                    entry.main_ended.get_or_insert(now);
                }
            }
            Event::Exited { child } => self.exited(child),
            Event::MasterReady => {
                if self.stop.is_none() {
                    self.master_ready.get_or_insert(now);
                }
            }
            Event::HookFailed => self.stop(Cause::HookFailed),
            Event::ListenerLost => self.stop(Cause::ListenerLost),
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
        let ends = match failure {
            StartFailure::Passing => false,
            StartFailure::Permanent => !self.was_healthy,
            StartFailure::Refused => true,
        };
        if ends || self.master_ready.is_none() {
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
        // One that was given up, or outlived its `main`, has left before.
        entry.left.get_or_insert(now);
    }

    /// One more exit, whose replacement is due; returns how many are remembered now.
    fn count(&mut self) -> u64 {
        let now = self.now;
        let forgets = self.was_healthy;
        let remembered = self
            .exits
            .iter()
            .filter(|&&at| match self.policy.recover_window {
                Window::Sliding(window) => !forgets || now - at < window,
                Window::Forever => true,
            });
        let exits = remembered.count() as u64 + 1;
        self.exits.push(now);
        exits
    }

    fn stop(&mut self, cause: Cause) {
        let at = self.now;
        let kill_at = at + self.policy.shutdown_grace_period;
        self.stop.get_or_insert(Stop { cause, at, kill_at });
    }

    // Time.

    /// What the supervisor did by itself since it was last looked at. What is due at one instant may come in any order,
    /// so it is read off the supervisor; that it was due is checked.
    pub(super) fn note_left(&mut self, supervisor: &Supervisor, now: Instant) {
        self.now = now;
        if self.stop.is_some() {
            return;
        }
        match supervisor.phase() {
            Phase::Stopping { cause, .. } => return self.check_over_recovery(*cause),
            Phase::Ended(outcome) => return self.check_over_recovery(outcome.cause),
            Phase::Opening { .. } | Phase::Opened | Phase::Announcing | Phase::Running => {}
        }
        let mut slots = supervisor.fleet().slot_ids();
        self.was_healthy |= slots.any(|slot| {
            let state = supervisor.fleet().slot(slot);
            matches!(state, SlotState::Serving { .. })
        });
        let kill_patience = self.policy.kill_patience;
        let exit_patience = self.exit_patience();
        for (&child, entry) in &mut self.children {
            if supervisor.child_in(entry.slot) == Some(child) || entry.left.is_some() {
                continue;
            }
            let is_given_up = entry.killed.is_some_and(|at| now >= at + kill_patience);
            entry.has_outlived = !is_given_up;
            let may_outlive = entry.killed.is_none() && !entry.has_lied;
            let has_outlived =
                may_outlive && entry.main_ended.is_some_and(|at| now >= at + exit_patience);
            assert!(
                is_given_up || has_outlived,
                "a child left its slot without a reason or too early"
            );
            entry.left = Some(now);
        }
    }

    /// The only stop that nobody asked for.
    fn check_over_recovery(&mut self, cause: Cause) {
        let Cause::OverRecovery {
            slot,
            child,
            was_healthy,
            ..
        } = cause
        else {
            panic!("a stop that nobody asked for: {cause:?}");
        };
        self.was_healthy |= was_healthy && self.may_be_healthy;
        self.check_recovery_is_due(slot);
        let last = self.children.iter().rfind(|(_, entry)| entry.slot == slot);
        assert_eq!(last.map(|(&last, _)| last), Some(child));
        let (threshold, window) = (self.policy.recover_threshold, self.policy.recover_window);
        let exits = self.count();
        assert!(exits > u64::from(threshold), "stopped within the budget");
        let expected = Cause::OverRecovery {
            exits,
            threshold,
            window,
            was_healthy: self.was_healthy,
            slot,
            child,
        };
        assert_eq!(cause, expected);
        self.stop(cause);
    }

    fn check_recovery_is_due(&self, slot: SlotId) {
        let now = self.now;
        let before = self.children.values().filter(|entry| entry.slot == slot);
        let before: Vec<_> = before.collect();
        let last = before.last().expect("a slot recovers what it had");
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

    /// How long a child's process may fill its slot after its `main` has ended.
    fn exit_patience(&self) -> Duration {
        self.policy
            .exit_patience
            .min(self.policy.shutdown_grace_period)
    }

    /// A child whose readiness cannot be seen, and that needs to live for no time, is well before anything else is
    /// known of it.
    fn proves_at_once(&mut self, child: ChildId) {
        let needs_no_time = self.policy.healthy_after.is_zero();
        if let Some(entry) = self.living(child)
            && needs_no_time
            && entry.readiness == Readiness::Unseen
            && entry.may_get_well()
        {
            entry.is_well = true;
            self.was_healthy = true;
        }
    }

    /// What has become true by the time alone.
    pub(super) fn about_to_ask(&mut self, now: Instant) {
        self.now = now;
        for entry in self.children.values_mut() {
            let is_unseen = entry.readiness == Readiness::Unseen && entry.may_get_well();
            let well_at = entry.started.map(|at| at + self.policy.healthy_after);
            if is_unseen && entry.left.is_none() && well_at.is_some_and(|at| at <= now) {
                entry.is_well = true;
                self.may_be_healthy = true;
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
                assert!(entry.main_ended.is_none(), "asked to go after its main");
                assert_eq!(entry.terminated.replace(now), None, "asked to go twice");
            }
            Action::Kill { child, reason } => self.check_kill(child, reason),
            Action::GiveUp { child } => {
                let entry = self.living(child).expect("the dead are not given up");
                let killed = entry.killed.expect("only the killed are given up");
                assert_eq!(entry.given_up.replace(now), None, "given up twice");
                assert!(now >= killed + self.policy.kill_patience, "given up early");
            }
            Action::ReportRunning { child, kill_at } => {
                let entry = self.living(child).expect("the dead do not run");
                assert!(entry.has_outlived);
                let ended = entry.main_ended.expect("reported before its main ended");
                assert_eq!(kill_at, ended + self.policy.shutdown_grace_period);
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
        assert!(self.stop.is_none(), "a start after a stop began");
        let before = self.children.values().filter(|entry| entry.slot == slot);
        let before: Vec<_> = before.collect();
        assert!(
            before.iter().all(|entry| entry.left.is_some()),
            "two children in one slot"
        );
        if !before.is_empty() {
            self.check_recovery_is_due(slot);
            let threshold = u64::from(self.policy.recover_threshold);
            assert!(self.count() <= threshold, "recovered beyond the budget");
        }
        let entry = Entry {
            slot,
            started: None,
            readiness: Readiness::Announced,
            is_well: false,
            has_lied: false,
            has_closed: false,
            main_ended: None,
            has_outlived: false,
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
                assert!(entry.main_ended.is_none());
                let started = entry.started.expect("killed before it was there");
                assert_eq!(now.max(started + timeout), now, "had time to get ready");
            }
            KillReason::Violation => assert!(entry.has_lied),
            KillReason::OutOfTime => {
                let grace = self.policy.shutdown_grace_period;
                let entry = &self.children[&child];
                let after_main = entry.main_ended.map(|at| at + grace);
                // A child of the same slot that drains as well ends the time of an older one.
                let has_younger = self.children.iter().any(|(&other_id, other)| {
                    other.slot == entry.slot && other.has_outlived && other_id > child
                });
                let after_stop = stop.map(|stop| stop.kill_at);
                let first = after_main.into_iter().chain(after_stop).min();
                let first = first.expect("out of time without a reason");
                let is_due = now >= first || (entry.has_outlived && has_younger);
                assert!(is_due, "killed before its time was over");
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
        (entry.left.is_some() && !entry.has_outlived)
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
        self.check_drains();
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

    /// What is left of a child after its `main` is bounded, in time and in number.
    fn check_drains(&self) {
        let is_there = |entry: &&Entry| entry.end == End::NotYet && entry.killed.is_none();
        for entry in self.children.values().filter(is_there) {
            let Some(ended) = entry.main_ended else {
                continue;
            };
            if entry.left.is_none() && self.stop.is_none() {
                let exit_by = ended + self.exit_patience();
                assert!(
                    self.now < exit_by,
                    "a slot waits for what outlives its main"
                );
            }
            let kill_at = ended + self.policy.shutdown_grace_period;
            assert!(self.now < kill_at, "what outlives its main lives on");
        }
        for slot in (0..self.policy.slots.get()).map(SlotId) {
            let outlived = self.children.values().filter(is_there);
            let outlived = outlived.filter(|entry| entry.slot == slot && entry.has_outlived);
            assert!(outlived.count() <= 1, "two children of a slot drain");
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
                let was_told = entry.terminated.is_some()
                    || entry.killed.is_some()
                    || entry.main_ended.is_some();
                assert!(was_told, "a child was not told to go");
                assert!(
                    self.now < stop.kill_at || entry.killed.is_some(),
                    "a child outlives the grace period"
                );
            }
        }
        self.check_drains();
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
            && self.main_ended.is_none()
            && self.killed.is_none()
            && self.terminated.is_none()
    }
}
