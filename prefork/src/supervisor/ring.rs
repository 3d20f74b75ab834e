//! The ring of sockets: which children accept from the listening sockets of each slot.
//!
//! If every slot has sockets of its own, the kernel puts each connection into the sockets of one
//! slot. If only the child of that slot accepted from them, the connection would wait as long as
//! this child is dead or stalls. So the children of the next slots accept from them, too: the
//! sockets of slot 2 belong to the first `width` children that accept, from slot 2 on. After the
//! last slot follows slot 0.
//!
//! The ring compares the children that should hold the sockets of a slot with those that do, and
//! returns the difference as actions. It knows which child serves in which slot; it knows no state,
//! no time and no socket.

use std::collections::{BTreeMap, BTreeSet, HashMap};

#[cfg(test)]
use super::NormalForm;
use super::{Action, ChildId, SlotId};

/// The children that accept from the sockets of other slots.
///
/// A child has the sockets of its own slot from its start or its promotion on. All others it gets
/// by `Action::Adopt` and gives back by `Action::Release`. A child that exits or drains closes all
/// its sockets itself. One that accepts nothing for now (it is suspended, or has taken back its
/// readiness) keeps its sockets, because it cannot give them back.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    /// How many children accept from the sockets of a slot. 0: all slots share one socket.
    width: usize,
    stage: RingStage,
    /// The child of each slot, if it serves.
    serving: Vec<Option<ChildId>>,
    /// The children that accept, by slot.
    accepting: BTreeMap<SlotId, ChildId>,
    children: HashMap<ChildId, RingChild>,
    /// The children of other slots that hold the sockets of a slot.
    holders: BTreeMap<SlotId, BTreeSet<ChildId>>,
    /// The slots whose holders must be compared.
    due: BTreeSet<SlotId>,
}

/// From which slots a child can come that accepts from the sockets of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RingStage {
    /// The next ones only: in a fleet that starts, most children do not accept yet.
    Starting,
    /// Any: each slot has served, or a child has exited.
    Complete,
    /// None: the fleet stops, and its children close their sockets.
    Over,
}

/// What the ring knows about a child.
#[derive(Clone, Debug, Default)]
struct RingChild {
    /// The slot that it fills, if it serves.
    slot: Option<SlotId>,
    /// It can accept from the sockets of other slots.
    can_adopt: bool,
    /// A signal has suspended its process.
    is_suspended: bool,
    /// The other slots whose sockets it holds.
    held: BTreeSet<SlotId>,
}

impl RingChild {
    fn accepts(&self) -> bool {
        self.slot.is_some() && self.can_adopt && !self.is_suspended
    }
}

