//! A record of a simulated fleet, and a check of every promise of the supervisor.
//!
//! The book stores the events and actions and counts them in the simplest way. It shares names with
//! the supervisor, and no code.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::phase::Phase;
use super::super::slot::SlotState;
use super::super::{
    Action, ChildId, Event, FleetOutcome, KillReason, Policy, ProgramId, Readiness, SlotId,
    StartFailure, StopCause, StopMode, Supervisor, Window,
};

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Book {
    policy: Policy,
    now: Instant,
    slots: usize,
    children: BTreeMap<ChildId, Entry>,
    /// Unexpected exits, by the time when each was counted.
    exits: Vec<Instant>,
    was_healthy: bool,
    /// The same, judged by the time alone, because the order of what is due at one instant is not
    /// defined.
    may_be_healthy: bool,
    announced: Option<Instant>,
    master_ready: Option<Instant>,
    stop: Option<Stop>,
    has_closed_listeners: bool,
    /// A start was not answered at once. Then a stop may take longer than promised.
    has_late_start: bool,
}

/// The first stop.
#[derive(Clone, Copy)]
struct Stop {
    cause: StopCause,
    at: Instant,
    kill_at: Instant,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Entry {
    slot: SlotId,
    started: Option<Instant>,
    readiness: Readiness,
    is_healthy: bool,
    has_violated: bool,
    has_closed: bool,
    main_ended: Option<Instant>,
    /// It left its slot because its process did not exit after its `main`.
    has_outlived: bool,
    terminated: Option<Instant>,
    killed: Option<Instant>,
    given_up: Option<Instant>,
    /// When it left its slot: it exited, was never started, was given up, outlived its `main`, or
    /// its slot was removed.
    left: Option<Instant>,
    /// Its slot was removed. A later slot of the same number does not replace it.
    has_lost_slot: bool,
    /// When it is killed, if its slot was removed while it filled it, or if a younger child of the
    /// slot has begun to drain.
    kill_at: Option<Instant>,
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
            slots: policy.slots.get(),
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

    // Events.

    pub(super) fn on_event(&mut self, event: Event, now: Instant) {
        self.now = now;
        match event {
            Event::Started { child, readiness } => {
                let timeout = self.policy.kill_timeout;
                let give_up_at = self.stop.map(|stop| stop.kill_at + timeout);
                if let Some(entry) = self.living(child)
                    && entry.started.is_none()
                {
                    entry.started = Some(now);
                    entry.readiness = readiness;
                    // The supervisor no longer waits for it.
                    let is_over = |at: &Instant| *at < now;
                    if entry.kill_at.is_some() {
                        let give_up_at = entry.kill_at.map(|at| at + timeout);
                        entry.given_up = give_up_at.filter(is_over);
                    } else {
                        entry.left = give_up_at.filter(is_over);
                    }
                    self.mark_healthy_at_once(child);
                }
            }
            Event::StartFailed { child, failure } => self.start_failed(child, failure),
            Event::Ready { child } => {
                if let Some(entry) = self.living(child)
                    && entry.may_become_healthy()
                {
                    entry.is_healthy = true;
                    self.was_healthy = true;
                }
            }
            Event::Readiness { child, readiness } => {
                if let Some(entry) = self.living(child)
                    && entry.may_become_healthy()
                {
                    entry.readiness = readiness;
                    self.mark_healthy_at_once(child);
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
                    entry.has_violated = true;
                }
            }
            Event::MainEnded { child } => {
                if let Some(entry) = self.living(child)
                    && entry.started.is_some()
                    && entry.killed.is_none()
                    && !entry.has_violated
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
            Event::Resize { slots } => self.resize(slots.get()),
            Event::HookFailed => self.stop(StopCause::HookFailed),
            Event::ListenerLost => self.stop(StopCause::ListenerLost),
            Event::StopRequested { urgency } => {
                self.stop(StopCause::Requested);
                match (urgency, &mut self.stop) {
                    (StopMode::Immediate, Some(stop)) => {
                        stop.kill_at = stop.kill_at.min(now);
                        for entry in self.children.values_mut() {
                            entry.kill_at = entry.kill_at.map(|at| at.min(now));
                        }
                    }
                    (StopMode::Graceful | StopMode::Immediate, _) => {}
                }
            }
        }
    }

    fn resize(&mut self, slots: usize) {
        if self.stop.is_some() {
            return;
        }
        let kill_at = self.now + self.policy.shutdown_grace_period;
        for slot in (slots..self.slots).map(SlotId) {
            let filling = self.children.iter_mut().find(|(_, entry)| {
                entry.slot == slot && entry.left.is_none() && entry.end == End::NotYet
            });
            if let Some((&child, entry)) = filling {
                entry.left = Some(self.now);
                entry.kill_at = Some(kill_at);
                self.end_older(child);
            }
            for entry in self.children.values_mut() {
                entry.has_lost_slot |= entry.slot == slot;
            }
        }
        self.slots = slots;
    }

    /// The time of the older draining children of the slot is over: this child begins to drain.
    fn end_older(&mut self, child: ChildId) {
        let (now, slot) = (self.now, self.children[&child].slot);
        for (_, older) in self.children.range_mut(..child) {
            if older.slot == slot && older.drains() {
                older.kill_at = Some(older.kill_at.map_or(now, |at| at.min(now)));
            }
        }
    }

    /// The children of this slot, without those of a slot of the same number that was removed.
    fn children_of(&self, slot: SlotId) -> Vec<&Entry> {
        let children = self.children.values();
        let children = children.filter(|entry| entry.slot == slot && !entry.has_lost_slot);
        children.collect()
    }

    fn last_child_of(&self, slot: SlotId) -> Option<ChildId> {
        let mut children = self.children.iter();
        let last = children.rfind(|(_, entry)| entry.slot == slot && !entry.has_lost_slot);
        last.map(|(&child, _)| child)
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
        if entry.left.is_some() {
            return;
        }
        entry.left = Some(now);
        let slot = entry.slot;
        let ends = match failure {
            StartFailure::Transient => false,
            StartFailure::Permanent => !self.was_healthy,
            StartFailure::Refused => true,
        };
        if ends || self.master_ready.is_none() {
            let cause = StopCause::StartFailed {
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
        // A child that was given up or outlived its `main` has left before.
        entry.left.get_or_insert(now);
    }

    /// Counts an exit whose replacement is due. Returns how many exits count now.
    fn count(&mut self) -> u64 {
        let now = self.now;
        let forgets = self.was_healthy;
        let counted = self
            .exits
            .iter()
            .filter(|&&at| match self.policy.recover_window {
                Window::Sliding(window) => !forgets || now - at < window,
                Window::Forever => true,
            });
        let exits = counted.count() as u64 + 1;
        self.exits.push(now);
        exits
    }

    fn stop(&mut self, cause: StopCause) {
        let at = self.now;
        let kill_at = at + self.policy.shutdown_grace_period;
        self.stop.get_or_insert(Stop { cause, at, kill_at });
    }

    // Time.

    /// Records what the supervisor did by itself since the last call.
    ///
    /// The order of what is due at one instant is not defined, so the result is read from the
    /// supervisor. Only whether it was due is checked.
    pub(super) fn note_left(&mut self, supervisor: &Supervisor, now: Instant) {
        self.now = now;
        if self.stop.is_some() {
            return;
        }
        match supervisor.phase() {
            Phase::Stopping { stop, .. } => return self.check_over_recovery(stop.cause),
            Phase::Ended(outcome) => return self.check_over_recovery(outcome.stop.cause),
            Phase::StartingUp { .. } | Phase::AllStarted | Phase::Announcing | Phase::Running => {}
        }
        let mut slots = supervisor.fleet().slot_ids();
        self.was_healthy |= slots.any(|slot| {
            let state = supervisor.fleet().slot(slot);
            matches!(state, SlotState::Serving { .. })
        });
        let kill_timeout = self.policy.kill_timeout;
        let exit_timeout = self.exit_timeout();
        let mut outlived = None;
        for (&child, entry) in &mut self.children {
            if supervisor.child_in(entry.slot) == Some(child) || entry.left.is_some() {
                continue;
            }
            let is_given_up = entry.killed.is_some_and(|at| now >= at + kill_timeout);
            entry.has_outlived = !is_given_up;
            let may_outlive = entry.killed.is_none() && !entry.has_violated;
            let has_outlived =
                may_outlive && entry.main_ended.is_some_and(|at| now >= at + exit_timeout);
            assert!(
                is_given_up || has_outlived,
                "a child left its slot without a reason or too early"
            );
            entry.left = Some(now);
            outlived = entry.has_outlived.then_some(child).or(outlived);
        }
        if let Some(child) = outlived {
            self.end_older(child);
        }
    }

    /// Checks the only stop that no event caused.
    fn check_over_recovery(&mut self, cause: StopCause) {
        let StopCause::OverRecovery {
            slot,
            child,
            was_healthy,
            ..
        } = cause
        else {
            panic!("a stop without a reason: {cause:?}");
        };
        self.was_healthy |= was_healthy && self.may_be_healthy;
        self.check_recovery_is_due(slot);
        assert_eq!(self.last_child_of(slot), Some(child));
        let (threshold, window) = (self.policy.recover_threshold, self.policy.recover_window);
        let exits = self.count();
        assert!(exits > u64::from(threshold), "stopped within the budget");
        let expected = StopCause::OverRecovery {
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
        let before = self.children_of(slot);
        let last = before.last().expect("the slot had a child");
        let ready = self
            .master_ready
            .expect("a child was replaced before the master was ready");
        let [earliest, latest] = self.recovery_of(&before);
        let left = last.left.expect("all have left");
        assert!(
            now >= left + earliest && now >= ready,
            "a child was replaced too early"
        );
        assert!(
            now <= ready.max(left + latest),
            "a child was replaced too late"
        );
    }

    /// How long a process may fill its slot after its `main` has ended.
    fn exit_timeout(&self) -> Duration {
        self.policy
            .exit_timeout
            .min(self.policy.shutdown_grace_period)
    }

    /// Records that the child is healthy, if `healthy_after` is 0 and nothing else is needed.
    ///
    /// That is so if its readiness cannot be observed.
    fn mark_healthy_at_once(&mut self, child: ChildId) {
        let needs_no_time = self.policy.healthy_after.is_zero();
        if let Some(entry) = self.living(child)
            && needs_no_time
            && entry.readiness == Readiness::Assumed
            && entry.may_become_healthy()
        {
            entry.is_healthy = true;
            self.was_healthy = true;
        }
    }

    /// Records what has become true because time has passed.
    pub(super) fn about_to_ask(&mut self, now: Instant) {
        self.now = now;
        for entry in self.children.values_mut() {
            let is_unseen = entry.readiness == Readiness::Assumed && entry.may_become_healthy();
            let healthy_at = entry.started.map(|at| at + self.policy.healthy_after);
            if is_unseen && entry.left.is_none() && healthy_at.is_some_and(|at| at <= now) {
                entry.is_healthy = true;
                self.may_be_healthy = true;
            }
        }
    }

    // Decisions.

    pub(super) fn asked(&mut self, action: Action, now: Instant) {
        self.now = now;
        match action {
            Action::Start {
                slot,
                child,
                program: ProgramId::OWN,
                previous,
            } => self.check_start(slot, child, previous),
            Action::Start { program, .. } => panic!("unknown {program:?}"),
            Action::AnnounceMasterReady => {
                assert!(self.stop.is_none(), "announced while stopping");
                assert!(self.announced.is_none(), "announced twice");
                assert_eq!(self.confirmed(), self.slots);
                self.announced = Some(now);
            }
            Action::Terminate { child, kill_at } => {
                let stop = self.stop.map(|stop| stop.kill_at);
                let entry = self.living(child).expect("asked to stop after its exit");
                let expected = entry.kill_at.or(stop);
                assert_eq!(Some(kill_at), expected, "asked to stop without a reason");
                assert!(
                    entry.started.is_some(),
                    "asked to stop before it was started"
                );
                assert!(entry.killed.is_none(), "asked to stop after it was killed");
                assert!(
                    entry.main_ended.is_none(),
                    "asked to stop after its main ended"
                );
                assert_eq!(entry.terminated.replace(now), None, "asked to stop twice");
            }
            Action::Kill { child, reason } => self.check_kill(child, reason),
            Action::GiveUp { child } => {
                let entry = self.living(child).expect("given up after its exit");
                let killed = entry.killed.expect("given up before it was killed");
                assert_eq!(entry.given_up.replace(now), None, "given up twice");
                assert!(
                    now >= killed + self.policy.kill_timeout,
                    "given up too early"
                );
            }
            Action::ReportRunning { child, kill_at } => {
                let entry = self
                    .living(child)
                    .expect("reported as running after its exit");
                assert!(entry.has_outlived);
                let ended = entry.main_ended.expect("reported before its main ended");
                assert_eq!(kill_at, ended + self.policy.shutdown_grace_period);
            }
            Action::CloseListeners => {
                assert!(self.stop.is_some(), "closed the listeners before a stop");
                assert!(!self.has_closed_listeners, "closed the listeners twice");
                self.has_closed_listeners = true;
                let accepting = self.children.values().any(|entry| self.is_accepting(entry));
                assert!(!accepting, "closed the listeners while a child accepts");
            }
        }
    }

    fn check_start(&mut self, slot: SlotId, child: ChildId, previous: Option<ChildId>) {
        assert!(self.stop.is_none(), "a child was started during a stop");
        assert!(slot.0 < self.slots, "a child was started in a removed slot");
        let before = self.children_of(slot);
        assert_eq!(previous, self.last_child_of(slot));
        assert!(
            before.iter().all(|entry| entry.left.is_some()),
            "two children in one slot"
        );
        if !before.is_empty() {
            self.check_recovery_is_due(slot);
            let threshold = u64::from(self.policy.recover_threshold);
            assert!(self.count() <= threshold, "replaced beyond the budget");
        }
        let entry = Entry {
            slot,
            started: None,
            readiness: Readiness::Notified,
            is_healthy: false,
            has_violated: false,
            has_closed: false,
            main_ended: None,
            has_outlived: false,
            terminated: None,
            killed: None,
            given_up: None,
            left: None,
            has_lost_slot: false,
            kill_at: None,
            end: End::NotYet,
        };
        let known = self.children.insert(child, entry).is_some();
        assert!(!known, "a child id was used twice");
    }

    /// The shortest and the longest delay of a slot that had these children.
    fn recovery_of(&self, children: &[&Entry]) -> [Duration; 2] {
        let unhealthy = children.iter().rev().take_while(|entry| !entry.is_healthy);
        let nominal = match unhealthy.count() {
            0 | 1 => Duration::ZERO,
            more => {
                let doubled = self.policy.backoff.first * (1_u32 << (more - 2).min(20));
                doubled.min(self.policy.backoff.max)
            }
        };
        let interval = self.policy.recover_interval;
        [interval + nominal * 8 / 10, interval + nominal * 12 / 10]
    }

    fn check_kill(&mut self, child: ChildId, reason: KillReason) {
        let (now, stop, timeout) = (self.now, self.stop, self.policy.ready_timeout);
        let entry = self.living(child).expect("killed after its exit");
        assert_eq!(entry.killed.replace(now), None, "killed twice");
        match reason {
            KillReason::NotReady => {
                assert!(!entry.is_healthy && entry.readiness == Readiness::Notified);
                assert!(entry.main_ended.is_none());
                let started = entry.started.expect("killed before it was started");
                assert_eq!(
                    now.max(started + timeout),
                    now,
                    "killed before ready_timeout"
                );
            }
            KillReason::Violation => assert!(entry.has_violated),
            KillReason::OutOfTime => {
                let grace = self.policy.shutdown_grace_period;
                let entry = &self.children[&child];
                let after_main = entry.main_ended.map(|at| at + grace);
                let after_stop = stop.map(|stop| stop.kill_at);
                let times = [after_main, after_stop, entry.kill_at];
                let first = times.into_iter().flatten().min();
                let first = first.expect("out of time without a reason");
                assert!(now >= first, "killed before its time was over");
            }
        }
    }

    fn is_accepting(&self, entry: &Entry) -> bool {
        entry.end == End::NotYet && !entry.has_closed && !self.is_given_up(entry)
    }

    fn is_given_up(&self, entry: &Entry) -> bool {
        let timeout = self.policy.kill_timeout;
        let unanswered = entry.started.is_none();
        let is_over = |at: Instant| self.now >= at + timeout;
        let kill_at = entry.kill_at.or(self.stop.map(|stop| stop.kill_at));
        (entry.left.is_some() && !entry.drains())
            || entry.given_up.is_some()
            || entry.killed.is_some_and(is_over)
            || unanswered && kill_at.is_some_and(is_over)
    }

    // After each round.

    /// Checks what must hold whenever the supervisor has no action.
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

    /// The slots of which a child was started; after the announcement, the children.
    fn confirmed(&self) -> usize {
        let children = self.children.values();
        let confirmed = children.filter(|entry| entry.started.is_some() && !entry.has_lost_slot);
        confirmed.count()
    }

    fn check_running(&self) {
        let now = self.now;
        let all_confirmed = self.confirmed() >= self.slots;
        assert!(self.announced.is_some() || !all_confirmed, "not announced");
        let late = self.children.values().filter(|entry| entry.left.is_none());
        for entry in late {
            let must_be_ready =
                entry.readiness == Readiness::Notified && entry.may_become_healthy();
            let ready_by = entry.started.map(|at| at + self.policy.ready_timeout);
            if must_be_ready {
                assert!(
                    ready_by.is_none_or(|by| now < by),
                    "a child that is not ready in time was not killed"
                );
            }
            assert!(
                !entry.has_violated || entry.killed.is_some(),
                "a child that violated the protocol was not killed"
            );
            let give_up_at = entry.killed.map(|at| at + self.policy.kill_timeout);
            assert!(
                give_up_at.is_none_or(|at| now < at),
                "a slot waits for a child that cannot be killed"
            );
        }
        self.check_drains();
        for slot in (0..self.slots).map(SlotId) {
            let children = self.children_of(slot);
            let last = children.last().expect("every slot was started at once");
            if let (Some(left), Some(ready)) = (last.left, self.master_ready) {
                let [_, latest] = self.recovery_of(&children);
                assert!(
                    now < ready.max(left + latest),
                    "a slot was not filled again"
                );
            }
        }
    }

    /// Checks the time and the number of draining processes.
    fn check_drains(&self) {
        let is_there = |entry: &&Entry| {
            entry.end == End::NotYet
                && entry.started.is_some()
                && entry.killed.is_none()
                && entry.given_up.is_none()
        };
        for entry in self.children.values().filter(is_there) {
            if let Some(kill_at) = entry.kill_at {
                let was_asked = entry.terminated.is_some() || entry.main_ended.is_some();
                assert!(was_asked, "a child of a removed slot was not asked to stop");
                assert!(self.now < kill_at, "a draining child was not killed");
            }
            let Some(ended) = entry.main_ended else {
                continue;
            };
            if entry.left.is_none() && self.stop.is_none() {
                let exit_by = ended + self.exit_timeout();
                assert!(
                    self.now < exit_by,
                    "a slot waits for a process whose main has ended"
                );
            }
            let kill_at = ended + self.policy.shutdown_grace_period;
            assert!(
                self.now < kill_at,
                "a process whose main has ended was not killed"
            );
        }
        let mut draining = BTreeSet::new();
        for entry in self.children.values().filter(is_there) {
            let is_first = !entry.drains() || draining.insert(entry.slot);
            assert!(is_first, "two children of a slot drain");
        }
    }

    fn check_stopping(&self, supervisor: &Supervisor, stop: Stop) {
        let mut bound = stop.kill_at + self.policy.kill_timeout;
        if self.has_late_start {
            bound += self.policy.kill_timeout;
        }
        if self.now >= bound {
            assert!(supervisor.outcome().is_some(), "a stop does not end");
        }
        for entry in self.children.values() {
            let is_there = entry.end == End::NotYet && entry.left.is_none();
            if is_there && entry.started.is_some() {
                let was_asked = entry.terminated.is_some()
                    || entry.killed.is_some()
                    || entry.main_ended.is_some();
                assert!(was_asked, "a child was not asked to stop");
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
            "the listeners are open although no child accepts"
        );
        assert!(self.now >= stop.at);
    }

    // The end.

    pub(super) fn close(&self, outcome: Option<&FleetOutcome>) {
        let outcome = outcome.expect("the fleet has ended");
        let stop = self.stop.expect("a fleet ends by a stop");
        assert_eq!(outcome.stop.cause, stop.cause, "the first cause stays");
        let not_exited = self
            .children
            .iter()
            .filter(|(_, entry)| entry.end == End::NotYet);
        let not_exited: Vec<_> = not_exited.map(|(&child, _)| child).collect();
        assert_eq!(
            outcome.unkillable, not_exited,
            "unkillable differs from the children that did not exit"
        );
        assert!(self.has_closed_listeners, "the listeners were never closed");
    }
}

impl Entry {
    /// It has left its slot, and may have time to finish its work.
    fn drains(&self) -> bool {
        self.has_outlived || self.kill_at.is_some()
    }

    fn may_become_healthy(&self) -> bool {
        self.started.is_some()
            && !self.is_healthy
            && !self.has_violated
            && self.main_ended.is_none()
            && self.killed.is_none()
            && self.terminated.is_none()
            && self.kill_at.is_none()
    }
}
