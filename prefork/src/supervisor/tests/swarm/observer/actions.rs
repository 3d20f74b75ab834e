//! The promises about each action.

use std::time::Instant;

use super::super::super::super::{
    Action, ChildId, Gate, KillReason, ProgramId, Readiness, RefusalStage, SlotId, Supervisor,
    Verdict, Window,
};
use super::super::broken::{Broken, check};
use super::super::plan::{Nanos, nanos};
use super::{Child, Observer, Promise};

impl Observer {
    pub(super) fn check_action(
        &mut self,
        supervisor: &Supervisor,
        action: Action,
    ) -> Result<(), Broken> {
        match action {
            Action::Start {
                slot,
                child,
                program,
                previous,
                gate,
            } => {
                self.check_new(slot, child)?;
                match gate {
                    Gate::Closed if slot.is_standby() => {
                        self.check_start(supervisor, slot, child, previous)?;
                    }
                    Gate::Open => self.check_start(supervisor, slot, child, previous)?,
                    Gate::Closed => self.check_successor(slot, child, program, previous)?,
                }
                check(
                    gate == Gate::Closed && !slot.is_standby()
                        || program == self.rollouts.accepted
                            && (gate == Gate::Open) != slot.is_standby(),
                    "a slot is filled with the program of the last rollout that was accepted",
                    || format!("{child:?} in {slot:?}: {program:?}"),
                )?;
                self.add(slot.0, child, program);
                Ok(())
            }
            Action::ReportHealthy { child } => self.check_healthy(child),
            Action::AnnounceMasterReady => {
                let all_started = self.confirmed == self.wanted && self.stop.is_none();
                check(
                    all_started && !std::mem::replace(&mut self.is_announced, true),
                    "the master is announced once, when the first child of each slot was started",
                    || format!("{} of {} slots", self.confirmed, self.wanted),
                )
            }
            Action::Terminate { child: id, kill_at } => {
                let kill_at = nanos(kill_at.saturating_duration_since(self.epoch));
                let now = self.now;
                check(
                    kill_at > now,
                    "a child that has no time left is killed without a request",
                    || format!("{id:?}, kill at {kill_at}"),
                )?;
                let child = self.child(id)?;
                let may_ask = child.must_be_asked() && child.kill_at == Some(kill_at);
                child.is_asked = true;
                check(
                    may_ask,
                    "a child is asked once to stop, when it leaves its slot, with its time",
                    || format!("{id:?}, kill at {kill_at}"),
                )
            }
            Action::Kill { child, reason } => self.check_kill(child, reason),
            Action::GiveUp { child: id } => {
                let (now, timeout) = (self.now, nanos(self.policy.kill_timeout));
                let child = self.child(id)?;
                let is_over = child.killed.is_some_and(|at| at + timeout <= now);
                let (was_given_up, was_accepting) = (child.is_given_up, child.accepts());
                child.is_given_up = true;
                check(
                    is_over && !was_given_up,
                    "a child is given up once, `kill_timeout` after its kill",
                    || format!("{id:?}"),
                )?;
                self.accepting -= usize::from(was_accepting);
                self.awaited -= 1;
                self.leave(id, now);
                Ok(())
            }
            Action::ReportRunning { child, kill_at } => self.check_report(child, kill_at),
            Action::Promote {
                slot,
                child,
                previous,
            } => self.check_promotion(supervisor, slot, child, previous),
            Action::Adopt { .. } | Action::Release { .. } => self.check_sockets_of(action),
            Action::OpenProgram => {
                self.rollouts.check_open(self.may_roll_out())?;
                self.rollouts.began(self.now);
                Ok(())
            }
            Action::Serve { child } => self.check_serve(child),
            Action::ReportReplaced {
                slot,
                child,
                previous,
            } => self.check_replaced(slot, child, previous),
            Action::ReportVerdict(verdict) => self.check_verdict(verdict),
            Action::CloseListeners => {
                let may_close = self.stop.is_some() && self.accepting == 0;
                check(
                    may_close && !std::mem::replace(&mut self.has_closed_listeners, true),
                    "the listeners are closed once, in a stop, when no child accepts any more",
                    || format!("{} children accept", self.accepting),
                )
            }
        }
    }

