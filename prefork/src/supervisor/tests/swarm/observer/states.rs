//! The promises about what the supervisor knows, and about what it must have done by now.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::super::super::{ChildId, Readiness, SlotId, StopCause, Supervisor};
use super::super::super::stage::assert_rested;
use super::super::broken::{Broken, check};
use super::super::plan::{Nanos, nanos};
use super::{Child, Observer, Promise};

impl Observer {
    /// Compares the stop with that of the supervisor, which begins one itself if exits are too many.
    pub(super) fn check_stop(&mut self, supervisor: &Supervisor, at: Nanos) -> Result<(), Broken> {
        let stop = supervisor.snapshot().stop();
        if let (Some(stop), None) = (stop, self.stop) {
            self.check_over_recovery(stop.cause)?;
            self.begin_stop(stop.cause, at);
        }
        self.check_delay(supervisor, at)?;
        let began = |at: Instant| nanos(at.saturating_duration_since(self.epoch));
        let stop = stop.map(|stop| (stop.cause, began(stop.began), stop.mode));
        let expected = self.stop.map(|stop| (stop.cause, stop.at, stop.mode));
        check(
            stop == expected,
            "a stop has one cause, the first, and does not end",
            || format!("{stop:?} instead of {expected:?}"),
        )
    }

    /// Notices that the supervisor has ended the delay of the stop.
    fn check_delay(&mut self, supervisor: &Supervisor, at: Nanos) -> Result<(), Broken> {
        let Some(until) = self.delay_until else {
            return Ok(());
        };
        if supervisor.snapshot().delayed_until().is_some() {
            return Ok(());
        }
        let accepting = self.accepting;
        self.end_delay(at);
        check(
            until <= at || accepting == 0,
            "children serve on for `drain_delay`, unless none accepts any more",
            || format!("ended at {at}, not at {until}"),
        )
    }

    fn check_over_recovery(&mut self, cause: StopCause) -> Result<(), Broken> {
        let StopCause::OverRecovery {
            exits,
            threshold,
            window,
            was_healthy,
            slot,
            child,
        } = cause
        else {
            let detail = format!("{cause:?}");
            let promise = "a stop begins only for a reason";
            return Err(Broken { promise, detail });
        };
        let [least, most] = self.count_exit();
        let left = self.has_position(slot.0).then(|| self.slot(slot.0));
        let may_promote = !slot.is_standby() && self.may_have_ready_standby();
        let is_due = left.is_some_and(|left| {
            let counts = !left.reverts;
            let [earliest, _] = self.recovery_of(left);
            let is_over = left.child.is_none() && (earliest <= self.now || may_promote);
            is_over && left.last == Some(child) && counts
        });
        let policy = &self.policy;
        let is_same = (threshold, window) == (policy.recover_threshold, policy.recover_window);
        let may_be_healthy = self.was_healthy || self.first_healthy_at <= self.now;
        let knows_health = (!self.was_healthy || was_healthy) && (!was_healthy || may_be_healthy);
        check(
            (least..=most).contains(&exits) && exits > u64::from(threshold),
            "the master stops for its exits only if they exceed the budget",
            || format!("{cause:?}, counted {least} to {most}"),
        )?;
        check(
            self.is_master_ready && is_due && is_same && knows_health,
            "a stop for too many exits names the last one, when its replacement is due",
            || format!("{cause:?}"),
        )
    }

    pub(super) fn check_child(&self, supervisor: &Supervisor, id: ChildId) -> Result<(), Broken> {
        let child = self.children.get(&id);
        let slot = child.map(|child| SlotId(child.slot));
        // A child that was given up may count as a draining one or not.
        let has_role = self.with_role(id).is_some();
        let drains = child.filter(|child| !child.is_given_up).map(|_| !has_role);
        let found = drains.map(|_| supervisor.snapshot().is_draining(id));
        check(
            supervisor.slot_of(id) == slot && drains == found,
            "the supervisor knows each child until it exits, and whether it drains",
            || format!("{id:?}: {slot:?}, drains: {drains:?}"),
        )
    }

