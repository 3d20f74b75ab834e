//! The state of the fleet, as the caller can read it between two events.

use std::time::Instant;

use super::children::ChildLocation;
use super::draining::DrainState;
use super::fleet::Fleet;
use super::phase::Phase;
use super::{ChildId, SlotId, Stop};

/// A view of a supervisor. Taking one costs nothing, and each question costs only its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot<'a> {
    pub(super) phase: &'a Phase,
    pub(super) fleet: &'a Fleet,
}

impl Snapshot<'_> {
    /// Returns each slot with its last child, which may have exited.
    ///
    /// A slot without a child is one that was not filled yet, or that a stop has emptied.
    pub(crate) fn slots(self) -> impl ExactSizeIterator<Item = (SlotId, Option<ChildId>)> {
        let slots = self.fleet.slot_ids();
        slots.map(move |slot| (slot, self.fleet.slot(slot).last_child()))
    }

    /// Whether the announcement that the master is ready was requested.
    ///
    /// Once a stop has begun, no child is started, and this is `false`.
    pub(crate) fn is_announced(self) -> bool {
        matches!(self.phase, Phase::Announcing | Phase::Running)
    }

    /// Whether the master is ready and no stop has begun.
    pub(crate) fn is_running(self) -> bool {
        *self.phase == Phase::Running
    }

    /// The stop, if one has begun. From then on no child is started.
    pub(crate) fn stop(self) -> Option<Stop> {
        self.phase.stop()
    }

    /// Until when the children serve on, if a stop was requested and they do.
    pub(crate) fn delayed_until(self) -> Option<Instant> {
        match self.phase {
            Phase::Delaying { until, .. } => Some(*until),
            Phase::StartingUp { .. }
            | Phase::AllStarted
            | Phase::Announcing
            | Phase::Running
            | Phase::Stopping { .. }
            | Phase::Ended(_) => None,
        }
    }

    /// Whether this child fills a slot and is healthy, or is a successor that is ready.
    pub(crate) fn is_healthy(self, child: ChildId) -> bool {
        let known = self.fleet.child(child);
        known.is_some_and(|known| match known.location {
            ChildLocation::Slot => self.fleet.slot(known.slot).is_serving(),
            ChildLocation::Successor(successor) => successor.state.is_serving(),
            ChildLocation::DrainingChild(_) => false,
        })
    }

    /// Whether the supervisor waits for this child to drain. Its exit does not count.
    ///
    /// This is `false` for a child that was given up.
    pub(crate) fn is_draining(self, child: ChildId) -> bool {
        let child = self.fleet.child(child);
        child.is_some_and(|child| match child.location {
            ChildLocation::DrainingChild(state) => state != DrainState::Unkillable,
            ChildLocation::Slot | ChildLocation::Successor(_) => false,
        })
    }
}
