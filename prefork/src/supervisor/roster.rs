//! Every child that is there, by its id. Knows where it is and how many are to be waited for; decides nothing.

use std::collections::HashMap;

use super::leaver::LeaverState;
use super::{ChildId, SlotId};

/// The children, and two counts that spare a scan.
///
/// A child that fills a slot is found there, since its id tells the slot: every fact about a child comes by here, and
/// in a large fleet it costs what it touches of memory. Leavers are hashed: only a stop has many, and a child that
/// was given up shares its slot with its successor.
#[derive(Debug)]
pub(super) struct Roster {
    slots: Vec<Occupancy>,
    /// How far the ids of a slot's children are apart. A fleet whose number of slots can change needs the largest one.
    spacing: usize,
    leavers: HashMap<ChildId, Leaver>,
    /// Children that may still accept connections.
    accepting: usize,
    /// Children whose end is awaited.
    awaited: usize,
}

/// One child, as others see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    pub(super) slot: SlotId,
    pub(super) place: Place,
}

/// Where a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Slot,
    Leaver(LeaverState),
}

/// Who fills a slot, or will next.
#[derive(Clone, Copy, Debug)]
enum Occupancy {
    Empty { next: ChildId },
    Filled { child: ChildId, ears: Ears },
}

/// A child that has left its slot.
#[derive(Clone, Copy, Debug)]
struct Leaver {
    state: LeaverState,
    ears: Ears,
}

/// Whether a child may still accept connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ears {
    Open,
    Closed,
}

impl Roster {
    /// Nobody yet, in so many slots.
    pub(super) fn new(slots: usize) -> Self {
        let empty = |slot| Occupancy::Empty {
            next: ChildId::first(SlotId(slot)),
        };
        Self {
            slots: (0..slots).map(empty).collect(),
            spacing: slots,
            leavers: HashMap::new(),
            accepting: 0,
            awaited: 0,
        }
    }

    /// A new child for this slot, which is empty.
    pub(super) fn enrol(&mut self, slot: SlotId) -> ChildId {
        let Occupancy::Empty { next: child } = self.slots[slot.0] else {
            unreachable!("a slot is emptied before its next child is started");
        };
        self.slots[slot.0] = Occupancy::Filled {
            child,
            ears: Ears::Open,
        };
        self.accepting += 1;
        self.awaited += 1;
        child
    }

    pub(super) fn get(&self, id: ChildId) -> Option<Child> {
        let slot = id.slot(self.spacing)?;
        let place = match self.slots[slot.0] {
            Occupancy::Filled { child, .. } if child == id => Place::Slot,
            Occupancy::Filled { .. } | Occupancy::Empty { .. } => {
                Place::Leaver(self.leavers.get(&id)?.state)
            }
        };
        Some(Child { slot, place })
    }

    /// In ascending order.
    pub(super) fn ids(&self) -> Vec<ChildId> {
        let filling = self.slots.iter().filter_map(|slot| match *slot {
            Occupancy::Filled { child, .. } => Some(child),
            Occupancy::Empty { .. } => None,
        });
        let mut ids: Vec<_> = filling.chain(self.leavers.keys().copied()).collect();
        ids.sort_unstable();
        ids
    }

    /// Looks through all leavers: few, unless the master stops.
    pub(super) fn leavers_of(&self, slot: SlotId) -> Vec<ChildId> {
        let ids = self.leavers.keys().copied();
        ids.filter(|id| id.slot(self.spacing) == Some(slot))
            .collect()
    }

    /// It accepts no more.
    pub(super) fn close(&mut self, id: ChildId) {
        if let Some(ears) = self.ears_mut(id)
            && *ears == Ears::Open
        {
            *ears = Ears::Closed;
            self.accepting -= 1;
        }
    }

    /// It is on its way out, so far.
    pub(super) fn set_leaver(&mut self, id: ChildId, state: LeaverState) {
        let was_awaited = if let Some(ears) = self.vacate(id) {
            self.leavers.insert(id, Leaver { state, ears });
            true
        } else if let Some(leaver) = self.leavers.get_mut(&id) {
            let was_awaited = leaver.is_awaited();
            leaver.state = state;
            was_awaited
        } else {
            return;
        };
        if was_awaited && state == LeaverState::Lost {
            self.awaited -= 1;
            self.close(id);
        }
    }

    /// It is gone.
    pub(super) fn remove(&mut self, id: ChildId) {
        self.close(id);
        let was_awaited = match self.vacate(id) {
            Some(_) => true,
            None => self
                .leavers
                .remove(&id)
                .is_some_and(|leaver| leaver.is_awaited()),
        };
        if was_awaited {
            self.awaited -= 1;
        }
    }

    pub(super) fn has_accepting(&self) -> bool {
        self.accepting > 0
    }

    pub(super) fn has_awaited(&self) -> bool {
        self.awaited > 0
    }

    fn ears_mut(&mut self, id: ChildId) -> Option<&mut Ears> {
        let slot = id.slot(self.spacing)?;
        match &mut self.slots[slot.0] {
            Occupancy::Filled { child, ears } if *child == id => Some(ears),
            Occupancy::Filled { .. } | Occupancy::Empty { .. } => {
                self.leavers.get_mut(&id).map(|leaver| &mut leaver.ears)
            }
        }
    }

    /// Empties the slot that it fills, if it fills one.
    fn vacate(&mut self, id: ChildId) -> Option<Ears> {
        let spacing = self.spacing;
        let slot = &mut self.slots[id.slot(spacing)?.0];
        match *slot {
            Occupancy::Filled { child, ears } if child == id => {
                let next = child.next(spacing);
                *slot = Occupancy::Empty { next };
                Some(ears)
            }
            Occupancy::Filled { .. } | Occupancy::Empty { .. } => None,
        }
    }
}

impl Leaver {
    fn is_awaited(&self) -> bool {
        self.state != LeaverState::Lost
    }
}