    /// Checks what must hold whenever the supervisor has no action.
    pub(super) fn rested(&mut self, supervisor: &Supervisor) -> Result<(), Broken> {
        let is_idle = std::mem::take(&mut self.actions_in_a_row) == 0;
        let was_woken = is_idle && self.wake_at.is_some_and(|at| at <= self.now);
        let healthy = self.healthy + self.ready_standbys();
        while let Some(&Reverse((at, promise))) = self.due.peek()
            && (at <= self.now || self.is_kept(at, promise))
        {
            self.due.pop();
            if at <= self.now && !self.is_kept(at, promise) {
                self.missed(promise)?;
            }
        }
        let has_just_stopped = self.stop.is_some_and(|stop| stop.at == self.now);
        let has_just_stopped = has_just_stopped || self.delay_ended == Some(self.now);
        check(
            !was_woken || self.healthy + self.ready_standbys() > healthy || has_just_stopped,
            "something is to be done at each deadline",
            || format!("at {}", self.now),
        )?;
        let first = self.due.peek().map(|&Reverse((at, _))| at);
        let deadline = supervisor.deadline();
        let deadline = deadline.map(|at| nanos(at.saturating_duration_since(self.epoch)));
        check(
            deadline.is_none_or(|at| at > self.now),
            "the deadline is in the future once there is no action",
            || format!("{deadline:?} at {}", self.now),
        )?;
        self.wake_at = deadline;
        check(
            first.is_none() || deadline.is_some_and(|at| Some(at) <= first),
            "the deadline is not later than the next thing to do",
            || format!("{deadline:?} at {}, due: {:?}", self.now, self.due.peek()),
        )?;
        check(
            self.stop.is_none() || self.has_closed_listeners || self.accepting > 0,
            "the listeners are closed as soon as no child accepts any more",
            String::new,
        )?;
        check(
            self.is_announced || self.confirmed < self.wanted || self.stop.is_some(),
            "the master is announced as soon as the first child of each slot was started",
            String::new,
        )?;
        self.rollouts.rested(self.may_roll_out(), self.wanted)?;
        self.check_standbys()?;
        let is_healthy = self.is_master_ready && self.healthy == self.wanted;
        check(
            supervisor.is_healthy() == (is_healthy && self.stop.is_none()),
            "the fleet is healthy exactly if the child of each slot is",
            || format!("{} of {} slots", self.healthy, self.wanted),
        )?;
        check(
            supervisor.snapshot().is_announced() == (self.is_announced && self.stop.is_none()),
            "the snapshot has whether the announcement was requested",
            String::new,
        )?;
        self.check_outcome(supervisor, deadline)?;
        self.rests += 1;
        let size = (self.children.len() + self.slots.len()) as u64;
        if self.rests.is_multiple_of(16 + 8 * size) {
            self.compare(supervisor)?;
        }
        // It costs little in a small fleet.
        if self.slots.len() <= 8 || self.rests.is_multiple_of(16 + 8 * size) {
            self.compare_sockets(supervisor)?;
        }
        Ok(())
    }

    /// Whether the promise is kept, or the reason for it is gone.
    fn is_kept(&self, at: Nanos, promise: Promise) -> bool {
        let alive = |id| {
            let child: Option<&Child> = self.children.get(&id);
            child.filter(|child| child.killed.is_none() && !child.is_given_up)
        };
        let is_open = match promise {
            Promise::Fill(index, starts) => {
                let slot = self.slot(index);
                let is_wanted = self.stop.is_none() && self.has_position(index);
                is_wanted && slot.child.is_none() && slot.starts == starts
            }
            Promise::Ready(id) => self
                .with_role(id)
                .is_some_and(|child| child.must_be_ready() && child.ready_by(&self.policy) == at),
            Promise::Healthy(id) => self.with_role(id).is_some_and(|child| {
                let is_assumed = child.readiness == Readiness::Assumed;
                child.may_be_healthy() && is_assumed && child.healthy_at(&self.policy) == at
            }),
            Promise::Ask(id) => alive(id).is_some_and(Child::must_be_asked),
            Promise::Kill(id) => alive(id).is_some_and(|child| {
                let is_over = child.kill_at.is_some_and(|kill_at| kill_at <= at);
                child.started.is_some() && (child.has_violated || is_over)
            }),
            Promise::Report(id) => self.fills(id).is_some_and(|child| {
                child.main_ended.is_some() && child.killed.is_none() && !child.has_violated
            }),
            Promise::GiveUp(id) => self
                .children
                .get(&id)
                .is_some_and(|child| !child.is_given_up),
            Promise::Serve(id) => {
                let successor = self.succeeds(id);
                successor.is_some_and(|child| child.soak_until.is_none())
            }
            Promise::Unanswered(id) => {
                self.unanswered.contains(&id) && self.give_up_unanswered_at(id) == at
            }
            Promise::EndDelay => self.delay_until.is_some(),
            Promise::Replace(id) => self.succeeds(id).is_some(),
            Promise::EndRollout(number) => {
                number == self.rollouts.deadlines && self.rollouts.deadline().is_some()
            }
        };
        !is_open
    }

