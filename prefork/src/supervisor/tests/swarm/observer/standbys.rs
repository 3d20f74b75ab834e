//! The promises about standbys.

use super::super::super::super::{ChildId, Readiness, SlotId, Supervisor};
use super::super::broken::{Broken, check};
use super::super::plan::{Nanos, nanos};
use super::{Child, Observer, Promise, Slot};

impl Observer {
    /// The slot with this number, or the position of a standby.
    pub(super) fn slot(&self, index: usize) -> &Slot {
        match SlotId(index).standby_number() {
            None => &self.slots[index],
            Some(number) => &self.standbys[number],
        }
    }

    pub(super) fn slot_mut(&mut self, index: usize) -> &mut Slot {
        match SlotId(index).standby_number() {
            None => &mut self.slots[index],
            Some(number) => &mut self.standbys[number],
        }
    }

    pub(super) fn standby_ids(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.standbys.len()).map(|number| SlotId::standby(number).0)
    }

    pub(super) fn has_position(&self, index: usize) -> bool {
        match SlotId(index).standby_number() {
            None => index < self.wanted,
            Some(number) => number < self.standbys.len(),
        }
    }

    /// How many standbys are ready.
    pub(super) fn ready_standbys(&self) -> usize {
        let standbys = self.standbys.iter().filter_map(|slot| slot.child);
        standbys.filter(|id| self.children[id].is_ready()).count()
    }

    /// Whether the child is healthy, or time may have made it so.
    fn may_be_ready(&self, child: &Child) -> bool {
        let is_due = child.healthy_at(&self.policy) <= self.now;
        let by_time = child.may_be_healthy() && child.readiness == Readiness::Assumed && is_due;
        child.is_ready() || by_time
    }

    /// As `ready_standbys`, if only the supervisor knows whether time has made one ready.
    pub(super) fn may_have_ready_standby(&self) -> bool {
        let mut standbys = self.standbys.iter().filter_map(|slot| slot.child);
        standbys.any(|id| self.may_be_ready(&self.children[&id]))
    }

    /// Whether the supervisor wants standbys from now on.
    pub(super) fn expect_standbys(&mut self, supervisor: &Supervisor) -> Result<(), Broken> {
        let wanted = supervisor.fleet().standby_ids().len();
        if !self.standbys.is_empty() || wanted == 0 {
            return Ok(());
        }
        let serves = |slot: &Slot| {
            let child = slot.child.map(|id| &self.children[&id]);
            child.is_some_and(|child| self.may_be_ready(child))
        };
        check(
            self.may_roll_out() && self.slots[..self.wanted].iter().all(serves),
            "no standby is started before each slot has served",
            || format!("{} of {} slots", self.healthy, self.wanted),
        )?;
        self.standbys.resize(wanted, Slot::default());
        for index in self.standby_ids() {
            self.expect_standby(index, self.now);
        }
        Ok(())
    }

    /// The next standby of this position is due at this time.
    fn expect_standby(&mut self, index: usize, at: Nanos) {
        let slot = self.slot_mut(index);
        (slot.child, slot.last) = (None, None);
        (slot.left, slot.failures) = (at, 0);
        let starts = slot.starts;
        self.promise(at, Promise::Fill(index, starts));
    }

    pub(super) fn check_promotion(
        &mut self,
        supervisor: &Supervisor,
        slot: SlotId,
        id: ChildId,
        previous: ChildId,
    ) -> Result<(), Broken> {
        let detail = || format!("{id:?} in {slot:?} for {previous:?}");
        let child = self.fills(id);
        let is_ready = child.is_some_and(|child| child.is_standby() && self.may_be_ready(child));
        let program = child.map(|child| child.program);
        check(
            is_ready && program == Some(self.rollouts.accepted),
            "only a standby of the accepted program that is ready is promoted",
            detail,
        )?;
        check(
            self.waiting.contains(&slot.0) && self.slots[slot.0].last == Some(previous),
            "a standby is promoted to a slot whose child has left unexpectedly",
            detail,
        )?;
        self.check_count(supervisor, slot.0)?;
        let child = self.child(id)?;
        let standby = std::mem::replace(&mut child.slot, slot.0);
        child.is_healthy = true;
        self.fill(slot.0, id);
        self.healthy += 1;
        self.slots[slot.0].failures = 0;
        let pause = self.interval().max(nanos(self.policy.standby_pause));
        self.expect_standby(standby, self.now.saturating_add(pause));
        Ok(())
    }

    /// A rollout was accepted: the standbys drain, and those of the new program are started.
    pub(super) fn renew_standbys(&mut self) {
        for index in self.standby_ids() {
            for older in self.end_older_if_filled(index) {
                self.cut_grace(older, self.now);
            }
            self.retire(index, self.now);
            self.expect_standby(index, self.now);
        }
    }

    /// Checks what must hold whenever the supervisor has no action.
    pub(super) fn check_standbys(&self) -> Result<(), Broken> {
        let is_healthy = self.may_roll_out() && self.healthy == self.wanted;
        check(
            !is_healthy || self.standbys.len() == self.policy.standbys,
            "standbys are started as soon as each slot serves",
            || format!("{} standbys", self.standbys.len()),
        )?;
        check(
            self.waiting.is_empty() || self.ready_standbys() == 0,
            "a slot does not wait for a replacement while a standby is ready",
            || format!("{:?}", self.waiting),
        )
    }
}