    fn check_sockets_of(&mut self, action: Action) -> Result<(), Broken> {
        check(
            self.stop.is_none() || self.delay_until.is_some(),
            "no socket is passed once all children drain",
            || format!("{action:?}"),
        )?;
        let (children, slots) = (&self.children, &self.slots[..self.wanted]);
        let slot_of = |id| {
            let child = children.get(&id).filter(|child| child.is_ready())?;
            let is_in_slot = slots.get(child.slot)?.child == Some(id);
            is_in_slot.then_some(child.slot)
        };
        let performed = self.sockets.perform(action, slots.len(), slot_of);
        performed.map_err(|promise| Broken {
            promise,
            detail: format!("{action:?}"),
        })
    }

    /// Children that have left their slots close the sockets of other slots.
    pub(super) fn forget_sockets(&mut self) {
        let (children, slots) = (&self.children, &self.slots);
        let fills = |id: ChildId| {
            let slot = children.get(&id).map(|child| child.slot);
            slot.is_some_and(|slot| slots.get(slot).is_some_and(|slot| slot.child == Some(id)))
        };
        let exists = |id: ChildId| children.contains_key(&id);
        self.sockets.retain(fills, exists);
    }

    pub(super) fn child(&mut self, id: ChildId) -> Result<&mut Child, Broken> {
        self.children.get_mut(&id).ok_or_else(|| Broken {
            promise: "no action is about a child that is unknown or has exited",
            detail: format!("{id:?}"),
        })
    }

    pub(super) fn may_roll_out(&self) -> bool {
        self.is_master_ready && self.stop.is_none()
    }

    fn check_successor(
        &mut self,
        slot: SlotId,
        id: ChildId,
        program: ProgramId,
        previous: Option<ChildId>,
    ) -> Result<(), Broken> {
        check(
            previous.is_none() && !self.rollouts.successors.contains_key(&slot.0),
            "a slot has at most one successor, which replaces no child that has exited",
            || format!("{id:?} in {slot:?}: {previous:?}"),
        )?;
        self.rollouts.check_start(slot.0, id, program, self.wanted)
    }

    fn check_healthy(&mut self, id: ChildId) -> Result<(), Broken> {
        let is_due = self.with_role(id).is_some_and(|child| {
            let is_assumed = child.readiness == Readiness::Assumed;
            let is_old = child.healthy_at(&self.policy) <= self.now;
            child.may_be_healthy() && is_assumed && is_old
        });
        check(
            is_due,
            "a child is reported once it has lived for `healthy_after`, if it cannot report",
            || format!("{id:?}"),
        )?;
        self.become_healthy(id);
        Ok(())
    }

    fn check_serve(&mut self, id: ChildId) -> Result<(), Broken> {
        let soak_until = self.now.saturating_add(self.rollouts.soak());
        let succeeds = self.succeeds(id).is_some();
        let child = self.child(id)?;
        let may_serve = child.started.is_some() && child.serves() && child.soak_until.is_none();
        child.soak_until = Some(soak_until);
        check(
            succeeds && child.is_healthy && may_serve,
            "the gate of a successor is opened once, when it is ready",
            || format!("{id:?}"),
        )?;
        self.promise(soak_until, Promise::Replace(id));
        Ok(())
    }

