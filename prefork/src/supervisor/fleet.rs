//! The slots, the children and the index of their deadlines.
//!
//! The fleet decides nothing. Only its methods change a state, so the index cannot miss a deadline.

use std::collections::BTreeSet;
use std::time::Instant;

use super::children::{Child, ChildLocation, ChildTable};
use super::draining::DrainState;
use super::ring::Ring;
use super::schedule::{DeadlineKey, Schedule};
use super::slot::{Health, SlotState};
use super::successor::Successor;
use super::{ChildId, ProgramId, SlotId};
#[cfg(test)]
use super::{NormalForm, Policy, rollout::Rollouts};

/// All slots and all children.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    slots: Vec<Slot>,
    /// The positions of the standbys. Empty until all slots were healthy for the first time.
    standbys: Vec<Slot>,
    /// The slots that wait for a replacement.
    waiting: BTreeSet<SlotId>,
    /// How many slots have a healthy child.
    serving: usize,
    children: ChildTable,
    schedule: Schedule,
    /// Which children accept from the sockets of other slots.
    pub(super) ring: Ring,
}

/// A slot, with what it keeps from one child to the next.
///
/// In a large fleet an event costs the memory that it touches: here, one line of the cache.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Slot {
    state: SlotState,
    /// The program of its child, or of the last one.
    program: ProgramId,
    /// How many children in a row exited before they were healthy.
    failures: u32,
}

impl Slot {
    const RETIRED: Self = Self {
        state: SlotState::Retired,
        program: ProgramId::OWN,
        failures: 0,
    };
}

impl Fleet {
    /// Creates a fleet of slots. The start of the first child of each is due.
    pub(super) fn new(slots: usize, ring: Ring, now: Instant) -> Self {
        let mut fleet = Self {
            slots: Vec::new(),
            standbys: Vec::new(),
            waiting: BTreeSet::new(),
            serving: 0,
            children: ChildTable::new(),
            schedule: Schedule::default(),
            ring,
        };
        fleet.resize(slots, now);
        fleet
    }

    /// Adds or removes slots. The start of the first child of each new slot is due.
    ///
    /// The caller has retired the slots that are removed. Their children drain without them.
    pub(super) fn resize(&mut self, slots: usize, now: Instant) {
        self.ring.resize(slots);
        self.slots.truncate(slots);
        self.reserve(slots + self.standbys.len());
        self.slots.reserve_exact(slots - self.slots.len());
        for slot in self.slots.len()..slots {
            self.slots.push(Slot::RETIRED);
            self.set_slot(SlotId(slot), SlotState::Unstarted { since: now });
        }
    }

    /// Adds the positions of the standbys, if there are none. The start of each standby is due.
    pub(super) fn add_standbys(&mut self, standbys: usize, now: Instant) {
        if self.standbys.len() < standbys {
            self.reserve(self.slots.len() + standbys);
            self.standbys.resize(standbys, Slot::RETIRED);
            for standby in self.standby_ids() {
                self.set_slot(standby, SlotState::Unstarted { since: now });
            }
        }
    }

    fn reserve(&mut self, positions: usize) {
        let slots = self.slots.iter().enumerate();
        let slots = slots.map(|(number, slot)| (SlotId(number), slot));
        let standbys = self.standbys.iter().enumerate();
        let standbys = standbys.map(|(number, slot)| (SlotId::standby(number), slot));
        let filling = slots.chain(standbys);
        let filling = filling.filter_map(|(id, slot)| Some((slot.state.child()?, id)));
        self.children.reserve(positions, filling);
    }

    pub(super) fn standby_ids(&self) -> impl ExactSizeIterator<Item = SlotId> + use<> {
        (0..self.standbys.len()).map(SlotId::standby)
    }

    fn position(&self, slot: SlotId) -> Option<&Slot> {
        match slot.standby_number() {
            None => self.slots.get(slot.0),
            Some(number) => self.standbys.get(number),
        }
    }

    /// The caller knows that it exists.
    fn position_mut(&mut self, slot: SlotId) -> &mut Slot {
        match slot.standby_number() {
            None => &mut self.slots[slot.0],
            Some(number) => &mut self.standbys[number],
        }
    }

    pub(super) fn slot_ids(&self) -> impl ExactSizeIterator<Item = SlotId> + use<> {
        (0..self.slots.len()).map(SlotId)
    }

