//! The rollout: replacing the child of each slot on request.
//!
//! It knows how far the rollout is, and its verdict. It knows no state of a slot or a child: the
//! supervisor tells it what became of each successor.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[cfg(test)]
use super::NormalForm;
use super::{ChildId, ProgramId, RolloutPolicy, SlotId};

/// The rollout in progress, the one that waits for it, and the program that recovery starts.
#[derive(Clone, Debug)]
pub(super) struct Rollouts {
    /// The program of the last rollout that was accepted. At first that of the master.
    pub(super) accepted: ProgramId,
    /// Whether a rollout was requested that has not begun.
    pub(super) is_requested: bool,
    pub(super) current: Option<Rollout>,
    /// The slots that the current one has not looked at yet.
    pending: BTreeSet<SlotId>,
    /// The slots that have a successor.
    active: BTreeSet<SlotId>,
}

/// A rollout that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rollout {
    pub(super) began: Instant,
    pub(super) stage: RolloutStage,
}

/// How far a rollout is.
#[derive(Clone, Copy, Debug)]
pub(super) enum RolloutStage {
    /// `Action::OpenProgram` was returned and is not answered yet.
    Opening,
    /// The slots get the new program, in ascending order.
    RollingOut(Progress),
    /// It was refused. The slots that run the new program get the accepted one back.
    RollingBack(Progress, Refusal),
    /// The verdict is due.
    Ended(Verdict),
}

/// How many slots were handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The program that the successors run.
    pub(super) program: ProgramId,
    /// How many slots run the program.
    pub(super) replaced: usize,
    /// When it has taken too long.
    pub(super) deadline: Instant,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every slot runs the new program. From now on, recovery starts it too.
    Accepted {
        /// The new program.
        program: ProgramId,
        /// How many slots it was given to.
        replaced: usize,
        /// When the rollout began.
        began: Instant,
    },
    /// The fleet runs the program that it ran before.
    Refused {
        /// Why.
        refusal: Refusal,
        /// How many slots had the new program and got the old one back.
        rolled_back: usize,
        /// How many slots have a child of the new program still, because the old program failed to
        /// replace it. If that child exits, recovery starts the old program.
        left: usize,
        /// When the rollout began.
        began: Instant,
    },
    /// A stop began before the rollout had ended.
    Stopped,
}

/// Why a rollout was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// At which stage.
    pub(crate) stage: RefusalStage,
    /// The slot and the child that failed. `None` if the stage is about no slot.
    pub(crate) child: Option<(SlotId, ChildId)>,
}

/// The stage of a rollout at which it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalStage {
    /// The program could not be opened.
    Open,
    /// A successor could not be started.
    Start,
    /// A successor exited, ended its `main` or violated the protocol before it was ready, or was not
    /// ready within `ready_timeout`.
    Ready,
    /// As above, when it was ready and had not served for `rollout_soak` yet.
    Soak,
    /// As above, when it had replaced the child of its slot and other slots had not been handled yet.
    Serve,
    /// The rollout took longer than `rollout_timeout`.
    Time,
}

impl Rollouts {
    pub(super) fn new(accepted: ProgramId) -> Self {
        Self {
            accepted,
            is_requested: false,
            current: None,
            pending: BTreeSet::new(),
            active: BTreeSet::new(),
        }
    }

    /// The progress, while successors are started.
    pub(super) fn progress(&mut self) -> Option<&mut Progress> {
        match &mut self.current.as_mut()?.stage {
            RolloutStage::RollingOut(progress) | RolloutStage::RollingBack(progress, _) => {
                Some(progress)
            }
            RolloutStage::Opening | RolloutStage::Ended(_) => None,
        }
    }

    /// Begins the rollout that was requested, if none is in progress.
    ///
    /// Returns whether it began: its program has to be opened.
    pub(super) fn begins(&mut self, now: Instant, is_allowed: bool) -> bool {
        let begins = self.is_requested && self.current.is_none() && is_allowed;
        if begins {
            self.is_requested = false;
            self.current = Some(Rollout {
                began: now,
                stage: RolloutStage::Opening,
            });
        }
        begins
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(
            self.current,
            Some(Rollout {
                stage: RolloutStage::Opening,
                ..
            })
        )
    }

