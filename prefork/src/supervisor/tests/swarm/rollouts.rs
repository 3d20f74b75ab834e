//! How far each rollout is, as a caller can know it, and the verdict that it must get.
//!
//! The observer reports what happened to slots and children. Nothing here knows a child's life.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::super::{
    ChildId, Parallel, ProgramId, Refusal, RefusalStage, RolloutPolicy, Verdict,
};
use super::broken::{Broken, check};
use super::plan::{Nanos, nanos};

pub(super) struct Rollouts {
    policy: RolloutPolicy,
    ring_width: usize,
    epoch: Instant,
    /// The program of the last rollout that was accepted.
    pub(super) accepted: ProgramId,
    is_requested: bool,
    /// When `OpenProgram` was returned, and how far that rollout is.
    current: Option<(Nanos, Stage)>,
    /// The successor of each slot that has one.
    pub(super) successors: BTreeMap<usize, ChildId>,
    pub(super) times_accepted: u64,
    /// How many deadlines there were: one for each rollout and one for each roll-back.
    pub(super) deadlines: u64,
}

enum Stage {
    Opening,
    Out(Progress),
    Back(Progress, Refusal),
    /// No successor is started any more.
    Over(Verdict),
}

struct Progress {
    program: ProgramId,
    /// The slots whose successor was not started yet.
    pending: BTreeSet<usize>,
    /// How many successors have replaced a child.
    replaced: usize,
    deadline: Nanos,
}

impl Rollouts {
    pub(super) fn new(policy: RolloutPolicy, ring_width: usize, epoch: Instant) -> Self {
        Self {
            policy,
            ring_width,
            epoch,
            accepted: ProgramId::OWN,
            is_requested: false,
            current: None,
            successors: BTreeMap::new(),
            times_accepted: 0,
            deadlines: 0,
        }
    }

    fn progress(&self) -> Option<&Progress> {
        match &self.current.as_ref()?.1 {
            Stage::Out(progress) | Stage::Back(progress, _) => Some(progress),
            Stage::Opening | Stage::Over(_) => None,
        }
    }

    fn progress_mut(&mut self) -> Option<&mut Progress> {
        match &mut self.current.as_mut()?.1 {
            Stage::Out(progress) | Stage::Back(progress, _) => Some(progress),
            Stage::Opening | Stage::Over(_) => None,
        }
    }

    pub(super) fn is_rolling_out(&self) -> bool {
        matches!(self.current, Some((_, Stage::Out(_))))
    }

    fn is_rolling_back(&self) -> bool {
        matches!(self.current, Some((_, Stage::Back(..))))
    }