    /// Returns the state of this slot. A slot that does not exist is retired.
    pub(super) fn slot(&self, slot: SlotId) -> SlotState {
        self.position(slot)
            .map_or(SlotState::Retired, |slot| slot.state)
    }

    pub(super) fn child(&self, child: ChildId) -> Option<Child> {
        match self.children.filled_by(child) {
            Some(slot) if self.slot(slot).child() == Some(child) => Some(Child {
                slot,
                location: ChildLocation::Slot,
            }),
            // The entry is that of another child.
            Some(_) | None => self.children.other(child),
        }
    }

    /// Returns the ids of all children in ascending order.
    pub(super) fn child_ids(&self) -> Vec<ChildId> {
        let positions = self.slots.iter().chain(&self.standbys);
        let filling = positions.filter_map(|slot| slot.state.child());
        let mut ids: Vec<_> = filling.chain(self.children.other_ids()).collect();
        ids.sort_unstable();
        ids
    }

    /// Returns the draining children, each with its slot and its state, in any order.
    ///
    /// They are few unless the master stops.
    pub(super) fn draining(&self) -> Vec<(ChildId, SlotId, DrainState)> {
        self.children.draining()
    }

    /// Whether a child may still accept connections.
    pub(super) fn has_accepting(&self) -> bool {
        self.children.has_accepting()
    }

    /// Whether the supervisor waits for the exit of a child.
    pub(super) fn has_awaited(&self) -> bool {
        self.children.has_awaited()
    }

    /// Returns the slot or child with the earliest deadline, if it has passed.
    ///
    /// A slot that waits for a replacement is due before its deadline if a standby is ready.
    pub(super) fn due(&self, now: Instant) -> Option<DeadlineKey> {
        let waiting = self.waiting.first();
        let waiting = waiting.filter(|_| self.ready_standby().is_some());
        waiting
            .map(|&slot| DeadlineKey::Slot(slot))
            .or_else(|| self.schedule.due(now))
    }

    /// Returns the position of the first standby that is ready.
    pub(super) fn ready_standby(&self) -> Option<SlotId> {
        let is_ready = |slot: &Slot| slot.state.is_serving();
        let number = self.standbys.iter().position(is_ready)?;
        Some(SlotId::standby(number))
    }

    /// The child of this standby fills this slot now. The caller then sets the state of the
    /// position that it has left.
    pub(super) fn promote(&mut self, standby: SlotId, slot: SlotId) {
        let position = self.position_mut(standby);
        position.failures = 0;
        let promoted = position.clone();
        if let Some(child) = promoted.state.child() {
            self.children.promote(child, slot);
        }
        let position = self.position_mut(slot);
        position.program = promoted.program;
        position.failures = 0;
        self.set_slot(slot, promoted.state);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.schedule.next()
    }

    pub(super) fn set_slot(&mut self, slot: SlotId, state: SlotState) {
        let old = std::mem::replace(&mut self.position_mut(slot).state, state);
        if !slot.is_standby() {
            self.serving -= usize::from(old.is_serving());
            self.serving += usize::from(state.is_serving());
            let serving = state.child().filter(|_| state.is_serving());
            self.ring.set_serving(slot, serving);
            if state.awaits_replacement() {
                self.waiting.insert(slot);
            } else if old.awaits_replacement() {
                self.waiting.remove(&slot);
            }
        }
        self.schedule
            .update(DeadlineKey::Slot(slot), old.deadline(), state.deadline());
    }

    /// Whether the child of each slot is healthy.
    pub(super) fn is_healthy(&self) -> bool {
        self.serving == self.slots.len()
    }

    /// Adds a new child to this slot. The caller returns its `Action::Start`.
    pub(super) fn request_start(&mut self, slot: SlotId, program: ProgramId) -> ChildId {
        let child = self.children.insert(slot, |_| ChildLocation::Slot);
        self.position_mut(slot).program = program;
        self.set_slot(slot, SlotState::SpawnRequested { child });
        child
    }

    /// The program of the child of this slot, or of the last one.
    pub(super) fn program(&self, slot: SlotId) -> Option<ProgramId> {
        self.position(slot).map(|slot| slot.program)
    }

    /// How many slots have a child that runs another program than this one.
    pub(super) fn count_others(&self, program: ProgramId) -> usize {
        let is_other = |slot: &&Slot| slot.state.child().is_some() && slot.program != program;
        self.slots.iter().filter(is_other).count()
    }