    fn check_replaced(
        &mut self,
        slot: SlotId,
        id: ChildId,
        previous: Option<ChildId>,
    ) -> Result<(), Broken> {
        let now = self.now;
        let has_soaked = self
            .succeeds(id)
            .filter(|child| SlotId(child.slot) == slot)
            .and_then(|child| child.soak_until)
            .is_some_and(|until| until <= now);
        check(
            has_soaked,
            "a successor replaces a child when it has served as long as it must",
            || format!("{id:?} in {slot:?}"),
        )?;
        check(
            previous == self.slots[slot.0].child,
            "a successor replaces the child that fills its slot",
            || format!("{id:?} in {slot:?}: {previous:?}"),
        )?;
        for older in self.end_older_if_filled(slot.0) {
            self.cut_grace(older, now);
        }
        self.retire(slot.0, now);
        self.rollouts.replaced(slot.0);
        self.fill(slot.0, id);
        self.slots[slot.0].failures = 0;
        self.healthy += 1;
        self.was_healthy = true;
        Ok(())
    }

    fn check_verdict(&mut self, verdict: Verdict) -> Result<(), Broken> {
        let programs = self.programs();
        check(
            !matches!(verdict, Verdict::Accepted { .. })
                || self.healthy + self.unready == self.wanted,
            "a program is accepted only if its child serves in each slot",
            || format!("{} of {} slots", self.healthy, self.wanted),
        )?;
        self.rollouts.check_verdict(verdict, &programs)?;
        if let Verdict::Accepted { .. } = verdict {
            self.renew_standbys();
        }
        Ok(())
    }

    /// Checks what holds for each child that is started.
    fn check_new(&mut self, slot: SlotId, id: ChildId) -> Result<(), Broken> {
        let detail = || format!("{id:?} in {slot:?}");
        check(self.stop.is_none(), "no child is started in a stop", detail)?;
        check(
            self.has_position(slot.0),
            "no child is started in a removed slot",
            detail,
        )?;
        check(
            id.0 > self.last_id,
            "the id of a child is never used again",
            detail,
        )?;
        self.last_id = id.0;
        Ok(())
    }

    fn check_start(
        &mut self,
        supervisor: &Supervisor,
        slot: SlotId,
        id: ChildId,
        previous: Option<ChildId>,
    ) -> Result<(), Broken> {
        let detail = || format!("{id:?} in {slot:?}");
        let index = slot.0;
        let (last, left) = (self.slot(index).last, self.slot(index).left);
        check(
            self.slot(index).child.is_none(),
            "a slot never has two children",
            detail,
        )?;
        check(
            !self.slot(index).is_off,
            "a standby that the master rejects is not started again before another rollout",
            detail,
        )?;
        check(
            previous == last,
            "a child replaces the last one of its slot",
            detail,
        )?;
        check(
            last.is_some() || !slot.is_standby() || self.now >= left,
            "after a promotion, the next standby is started after `recover_interval` and a pause",
            || format!("{} at {}, not before {left}", detail(), self.now),
        )?;
        if last.is_some() {
            check(
                slot.is_standby() || self.ready_standbys() == 0,
                "a slot is filled by a standby if one is ready",
                detail,
            )?;
            check(
                self.is_master_ready,
                "no child is replaced before the master is ready",
                detail,
            )?;
            let [earliest, _] = self.recovery_of(self.slot(index));
            check(
                self.now >= earliest,
                "no child is replaced before `recover_interval` and its back-off have passed",
                || format!("{} at {}, not before {earliest}", detail(), self.now),
            )?;
        }
        self.check_count(supervisor, index)?;
        self.fill(index, id);
        Ok(())
    }

    /// The exit of the last child of this slot counts now, if it was not that of a bad program.
    pub(super) fn check_count(
        &mut self,
        supervisor: &Supervisor,
        index: usize,
    ) -> Result<(), Broken> {
        let slot = self.slot(index);
        if slot.last.is_some() && !slot.reverts {
            let exits = self.count_exit();
            let counted = supervisor.exits_counted();
            check(
                (exits[0]..=exits[1]).contains(&counted),
                "each exit counts, until it is as old as `recover_window`",
                || format!("{counted} instead of {exits:?}"),
            )?;
            check(
                exits[0] <= u64::from(self.policy.recover_threshold),
                "no more exits are replaced than the budget allows",
                || format!("{exits:?}"),
            )?;
        }
        Ok(())
    }

