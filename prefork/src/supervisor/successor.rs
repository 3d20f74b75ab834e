//! The states of a successor: the child that is to replace another one in a rollout.
//!
//! Until it serves, it has the states of a child that fills a slot. Pure, like those.

use std::time::{Duration, Instant};

use super::policy::after;
use super::slot::{SlotState, TimeoutAction};
use super::{ChildId, ProgramId, RefusalStage};
#[cfg(test)]
use super::{NormalForm, Policy};

/// A successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Successor {
    /// The state that its slot would have if it filled the slot.
    pub(super) state: SlotState,
    /// The program that it runs.
    pub(super) program: ProgramId,
    /// Until when it serves beside the child of its slot. `None`: its gate is closed.
    pub(super) soak_until: Option<Instant>,
}

/// What happens at the deadline of a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SuccessorTimeout {
    /// As for a child that fills a slot and is not healthy yet.
    AsInSlot(TimeoutAction),
    /// It is ready: its gate is opened.
    Serve,
    /// It has served for long enough: it replaces the child of its slot.
    Replace,
}

impl Successor {
    /// The successor whose `Action::Start` was returned.
    pub(super) fn requested(child: ChildId, program: ProgramId) -> Self {
        Self {
            state: SlotState::SpawnRequested { child },
            program,
            soak_until: None,
        }
    }

    pub(super) fn with_state(self, state: SlotState) -> Self {
        Self { state, ..self }
    }

    /// Its gate is opened.
    pub(super) fn serving(self, now: Instant, soak: Duration) -> Self {
        let soak_until = Some(after(now, soak));
        Self { soak_until, ..self }
    }

    /// The stage of the rollout at which it would fail now.
    pub(super) fn stage(&self) -> RefusalStage {
        match self.soak_until {
            None => RefusalStage::Ready,
            Some(_) => RefusalStage::Soak,
        }
    }

    /// When `on_timeout` must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            SlotState::Serving { since, .. } => Some(self.soak_until.unwrap_or(since)),
            other => other.deadline(),
        }
    }

    /// Returns what happens at the deadline.
    pub(super) fn on_timeout(&self, now: Instant) -> SuccessorTimeout {
        match (self.state, self.soak_until) {
            (SlotState::Serving { .. }, Some(_)) => SuccessorTimeout::Replace,
            (SlotState::Serving { .. }, None) => SuccessorTimeout::Serve,
            (state, _) => SuccessorTimeout::AsInSlot(state.on_timeout(now)),
        }
    }

    #[cfg(test)]
    pub(super) fn write_normal(&self, form: &mut NormalForm, policy: &Policy) {
        let Self {
            state,
            // The rollout has it.
            program: _,
            soak_until,
        } = self;
        state.write_normal(form, policy);
        form.optional_time(*soak_until);
    }
}
