//! A model of the ring of sockets, for the worlds of the tests.
//!
//! It keeps what events and actions mean, and compares every slot with a plain walk around the ring.

use std::collections::BTreeSet;

use super::super::{Action, ChildId, Event};

/// The sockets that children hold of other slots than their own.
#[derive(Clone, Debug, Default)]
pub(super) struct Sockets {
    can_adopt: BTreeSet<ChildId>,
    suspended: BTreeSet<ChildId>,
    /// The slot that the sockets belong to, and the child of another slot.
    held: BTreeSet<(usize, ChildId)>,
}

impl Sockets {
    /// Records an event about a child that exists.
    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::AdoptionOffered { child } => {
                self.can_adopt.insert(child);
            }
            Event::AdoptionFailed { child } => {
                self.can_adopt.remove(&child);
            }
            Event::Suspended { child } => {
                self.suspended.insert(child);
            }
            Event::Resumed { child } => {
                self.suspended.remove(&child);
            }
            Event::Started { .. }
            | Event::StartFailed { .. }
            | Event::Ready { .. }
            | Event::Unready { .. }
            | Event::Readiness { .. }
            | Event::MainEnded { .. }
            | Event::Closed { .. }
            | Event::Violation { .. }
            | Event::Exited { .. }
            | Event::MasterReady
            | Event::RolloutRequested
            | Event::ProgramOpened { .. }
            | Event::ProgramFailed
            | Event::HookFailed
            | Event::ListenerLost
            | Event::Resize { .. }
            | Event::StopRequested { .. } => {}
        }
    }

    /// Children that fill no slot hold no sockets of others, and those that have exited are gone.
    pub(super) fn retain(
        &mut self,
        fills_slot: impl Fn(ChildId) -> bool,
        exists: impl Fn(ChildId) -> bool,
    ) {
        self.held.retain(|&(_, child)| fills_slot(child));
        self.can_adopt.retain(|&child| exists(child));
        self.suspended.retain(|&child| exists(child));
    }

    /// Records `Adopt` or `Release`. `slot_of` returns the slot of a child that serves.
    pub(super) fn perform(
        &mut self,
        action: Action,
        slots: usize,
        slot_of: impl Fn(ChildId) -> Option<usize>,
    ) -> Result<(), &'static str> {
        let serves = |id| self.is_able(id) && slot_of(id).is_some();
        match action {
            Action::Adopt { slot, child } => {
                if slot_of(child) == Some(slot.0) || !serves(child) {
                    return Err("sockets are passed to a child of another slot that accepts");
                }
                if slot.0 >= slots || !self.held.insert((slot.0, child)) {
                    return Err("the sockets of a slot are passed to a child once");
                }
            }
            Action::Release { slot, child } => {
                let accepts = serves(child);
                if !self.held.remove(&(slot.0, child)) || !accepts {
                    return Err("sockets are taken back from a child that holds them and accepts");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_able(&self, child: ChildId) -> bool {
        self.can_adopt.contains(&child) && !self.suspended.contains(&child)
    }

    /// Checks what holds when the supervisor has nothing to do.
    pub(super) fn check_rested(
        &self,
        serving: &[Option<ChildId>],
        width: usize,
        is_complete: bool,
    ) -> Result<(), &'static str> {
        let slots = serving.len();
        let able = |child: &Option<ChildId>| child.filter(|&id| self.is_able(id));
        let accepting: Vec<_> = serving.iter().map(able).collect();
        let mut held: Vec<Vec<ChildId>> = vec![Vec::new(); slots];
        let all: BTreeSet<_> = accepting.iter().flatten().copied().collect();
        for &(slot, child) in &self.held {
            if all.contains(&child) {
                held.get_mut(slot)
                    .ok_or("no child that accepts holds the sockets of a removed slot")?
                    .push(child);
            }
        }
        for (slot, held) in held.iter().enumerate() {
            let around = (0..slots).map(|distance| ((slot + distance) % slots, distance));
            let first = around
                .filter_map(|(other, distance)| Some((other, distance, accepting[other]?)))
                .take(width)
                .filter(|&(other, distance, _)| other != slot && (is_complete || distance < width));
            let mut expected: Vec<_> = first.map(|(_, _, child)| child).collect();
            expected.sort_unstable();
            if *held != expected {
                return Err("the first children that accept, from its slot on, hold a socket");
            }
        }
        Ok(())
    }
}