    /// Something was due and has not happened.
    fn missed(&mut self, promise: Promise) -> Result<(), Broken> {
        let promised = match promise {
            Promise::Fill(..) => "a slot is filled again when its delay is over",
            Promise::Ready(_) => "a child that is not ready in time is killed",
            Promise::Ask(_) => "a child that leaves its slot is asked to stop",
            Promise::Kill(_) => "a child is killed when its time is over or it broke the protocol",
            Promise::Report(_) => "a slot does not wait for a process whose `main` has ended",
            Promise::GiveUp(_) => "the supervisor does not wait for a child that cannot be killed",
            Promise::Healthy(_) => "a child that has lived for `healthy_after` is healthy",
            Promise::Serve(_) => "a successor serves as soon as it is ready",
            Promise::Unanswered(_) => "no stop waits for a start that is not answered",
            Promise::Replace(_) => "a successor that has soaked replaces the child of its slot",
            Promise::EndDelay => "a stop is delayed for `drain_delay` at most",
            Promise::EndRollout(_) => "a rollout and a roll-back end within `rollout_timeout`",
        };
        check(false, promised, || format!("{promise:?} at {}", self.now))
    }

    fn check_outcome(
        &mut self,
        supervisor: &Supervisor,
        deadline: Option<Nanos>,
    ) -> Result<(), Broken> {
        let Some(outcome) = supervisor.outcome() else {
            return check(
                self.stop.is_none() || self.awaited > 0,
                "a stop ends when no child is left to wait for",
                String::new,
            );
        };
        if self.outcome.is_some() {
            return Ok(());
        }
        check(
            self.rollouts.is_idle(),
            "each rollout that began gets one verdict",
            String::new,
        )?;
        let mut left: Vec<_> = self.children.keys().copied().collect();
        left.sort_unstable();
        check(
            self.awaited == 0 && self.has_closed_listeners && deadline.is_none(),
            "the outcome is set when no child is left and the listeners are closed",
            || format!("{} children are left", self.awaited),
        )?;
        check(
            outcome.unkillable == left,
            "the outcome names the children that could not be killed",
            || format!("{:?} instead of {left:?}", outcome.unkillable),
        )?;
        self.outcome = Some(outcome.clone());
        Ok(())
    }

    /// Compares which children hold the sockets of each slot with which should.
    fn compare_sockets(&mut self, supervisor: &Supervisor) -> Result<(), Broken> {
        let is_draining = self.stop.is_some() && self.delay_until.is_none();
        let width = self.policy.ring_width;
        if is_draining || width == 0 {
            return Ok(());
        }
        self.forget_sockets();
        let is_complete = supervisor.fleet().ring.is_complete();
        check(
            is_complete || !supervisor.is_healthy(),
            "the ring is complete once each slot serves",
            String::new,
        )?;
        let checked = self
            .sockets
            .check_rested(&self.serving(), width, is_complete);
        checked.map_err(|promise| Broken {
            promise,
            detail: format!("at {}", self.now),
        })
    }

    /// Compares everything that the supervisor knows with what happened.
    fn compare(&self, supervisor: &Supervisor) -> Result<(), Broken> {
        assert_rested(supervisor, self.epoch + Duration::from_nanos(self.now));
        for &id in self.children.keys() {
            self.check_child(supervisor, id)?;
        }
        let known: BTreeSet<_> = self.children.keys().copied().collect();
        check(
            supervisor.children().into_iter().eq(known),
            "the supervisor forgets each child that has exited",
            String::new,
        )?;
        let successors = supervisor.fleet().successors().into_iter();
        let successors: BTreeSet<_> = successors.map(|(child, slot, _)| (slot.0, child)).collect();
        check(
            self.rollouts
                .successors
                .iter()
                .map(|(&slot, &child)| (slot, child))
                .eq(successors),
            "the supervisor knows each successor",
            String::new,
        )?;
        let last = |index: usize| match (self.stop, self.delay_until) {
            (None, _) => self.slots[index].last,
            (Some(_), Some(_)) => self.slots[index].child,
            (Some(_), None) => None,
        };
        let slots = (0..self.wanted).map(|index| (SlotId(index), last(index)));
        check(
            supervisor.snapshot().slots().eq(slots),
            "the snapshot has each slot with its last child",
            String::new,
        )?;
        let most = u64::from(self.policy.recover_threshold) + u64::from(self.stop.is_some());
        check(
            supervisor.exits_counted() <= most,
            "the recovery budget is never exceeded without a stop",
            || format!("{} exits", supervisor.exits_counted()),
        )
    }
}