    /// Whether the slots get this program in a rollout that was not refused.
    pub(super) fn rolls_out(&self, program: ProgramId) -> bool {
        let progress = self.progress().filter(|_| self.is_rolling_out());
        progress.is_some_and(|progress| progress.program == program)
    }

    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.progress().map(|progress| progress.deadline)
    }

    /// Whether no rollout is in progress, and none waits.
    pub(super) fn is_idle(&self) -> bool {
        self.current.is_none() && !self.is_requested
    }

    // Events.

    pub(super) fn requested(&mut self) {
        self.is_requested = true;
    }

    /// Returns when the rollout has taken too long, if it began now.
    pub(super) fn opened(&mut self, program: ProgramId, slots: usize, at: Nanos) -> Option<Nanos> {
        let Some((_, stage @ Stage::Opening)) = &mut self.current else {
            return None;
        };
        let deadline = at.saturating_add(nanos(self.policy.timeout));
        *stage = Stage::Out(Progress {
            program,
            pending: (0..slots).collect(),
            replaced: 0,
            deadline,
        });
        self.deadlines += 1;
        Some(deadline)
    }

    pub(super) fn open_failed(&mut self) {
        if matches!(self.current, Some((_, Stage::Opening))) {
            let refusal = Refusal {
                stage: RefusalStage::Open,
                child: None,
            };
            self.end_refused(refusal, 0);
        }
    }

    /// The time of the roll-back is over.
    pub(super) fn roll_back_ended(&mut self) {
        if let Some((_, Stage::Back(progress, refusal))) = &self.current {
            self.end_refused(*refusal, progress.replaced);
        }
    }

    fn end_refused(&mut self, refusal: Refusal, rolled_back: usize) {
        if let Some((began, stage)) = &mut self.current {
            *stage = Stage::Over(Verdict::Refused {
                refusal,
                rolled_back,
                // They are counted when the verdict is reported.
                left: 0,
                began: self.epoch + Duration::from_nanos(*began),
            });
        }
    }

    /// The rollout is refused, and these slots need the accepted program again.
    ///
    /// Returns when the roll-back has taken too long.
    pub(super) fn refused(
        &mut self,
        refusal: Refusal,
        others: BTreeSet<usize>,
        at: Nanos,
    ) -> Option<Nanos> {
        let Some((_, stage @ Stage::Out(_))) = &mut self.current else {
            return None;
        };
        let deadline = at.saturating_add(nanos(self.policy.timeout));
        let progress = Progress {
            program: self.accepted,
            pending: others,
            replaced: 0,
            deadline,
        };
        *stage = Stage::Back(progress, refusal);
        self.deadlines += 1;
        Some(deadline)
    }

    pub(super) fn stopped(&mut self) {
        self.is_requested = false;
        if let Some((_, stage)) = &mut self.current
            && !matches!(stage, Stage::Over(_))
        {
            *stage = Stage::Over(Verdict::Stopped);
        }
    }

    pub(super) fn slot_added(&mut self, slot: usize) {
        let is_rolling_out = self.is_rolling_out();
        if let Some(progress) = self.progress_mut().filter(|_| is_rolling_out) {
            progress.pending.insert(slot);
        }
    }

    pub(super) fn slot_removed(&mut self, slot: usize) {
        if let Some(progress) = self.progress_mut() {
            progress.pending.remove(&slot);
        }
    }

    /// The child of this slot has left it: it is filled again with the accepted program.
    pub(super) fn slot_left(&mut self, slot: usize) {
        if self.is_rolling_back() {
            self.slot_removed(slot);
        }
    }

    // Actions.

    pub(super) fn check_open(&mut self, may_begin: bool) -> Result<(), Broken> {
        let was_requested = std::mem::take(&mut self.is_requested);
        check(
            may_begin && was_requested && self.current.is_none(),
            "a rollout begins once for a request, alone, when the master is ready",
            || format!("requested: {was_requested}"),
        )
    }

    pub(super) fn began(&mut self, now: Nanos) {
        self.current = Some((now, Stage::Opening));
    }

    pub(super) fn check_start(
        &mut self,
        slot: usize,
        child: ChildId,
        program: ProgramId,
        slots: usize,
    ) -> Result<(), Broken> {
        let most = self.most_successors(slots);
        let detail = || format!("{child:?} in slot {slot}");
        let progress = self.progress();
        check(
            progress.is_some_and(|progress| progress.program == program),
            "a successor runs the program of its rollout, or in a roll-back the accepted one",
            detail,
        )?;
        check(
            progress.is_some_and(|progress| progress.pending.contains(&slot)),
            "each slot gets one successor",
            detail,
        )?;
        let is_first = progress.is_some_and(|progress| progress.pending.first() == Some(&slot));
        check(
            is_first || self.ring_width > 1,
            "slots get their successors in ascending order, unless neighbors share sockets",
            detail,
        )?;
        let is_near = |&other: &usize| {
            let distance = slot.abs_diff(other);
            distance.min(slots - distance) < self.ring_width
        };
        check(
            !self.successors.keys().any(is_near),
            "neighbors are not replaced at the same time",
            detail,
        )?;
        check(
            self.successors.len() < most,
            "the first successor is alone, and never are there more than `rollout_parallel`",
            || format!("{most} at most"),
        )?;
        self.slot_removed(slot);
        self.successors.insert(slot, child);
        Ok(())
    }

    fn most_successors(&self, slots: usize) -> usize {
        let has_canary = |progress: &Progress| progress.replaced == 0 && self.is_rolling_out();
        if self.progress().is_some_and(has_canary) {
            return 1;
        }
        match self.policy.parallel {
            Parallel::Slots(number) => number.get(),
            Parallel::Percent(share) => (slots * usize::from(share.get())).div_ceil(100),
        }
    }

    /// How long a successor whose gate is opened now must serve.
    pub(super) fn soak(&self) -> Nanos {
        nanos(match self.progress() {
            Some(_) if self.is_rolling_back() => Duration::ZERO,
            Some(progress) if progress.replaced == 0 => self.policy.canary,
            _ => self.policy.soak,
        })
    }

    /// A successor fills its slot.
    pub(super) fn replaced(&mut self, slot: usize) {
        self.successors.remove(&slot);
        if let Some(progress) = self.progress_mut() {
            progress.replaced += 1;
        }
    }

    /// `programs`: that of the child of each slot.
    pub(super) fn check_verdict(
        &mut self,
        verdict: Verdict,
        programs: &[Option<ProgramId>],
    ) -> Result<(), Broken> {
        let Some((began, stage)) = self.current.take() else {
            let promise = "each rollout that began gets one verdict";
            let detail = format!("{verdict:?}");
            return Err(Broken { promise, detail });
        };
        let began = self.epoch + Duration::from_nanos(began);
        let (expected, is_complete) = match stage {
            Stage::Opening => (None, false),
            Stage::Over(mut verdict) => {
                if let Verdict::Refused { left, .. } = &mut verdict {
                    *left = count_others(programs, self.accepted);
                }
                (Some(verdict), true)
            }
            Stage::Out(progress) => {
                let Progress {
                    program, replaced, ..
                } = progress;
                let runs_it = programs.iter().all(|&other| other == Some(program));
                let is_complete = progress.pending.is_empty() && runs_it;
                self.accepted = program;
                self.times_accepted += 1;
                let accepted = Verdict::Accepted {
                    program,
                    replaced,
                    began,
                };
                (Some(accepted), is_complete && self.successors.is_empty())
            }
            Stage::Back(progress, refusal) => {
                let is_complete = progress.pending.is_empty() && self.successors.is_empty();
                let refused = Verdict::Refused {
                    refusal,
                    rolled_back: progress.replaced,
                    left: count_others(programs, self.accepted),
                    began,
                };
                (Some(refused), is_complete)
            }
        };
        check(
            is_complete,
            "a verdict comes when each slot was handled, or when the time is over",
            || format!("{verdict:?}"),
        )?;
        check(
            Some(verdict) == expected,
            "a rollout is accepted if all is well, and else refused for what failed first",
            || format!("{verdict:?} instead of {expected:?}"),
        )
    }

    /// Checks what must hold whenever the supervisor has no action.
    pub(super) fn rested(&self, may_begin: bool, slots: usize) -> Result<(), Broken> {
        check(
            !may_begin || !self.is_requested || self.current.is_some(),
            "a rollout begins as soon as it may",
            String::new,
        )?;
        let is_over = matches!(self.current, Some((_, Stage::Over(_))));
        let progress = self.progress();
        let is_complete = |progress: &Progress| progress.pending.is_empty();
        check(
            !is_over && (!self.successors.is_empty() || !progress.is_some_and(is_complete)),
            "a verdict comes as soon as it is certain",
            String::new,
        )?;
        // The next slot can be a neighbor of one that has a successor.
        let may_wait = self.ring_width > 1 && !self.successors.is_empty();
        let is_full = may_wait || self.successors.len() >= self.most_successors(slots);
        check(
            is_full || progress.is_none_or(is_complete),
            "a rollout has as many successors as it may have",
            || format!("{} successors", self.successors.len()),
        )
    }
}

/// How many slots have a child of another program than this one.
fn count_others(programs: &[Option<ProgramId>], program: ProgramId) -> usize {
    let others = programs.iter().flatten();
    others.filter(|&&other| other != program).count()
}