    /// The child fills the slot from now on.
    pub(super) fn fill(&mut self, index: usize, id: ChildId) {
        self.waiting.remove(&index);
        let slot = self.slot_mut(index);
        slot.starts += 1;
        (slot.child, slot.last) = (Some(id), Some(id));
    }

    fn add(&mut self, index: usize, id: ChildId, program: ProgramId) {
        self.accepting += 1;
        self.awaited += 1;
        let child = Child {
            slot: index,
            program,
            readiness: Readiness::Notified,
            started: None,
            is_healthy: false,
            is_unready: false,
            has_violated: false,
            has_closed: false,
            main_ended: None,
            is_asked: false,
            killed: None,
            is_given_up: false,
            kill_at: None,
            soak_until: None,
        };
        self.children.insert(id, child);
    }

    /// Counts an exit, and returns the smallest and the largest number of exits that may count.
    ///
    /// They differ as long as only the supervisor knows whether a child was healthy.
    pub(super) fn count_exit(&mut self) -> [u64; 2] {
        let now = self.now;
        let Window::Sliding(window) = self.policy.recover_window else {
            self.exits_forever += 1;
            return [self.exits_forever; 2];
        };
        let window = nanos(window);
        let is_old = |at: &Nanos| now.saturating_sub(*at) >= window;
        if self.was_healthy {
            while self.exits.front().is_some_and(is_old) {
                self.exits.pop_front();
            }
        }
        self.exits.push_back(now);
        let all = self.exits.len() as u64;
        if self.first_healthy_at <= now {
            let old = self.exits.iter().take_while(|at| is_old(at)).count() as u64;
            return [all - old, all];
        }
        [all; 2]
    }

    fn check_kill(&mut self, id: ChildId, reason: KillReason) -> Result<(), Broken> {
        let (now, has_role) = (self.now, self.with_role(id).is_some());
        let succeeds = self.succeeds(id).is_some();
        let policy = self.policy.clone();
        let child = self.child(id)?;
        let slot = SlotId(child.slot);
        let is_due = match reason {
            KillReason::NotReady => {
                has_role && child.must_be_ready() && child.ready_by(&policy) <= now
            }
            KillReason::Violation => child.has_violated,
            KillReason::OutOfTime => {
                !child.has_violated && child.kill_at.is_some_and(|at| at <= now)
            }
        };
        let is_alive = child.started.is_some() && child.killed.is_none();
        child.killed = Some(now);
        check(
            is_due && is_alive,
            "a child is killed once, and only for its reason",
            || format!("{id:?}: {reason:?}"),
        )?;
        if succeeds {
            self.drain_successor(id, now);
            self.refuse(RefusalStage::Ready, Some((slot, id)), now);
        }
        let give_up_at = now.saturating_add(nanos(policy.kill_timeout));
        self.promise(give_up_at, Promise::GiveUp(id));
        Ok(())
    }

    fn check_report(&mut self, id: ChildId, kill_at: Instant) -> Result<(), Broken> {
        let (now, fills) = (self.now, self.fills(id).is_some());
        let kill_at = nanos(kill_at.saturating_duration_since(self.epoch));
        let grace = nanos(self.policy.shutdown_grace_period);
        let wait = nanos(self.policy.exit_timeout).min(grace);
        let child = self.child(id)?;
        let is_due = child.main_ended.is_some_and(|ended| {
            ended.saturating_add(wait) <= now && kill_at == ended.saturating_add(grace)
        });
        let is_alive = child.killed.is_none() && !child.has_violated;
        child.kill_at = Some(kill_at);
        let slot = child.slot;
        check(
            fills && is_due && is_alive,
            "a process leaves its slot if it still runs `exit_timeout` after the end of `main`",
            || format!("{id:?}, kill at {kill_at}"),
        )?;
        for older in self.end_older_if_filled(slot) {
            self.cut_grace(older, now);
        }
        self.promise(kill_at, Promise::Kill(id));
        self.leave(id, now);
        Ok(())
    }
}