    pub(super) fn is_rolling_out(&self) -> bool {
        matches!(
            self.current,
            Some(Rollout {
                stage: RolloutStage::RollingOut(_),
                ..
            })
        )
    }

    /// Why the rollout was refused, during its roll-back.
    pub(super) fn rolling_back(&self) -> Option<Refusal> {
        match self.current?.stage {
            RolloutStage::RollingBack(_, refusal) => Some(refusal),
            RolloutStage::Opening | RolloutStage::RollingOut(_) | RolloutStage::Ended(_) => None,
        }
    }

    /// How many successors may exist now, in a fleet of this many slots.
    ///
    /// The first one of a rollout is alone. The old program of a roll-back has proved itself.
    pub(super) fn most_successors(&self, policy: &RolloutPolicy, slots: usize) -> usize {
        if self.has_canary() {
            1
        } else {
            policy.parallel.of(slots)
        }
    }

    /// How long the next successor must serve beside the child of its slot.
    pub(super) fn soak(&self, policy: &RolloutPolicy) -> Duration {
        if self.rolling_back().is_some() {
            Duration::ZERO
        } else if self.has_canary() {
            policy.canary
        } else {
            policy.soak
        }
    }

    /// Whether no successor of the rollout has replaced a child yet.
    fn has_canary(&self) -> bool {
        self.current.is_some_and(|rollout| match rollout.stage {
            RolloutStage::RollingOut(progress) => progress.replaced == 0,
            RolloutStage::Opening | RolloutStage::RollingBack(..) | RolloutStage::Ended(_) => false,
        })
    }

    /// Successors of these slots are started from now on.
    pub(super) fn set_slots(&mut self, slots: usize) {
        self.pending = (0..slots).map(SlotId).collect();
    }

    /// The number of slots changes. Those that are added are looked at, too.
    pub(super) fn resize(&mut self, before: usize, slots: usize) {
        self.pending.retain(|slot| slot.0 < slots);
        self.pending.extend((before..slots).map(SlotId));
    }

    /// Returns the next slot that gets a successor. `may_follow` returns whether it can, beside
    /// those that have one.
    pub(super) fn take_next(
        &mut self,
        most: usize,
        may_follow: impl Fn(SlotId, &BTreeSet<SlotId>) -> bool,
    ) -> Option<SlotId> {
        if self.active.len() >= most {
            return None;
        }
        let mut pending = self.pending.iter().copied();
        let slot = pending.find(|&slot| may_follow(slot, &self.active))?;
        self.pending.remove(&slot);
        Some(slot)
    }

    /// A successor of this slot was requested.
    pub(super) fn successor_began(&mut self, slot: SlotId) {
        self.active.insert(slot);
    }

    /// The successor of this slot has replaced the child, or has failed.
    pub(super) fn successor_ended(&mut self, slot: SlotId) {
        self.active.remove(&slot);
    }

    /// Ends the rollout if every slot was handled.
    pub(super) fn conclude(&mut self) {
        if !self.pending.is_empty() || !self.active.is_empty() {
            return;
        }
        let Some(Rollout { began, stage }) = self.current else {
            return;
        };
        match stage {
            RolloutStage::RollingOut(progress) => {
                self.accepted = progress.program;
                self.set_stage(RolloutStage::Ended(Verdict::Accepted {
                    program: progress.program,
                    replaced: progress.replaced,
                    began,
                }));
            }
            RolloutStage::RollingBack(_, refusal) => self.end_refused(refusal),
            RolloutStage::Opening | RolloutStage::Ended(_) => {}
        }
    }

