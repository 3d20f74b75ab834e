//! The facts about standbys, and the promises about them.

use super::{Process, SlotFacts, World, ensure};
use crate::explore::Broken;
use crate::supervisor::{ChildId, Policy, SlotId};

impl World {
    /// The facts about a slot, or about the position of a standby.
    pub(super) fn position(&self, slot: usize) -> Option<&SlotFacts> {
        match SlotId(slot).standby_number() {
            None => self.slots.get(slot),
            Some(number) => self.standbys.get(number),
        }
    }

    /// As above, of a slot that exists.
    pub(super) fn position_mut(&mut self, slot: usize) -> &mut SlotFacts {
        match SlotId(slot).standby_number() {
            None => &mut self.slots[slot],
            Some(number) => &mut self.standbys[number],
        }
    }

    /// Whether the master is ready, no stop has begun and each slot serves.
    pub(super) fn is_fleet_healthy(&self) -> bool {
        let serves = |slot| {
            let mut processes = self.processes.iter();
            processes.any(|process| process.slot == slot && process.serves())
        };
        let all_serve = (0..self.slots.len()).all(serves);
        self.is_master_ready() && self.stop.is_none() && all_serve
    }

    pub(super) fn has_ready_standby(&self) -> bool {
        let mut processes = self.processes.iter();
        processes.any(|process| process.is_standby() && process.serves())
    }

    /// Records whether the supervisor wants standbys from now on.
    ///
    /// `was_healthy`: whether each slot served when it was asked.
    pub(super) fn note_standbys(
        &mut self,
        was_healthy: bool,
        policy: &Policy,
    ) -> Result<(), Broken> {
        let standbys = self.supervisor.fleet().standby_ids().len();
        if self.standbys.is_empty() && standbys > 0 {
            ensure(
                was_healthy,
                "no standby is started before each slot has served",
            )?;
            let due = SlotFacts {
                replace_at: Some(self.now),
                ..SlotFacts::new()
            };
            self.standbys.resize(standbys, due);
        }
        ensure(
            !was_healthy || standbys == policy.standbys,
            "standbys are started as soon as each slot serves",
        )
    }

    pub(super) fn promote(
        &mut self,
        slot: SlotId,
        child: ChildId,
        previous: ChildId,
        policy: &Policy,
    ) -> Result<(), Broken> {
        ensure(
            self.stop.is_none() && self.is_master_ready(),
            "no standby is promoted before the master is ready, or in a stop",
        )?;
        let fills = |process: &Process| process.slot == slot.0 && process.fills_slot;
        ensure(
            !self.processes.iter().any(fills),
            "a standby is promoted to an empty slot",
        )?;
        let mut processes = self.processes.iter();
        ensure(
            processes.all(|process| process.id != previous || process.slot == slot.0),
            "a standby replaces the last child of the slot",
        )?;
        let facts = *self.position(slot.0).ok_or("the slot exists")?;
        ensure(
            facts.was_requested && facts.replace_at.is_some(),
            "a standby is promoted to a slot whose child has left unexpectedly",
        )?;
        if facts.program == self.rollouts.accepted {
            self.count_exit(policy)?;
        }
        let (now, accepted) = (self.now, self.rollouts.accepted);
        let process = self.process(child).ok_or("promoted after its exit")?;
        if process.is_healthy_by_time(now) {
            process.become_healthy();
        }
        ensure(
            process.is_standby() && process.serves() && process.program == accepted,
            "only a standby of the accepted program that is ready is promoted",
        )?;
        let standby = std::mem::replace(&mut process.slot, slot.0);
        let next = self.now + policy.recover_interval.max(policy.standby_pause);
        *self.position_mut(standby) = SlotFacts {
            replace_at: Some(next),
            ..SlotFacts::new()
        };
        let facts = self.position_mut(slot.0);
        facts.program = accepted;
        facts.replace_at = None;
        Ok(())
    }

    /// A rollout was accepted: the standbys leave.
    pub(super) fn note_standbys_leave(&mut self, policy: &Policy) {
        let now = self.now;
        let fills = |process: &&Process| process.is_standby() && process.fills_slot;
        let filled: Vec<_> = self.processes.iter().filter(fills).collect();
        let filled: Vec<_> = filled.iter().map(|process| process.slot).collect();
        for process in &mut self.processes {
            if process.is_standby() && process.fills_slot {
                process.leave(now, policy);
            } else if filled.contains(&process.slot) {
                // A younger child of the position begins to drain.
                process.has_no_time(now);
            }
        }
        for facts in &mut self.standbys {
            *facts = SlotFacts {
                replace_at: Some(now),
                ..SlotFacts::new()
            };
        }
    }

    /// Checks what holds when the supervisor has nothing to do at this moment.
    pub(super) fn check_standbys_rested(&self) -> Result<(), Broken> {
        for number in 0..self.standbys.len() {
            self.check_slot(SlotId::standby(number).0)?;
        }
        let mut fills = self.processes.iter().filter(|process| process.fills_slot);
        let accepted = self.rollouts.accepted;
        ensure(
            fills.all(|process| !process.is_standby() || process.program == accepted),
            "a standby runs the accepted program",
        )?;
        let waits = |slot: &SlotFacts| slot.was_requested && slot.replace_at.is_some();
        let waits = self.is_master_ready() && self.slots.iter().any(waits);
        ensure(
            !waits || !self.has_ready_standby(),
            "a slot does not wait for a replacement while a standby is ready",
        )
    }
}

impl Process {
    pub(super) fn is_standby(&self) -> bool {
        SlotId(self.slot).is_standby()
    }
}
