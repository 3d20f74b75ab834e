//! What the observer knows of a child.

use std::time::Duration;

use super::super::plan::{Nanos, nanos};
use super::{Policy, ProgramId, Readiness, RefusalStage, SlotId};

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Child {
    pub(super) slot: usize,
    pub(super) program: ProgramId,
    pub(super) readiness: Readiness,
    pub(super) started: Option<Nanos>,
    pub(super) is_healthy: bool,
    pub(super) is_unready: bool,
    pub(super) has_violated: bool,
    pub(super) has_closed: bool,
    pub(super) main_ended: Option<Nanos>,
    pub(super) is_asked: bool,
    pub(super) killed: Option<Nanos>,
    pub(super) is_given_up: bool,
    /// When it must be killed, if it has left its slot.
    pub(super) kill_at: Option<Nanos>,
    /// Until when it serves beside the child that it replaces.
    pub(super) soak_until: Option<Nanos>,
}

impl Child {
    pub(super) fn is_unstarted(&self) -> bool {
        self.started.is_none()
    }

    pub(super) fn is_standby(&self) -> bool {
        SlotId(self.slot).is_standby()
    }

    /// Whether it is healthy and nothing ended its life.
    pub(super) fn is_ready(&self) -> bool {
        self.is_healthy && self.serves() && !self.is_unready
    }

    /// Nothing ended its life in the slot yet.
    pub(super) fn serves(&self) -> bool {
        self.main_ended.is_none() && !self.has_violated && self.killed.is_none()
    }

    pub(super) fn may_be_healthy(&self) -> bool {
        !self.is_healthy && self.started.is_some() && self.serves()
    }

    /// The stage at which a rollout is refused if this successor fails now.
    pub(super) fn stage(&self) -> RefusalStage {
        self.soak_until
            .map_or(RefusalStage::Ready, |_| RefusalStage::Soak)
    }

    pub(super) fn must_be_ready(&self) -> bool {
        self.may_be_healthy() && self.readiness == Readiness::Notified
    }

    pub(super) fn must_be_asked(&self) -> bool {
        let has_left = self.kill_at.is_some() && self.started.is_some();
        has_left && self.serves() && !self.is_asked && !self.is_given_up
    }

    pub(super) fn accepts(&self) -> bool {
        !self.has_closed && !self.is_given_up
    }

    pub(super) fn healthy_at(&self, policy: &Policy) -> Nanos {
        after(self.started, policy.healthy_after)
    }

    pub(super) fn ready_by(&self, policy: &Policy) -> Nanos {
        after(self.started, policy.ready_timeout)
    }
}

/// The end of a time limit. A limit that no clock can hold ends in 30 years.
fn after(start: Option<Nanos>, limit: Duration) -> Nanos {
    const FAR: Duration = Duration::from_hours(30 * 365 * 24);
    let limit = nanos(if limit == Duration::MAX { FAR } else { limit });
    start.map_or(Nanos::MAX, |start| start.saturating_add(limit))
}