    /// The rollout was refused, and what it had changed is rolled back.
    pub(super) fn end_refused(&mut self, refusal: Refusal) {
        let rolled_back = self.progress().map_or(0, |progress| progress.replaced);
        if let Some(Rollout { began, stage }) = &mut self.current {
            *stage = RolloutStage::Ended(Verdict::Refused {
                refusal,
                rolled_back,
                // They are counted when the verdict is returned: until then one can exit.
                left: 0,
                began: *began,
            });
        }
    }

    /// Returns the verdict if it is due.
    ///
    /// `count_left` returns the number of slots with a child of a program that is not this one.
    pub(super) fn take_verdict(
        &mut self,
        count_left: impl FnOnce(ProgramId) -> usize,
    ) -> Option<Verdict> {
        let RolloutStage::Ended(mut verdict) = self.current?.stage else {
            return None;
        };
        if let Verdict::Refused { left, .. } = &mut verdict {
            *left = count_left(self.accepted);
        }
        self.current = None;
        Some(verdict)
    }

    /// When the rollout has taken too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.current?.stage {
            RolloutStage::RollingOut(progress) | RolloutStage::RollingBack(progress, _) => {
                Some(progress.deadline)
            }
            RolloutStage::Opening | RolloutStage::Ended(_) => None,
        }
    }

    /// A stop has begun: the current rollout has ended, and the one that waits does not begin.
    pub(super) fn stop(&mut self) {
        self.is_requested = false;
        if let Some(Rollout { stage, .. }) = &mut self.current {
            match stage {
                RolloutStage::Opening
                | RolloutStage::RollingOut(_)
                | RolloutStage::RollingBack(..) => *stage = RolloutStage::Ended(Verdict::Stopped),
                RolloutStage::Ended(_) => {}
            }
        }
    }

    pub(super) fn set_stage(&mut self, stage: RolloutStage) {
        if let Some(rollout) = &mut self.current {
            rollout.stage = stage;
        }
    }

    /// What this program is to the rollout.
    #[cfg(test)]
    pub(super) fn rank(&self, program: ProgramId) -> u64 {
        let of_rollout = self.current.and_then(|rollout| match rollout.stage {
            RolloutStage::RollingOut(progress) => Some(progress.program),
            RolloutStage::Opening | RolloutStage::RollingBack(..) | RolloutStage::Ended(_) => None,
        });
        if program == self.accepted {
            0
        } else if Some(program) == of_rollout {
            1
        } else {
            2
        }
    }

    #[cfg(test)]
    fn is_in_progress(&self) -> bool {
        self.is_rolling_out() || self.rolling_back().is_some()
    }

    #[cfg(test)]
    pub(super) fn write_normal(&self, form: &mut NormalForm) {
        let Self {
            // The slots and successors write whether they run it.
            accepted: _,
            is_requested,
            current,
            pending,
            // It repeats the successors.
            active: _,
        } = self;
        form.flag(*is_requested);
        if self.is_in_progress() {
            form.number(pending.len() as u64);
            for slot in pending {
                form.number(slot.0 as u64);
            }
        }
        let Some(Rollout {
            // Only a message has it.
            began: _,
            stage,
        }) = current
        else {
            return form.number(0);
        };
        match stage {
            RolloutStage::Opening => form.number(1),
            RolloutStage::RollingOut(progress) => {
                form.number(2);
                progress.write_normal(form);
            }
            RolloutStage::RollingBack(progress, _) => {
                form.number(3);
                progress.write_normal(form);
            }
            // No rule reads the verdict. The model checks it.
            RolloutStage::Ended(_) => form.number(4),
        }
    }
}

impl Progress {
    pub(super) fn new(program: ProgramId, deadline: Instant) -> Self {
        Self {
            program,
            replaced: 0,
            deadline,
        }
    }

    #[cfg(test)]
    fn write_normal(&self, form: &mut NormalForm) {
        let Self {
            program: _,
            replaced,
            deadline,
        } = self;
        // The first successor of a rollout is alone, and soaks for another time.
        form.flag(*replaced > 0);
        form.time(*deadline);
    }
}