    /// Adds a successor of this slot. The caller returns its `Action::Start`.
    pub(super) fn request_successor(&mut self, slot: SlotId, program: ProgramId) -> ChildId {
        self.children.insert(slot, |child| {
            ChildLocation::Successor(Successor::requested(child, program))
        })
    }

    /// Returns the successors, each with its slot, in ascending order.
    pub(super) fn successors(&self) -> Vec<(ChildId, SlotId, Successor)> {
        self.children.successors()
    }

    pub(super) fn set_successor(&mut self, id: ChildId, successor: Successor) {
        if let Some(child) = self.child(id) {
            self.children.set_successor(id, child, successor);
            let old = child.location.deadline();
            self.schedule
                .update(DeadlineKey::Child(id), old, successor.deadline());
        }
    }

    /// A successor fills its slot now, and serves. The caller has emptied the slot.
    pub(super) fn fill_slot(&mut self, slot: SlotId, id: ChildId, successor: Successor) {
        if let Some(child) = self.child(id) {
            self.children.fill_slot(id, child);
            self.schedule
                .update(DeadlineKey::Child(id), successor.deadline(), None);
            self.slots[slot.0].program = successor.program;
            self.slots[slot.0].failures = 0;
            self.set_slot(slot, successor.state);
        }
    }

    /// Records that the child of this slot exited or failed to start.
    ///
    /// Returns how many children in a row were not healthy.
    pub(super) fn count_failure(&mut self, slot: SlotId, condition: Health) -> u32 {
        let failures = &mut self.position_mut(slot).failures;
        *failures = match condition {
            Health::Healthy => 0,
            Health::Unhealthy => failures.saturating_add(1),
        };
        *failures
    }

    /// Sets the state of a draining child.
    ///
    /// If the child fills its slot, it leaves the slot, and the caller then sets the state of the
    /// slot.
    pub(super) fn set_draining(&mut self, id: ChildId, state: DrainState) {
        if let Some(child) = self.child(id) {
            self.ring.leave(id);
            self.children.set_draining(id, child, state);
            let old = child.location.deadline();
            self.schedule
                .update(DeadlineKey::Child(id), old, state.deadline());
        }
    }

    /// Records that the child accepts no more connections.
    pub(super) fn close(&mut self, id: ChildId) {
        if let Some(child) = self.child(id) {
            self.children.close(id, child);
        }
    }

    /// Removes a child that has exited or never existed.
    ///
    /// If it filled a slot, the caller then sets the state of the slot.
    pub(super) fn remove(&mut self, id: ChildId) {
        if let Some(child) = self.child(id) {
            self.ring.leave(id);
            self.children.remove(id, child);
            let old = child.location.deadline();
            self.schedule.update(DeadlineKey::Child(id), old, None);
        }
    }

    #[cfg(test)]
    pub(super) fn write_normal(&self, form: &mut NormalForm, policy: &Policy, rollouts: &Rollouts) {
        let Self {
            slots,
            standbys,
            // These repeat what the states contain.
            waiting: _,
            serving: _,
            schedule: _,
            children,
            ring,
        } = self;
        form.number(slots.len() as u64);
        form.number(standbys.len() as u64);
        for Slot {
            state,
            program,
            failures,
        } in slots.iter().chain(standbys)
        {
            state.write_normal(form, policy);
            form.number(rollouts.rank(*program));
            // More failures do not change the delay.
            let longest = policy.backoff.nominal(*failures) == policy.backoff.nominal(u32::MAX);
            form.number(if longest { 100 } else { u64::from(*failures) });
        }
        let ids = self.child_ids();
        for &id in &ids {
            let child = self.child(id).expect("its id was listed");
            children.write_normal(id, child, form, policy);
        }
        ring.write_normal(form, &ids);
    }

    /// All deadlines, from a full scan and from the index.
    #[cfg(test)]
    pub(super) fn scan_and_index(&self) -> [BTreeSet<(Instant, DeadlineKey)>; 2] {
        let slots = self
            .slot_ids()
            .chain(self.standby_ids())
            .filter_map(|slot| Some((self.slot(slot).deadline()?, DeadlineKey::Slot(slot))));
        let draining = self.child_ids().into_iter().filter_map(|child| {
            let location = self.child(child)?.location;
            Some((location.deadline()?, DeadlineKey::Child(child)))
        });
        [
            slots.chain(draining).collect(),
            self.schedule.entries().clone(),
        ]
    }
}