impl Ring {
    /// Creates the ring of a fleet without slots.
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            stage: RingStage::Starting,
            serving: Vec::new(),
            accepting: BTreeMap::new(),
            children: HashMap::new(),
            holders: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }

    fn is_off(&self) -> bool {
        self.width == 0 || self.stage == RingStage::Over
    }

    /// The number of slots changes. The caller has emptied the slots that are removed.
    ///
    /// Their sockets have no holders then; those of the other slots can have new ones.
    pub(super) fn resize(&mut self, slots: usize) {
        if self.is_off() {
            return;
        }
        let all = self.serving.len().max(slots);
        self.serving.resize(slots, None);
        self.due.extend((0..all).map(SlotId));
    }

    /// Each slot has served, or a child has exited. From now on the sockets of a slot have `width` children that accept,
    /// even if the next slots are empty.
    pub(super) fn complete(&mut self) {
        if self.width > 0 && self.stage == RingStage::Starting {
            self.stage = RingStage::Complete;
            self.due.extend((0..self.serving.len()).map(SlotId));
        }
    }

    /// A stop begins to drain all children.
    pub(super) fn end(&mut self) {
        self.stage = RingStage::Over;
        self.children.clear();
        self.holders.clear();
        self.due.clear();
    }

    /// The child of this slot that serves, if one does.
    pub(super) fn set_serving(&mut self, slot: SlotId, child: Option<ChildId>) {
        if self.is_off() || self.serving[slot.0] == child {
            return;
        }
        let before = std::mem::replace(&mut self.serving[slot.0], child);
        if let Some(before) = before.and_then(|id| self.children.get_mut(&id)) {
            before.slot = None;
        }
        if let Some(id) = child {
            self.children.entry(id).or_default().slot = Some(slot);
        }
        self.update(slot);
    }

    /// The child can accept from the sockets of other slots, or can no longer.
    pub(super) fn set_can_adopt(&mut self, child: ChildId, can_adopt: bool) {
        self.change(child, |child| child.can_adopt = can_adopt);
    }

    /// A signal has suspended the process of the child, or has resumed it.
    pub(super) fn set_suspended(&mut self, child: ChildId, is_suspended: bool) {
        self.change(child, |child| child.is_suspended = is_suspended);
    }

    fn change(&mut self, child: ChildId, change: impl FnOnce(&mut RingChild)) {
        if self.is_off() {
            return;
        }
        let child = self.children.entry(child).or_default();
        change(child);
        if let Some(slot) = child.slot {
            self.update(slot);
        }
    }

    /// The child drains or has exited: it closes its sockets itself.
    pub(super) fn leave(&mut self, child: ChildId) {
        if self.is_off() {
            return;
        }
        if let Some(slot) = self.children.get(&child).and_then(|child| child.slot) {
            self.set_serving(slot, None);
        }
        let Some(left) = self.children.remove(&child) else {
            return;
        };
        for slot in left.held {
            self.remove_holder(slot, child);
        }
    }

    /// Compares whether the child of this slot accepts with what the ring has noted.
    fn update(&mut self, slot: SlotId) {
        let child = self.serving[slot.0];
        let child = child.filter(|id| self.children.get(id).is_some_and(RingChild::accepts));
        let before = match child {
            Some(child) => self.accepting.insert(slot, child),
            None => self.accepting.remove(&slot),
        };
        if before == child {
            return;
        }
        for id in [before, child].into_iter().flatten() {
            if let Some(child) = self.children.get(&id) {
                self.due.extend(&child.held);
            }
        }
        self.compare_before(slot);
    }

    /// The sockets that a child of this slot may accept from are due: its own, and those of earlier
    /// slots, as long as fewer than `width` children accept in between.
    fn compare_before(&mut self, slot: SlotId) {
        let slots = self.serving.len();
        let most = match self.stage {
            RingStage::Starting => self.width.min(slots),
            RingStage::Complete | RingStage::Over => slots,
        };
        let mut between = 0;
        for distance in 0..most {
            let earlier = SlotId((slot.0 + slots - distance) % slots);
            let accepts = distance > 0 && self.accepting.contains_key(&earlier);
            between += usize::from(accepts);
            if between == self.width {
                return;
            }
            self.due.insert(earlier);
        }
    }

    /// The children of other slots that should hold the sockets of this one.
    fn wanted(&self, slot: SlotId) -> Vec<ChildId> {
        let slots = self.serving.len();
        if slot.0 >= slots {
            // It was removed.
            return Vec::new();
        }
        let most = match self.stage {
            RingStage::Starting => (self.width - 1).min(slots - 1),
            RingStage::Complete | RingStage::Over => slots - 1,
        };
        let accepts_itself = self.accepting.contains_key(&slot);
        let count = self.width - usize::from(accepts_itself);
        let later = self.accepting.range(SlotId(slot.0 + 1)..);
        let earlier = self.accepting.range(..slot);
        let in_order = later.chain(earlier);
        let distance = |other: SlotId| (other.0 + slots - slot.0) % slots;
        in_order
            .take_while(|&(&other, _)| distance(other) <= most)
            .map(|(_, &child)| child)
            .take(count)
            .collect()
    }

    /// Returns the next difference between the children that should hold sockets and those that do.
    pub(super) fn next_action(&mut self) -> Option<Action> {
        while let Some(&slot) = self.due.first() {
            let wanted = self.wanted(slot);
            let none = BTreeSet::new();
            let holders = self.holders.get(&slot).unwrap_or(&none);
            let missing = wanted.iter().copied().find(|id| !holders.contains(id));
            if let Some(child) = missing {
                self.holders.entry(slot).or_default().insert(child);
                self.children.entry(child).or_default().held.insert(slot);
                return Some(Action::Adopt { slot, child });
            }
            let accepts = |id: &ChildId| self.children.get(id).is_some_and(RingChild::accepts);
            let mut holders = holders.iter().copied();
            let surplus = holders.find(|id| !wanted.contains(id) && accepts(id));
            if let Some(child) = surplus {
                self.remove_holder(slot, child);
                if let Some(child) = self.children.get_mut(&child) {
                    child.held.remove(&slot);
                }
                return Some(Action::Release { slot, child });
            }
            self.due.remove(&slot);
        }
        None
    }

    fn remove_holder(&mut self, slot: SlotId, child: ChildId) {
        if let Some(holders) = self.holders.get_mut(&slot) {
            holders.remove(&child);
            if holders.is_empty() {
                self.holders.remove(&slot);
            }
        }
    }

    /// Whether a child of one of these slots accepts for this slot, or the other way round.
    pub(super) fn has_neighbor(
        &self,
        slot: SlotId,
        others: &BTreeSet<SlotId>,
        slots: usize,
    ) -> bool {
        (1..self.width.min(slots)).any(|distance| {
            let later = SlotId((slot.0 + distance) % slots);
            let earlier = SlotId((slot.0 + slots - distance) % slots);
            others.contains(&later) || others.contains(&earlier)
        })
    }

    /// Whether each slot has served.
    #[cfg(test)]
    pub(super) fn is_complete(&self) -> bool {
        self.stage == RingStage::Complete
    }

    /// Writes what the rules read. Children are written by their index in this list.
    #[cfg(test)]
    pub(super) fn write_normal(&self, form: &mut NormalForm, ids: &[ChildId]) {
        let Self {
            width,
            stage,
            // The states of the slots contain it.
            serving: _,
            accepting: _,
            children,
            holders,
            due,
        } = self;
        if *width == 0 {
            return;
        }
        form.number(*stage as u64);
        for id in ids {
            let child = children.get(id);
            form.flag(child.is_some_and(|child| child.can_adopt));
            form.flag(child.is_some_and(|child| child.is_suspended));
        }
        form.number(holders.len() as u64);
        for (slot, holders) in holders {
            form.number(slot.0 as u64);
            form.number(holders.len() as u64);
            for holder in holders {
                let index = ids.iter().position(|id| id == holder);
                form.number(index.expect("a holder has not exited") as u64);
            }
        }
        form.number(due.len() as u64);
        for slot in due {
            form.number(slot.0 as u64);
        }
    }
}
