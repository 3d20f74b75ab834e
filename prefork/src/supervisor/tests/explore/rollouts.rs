//! The facts about rollouts, and the promises about them.

use std::time::Instant;

use super::{Process, World, ensure};
use crate::explore::Broken;
use crate::supervisor::children::ChildLocation;
use crate::supervisor::{
    Action, ChildId, NormalForm, Parallel, Policy, ProgramId, RefusalStage, SlotId, Verdict,
};

/// What was requested and what became of it.
#[derive(Clone, Debug)]
pub(super) struct RolloutFacts {
    pub(super) is_requested: bool,
    pub(super) accepted: ProgramId,
    pub(super) current: Option<Current>,
    pub(super) last_program: usize,
}

/// A rollout from `Action::OpenProgram` to its verdict.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    /// `None`: it was not answered yet.
    pub(super) program: Option<ProgramId>,
    /// What the verdict must name, once something has failed.
    failed: Option<RefusalStage>,
    /// How many slots have the program, or have the old one back.
    replaced: usize,
    deadline: Option<Instant>,
}

impl RolloutFacts {
    pub(super) fn new() -> Self {
        Self {
            is_requested: false,
            accepted: ProgramId::OWN,
            current: None,
            last_program: 0,
        }
    }

    /// The program whose successors may exist now.
    fn program(&self) -> Option<ProgramId> {
        let current = self.current?;
        match current.failed {
            None => current.program,
            Some(_) => Some(self.accepted),
        }
    }

    pub(super) fn write_normal(&self, form: &mut NormalForm) {
        let Self {
            is_requested,
            // Each process and slot writes what its program is to the rollout.
            accepted: _,
            current,
            last_program: _,
        } = self;
        form.flag(*is_requested);
        form.flag(current.is_some());
        if let Some(current) = current {
            form.flag(current.program.is_some());
            form.number(current.failed.map_or(0, |stage| 1 + stage as u64));
            form.number(current.replaced as u64);
            form.optional_time(current.deadline);
        }
    }

    /// What this program is to the rollout.
    pub(super) fn rank(&self, program: ProgramId) -> u64 {
        let is_new = self
            .current
            .is_some_and(|current| current.program == Some(program));
        match program == self.accepted {
            true => 0,
            false if is_new => 1,
            false => 2,
        }
    }
}

impl World {
    /// Whether the verdict is known, before it is reported.
    pub(super) fn has_verdict(&self) -> bool {
        let current = self.rollouts.current;
        current.is_some_and(|current| current.failed == Some(RefusalStage::Open))
    }

    /// The answer to `Action::OpenProgram`.
    pub(super) fn note_program(&mut self, program: Option<ProgramId>, policy: &Policy) {
        let now = self.now;
        let Some(current) = &mut self.rollouts.current else {
            return;
        };
        if self.stop.is_some() || current.program.is_some() || current.failed.is_some() {
            return;
        }
        current.program = program;
        match program {
            Some(program) => {
                self.rollouts.last_program = program.0;
                current.deadline = Some(now + policy.rollout.timeout);
            }
            None => current.failed = Some(RefusalStage::Open),
        }
    }

    /// A child of the rollout failed: its other successors leave.
    pub(super) fn note_failure(&mut self, stage: RefusalStage, policy: &Policy) {
        let now = self.now;
        let is_stopping = self.stop.is_some();
        let Some(current) = &mut self.rollouts.current else {
            return;
        };
        if is_stopping || current.failed.is_some() || current.program.is_none() {
            return;
        }
        current.failed = Some(stage);
        current.replaced = 0;
        current.deadline = Some(now + policy.rollout.timeout);
        self.note_successors_leave(policy);
    }

    /// A child that fills this slot has failed. Only a rollout of its program is refused.
    pub(super) fn note_failure_in(&mut self, slot: usize, policy: &Policy) {
        let program = self.rollouts.current.and_then(|current| current.program);
        if program == self.position(slot).map(|facts| facts.program) {
            self.note_failure(RefusalStage::Serve, policy);
        }
    }

    pub(super) fn note_successors_leave(&mut self, policy: &Policy) {
        let successors: Vec<_> = self
            .processes
            .iter()
            .filter(|process| process.is_successor)
            .map(|process| process.id)
            .collect();
        for child in successors {
            self.note_successor_leaves(child, policy);
        }
    }

    /// A successor is asked to leave. An older child of its slot has no time left.
    pub(super) fn note_successor_leaves(&mut self, child: ChildId, policy: &Policy) {
        let now = self.now;
        self.note_older_has_no_time(child);
        if let Some(process) = self.process(child) {
            process.leave(now, policy);
        }
    }

    /// Another child of the slot begins to drain.
    pub(super) fn note_older_has_no_time(&mut self, child: ChildId) {
        let now = self.now;
        let Some(slot) = self.process(child).map(|process| process.slot) else {
            return;
        };
        for process in &mut self.processes {
            let drains = !process.fills_slot && !process.is_successor;
            if process.slot == slot && process.id != child && drains {
                process.has_no_time(now);
            }
        }
    }

    /// Records what a deadline of the rollout has changed.
    ///
    /// What is due at one moment has no defined order, so it is read from the supervisor.
    pub(super) fn note_rollout_time(&mut self, action: Option<Action>, policy: &Policy) {
        let Some(current) = self.rollouts.current else {
            return;
        };
        let is_late = current.deadline.is_some_and(|at| at <= self.now);
        let is_ending = matches!(action, Some(Action::ReportVerdict(Verdict::Refused { .. })));
        let is_refused = is_ending || self.supervisor.rollouts().rolling_back().is_some();
        if is_late && is_refused && current.failed.is_none() {
            self.note_failure(RefusalStage::Time, policy);
        } else if is_late {
            // A roll-back that takes too long ends.
            let processes = self.processes.clone();
            for process in processes.iter().filter(|process| process.is_successor) {
                let location = self.supervisor.fleet().child(process.id);
                let location = location.map(|child| child.location);
                if matches!(location, Some(ChildLocation::DrainingChild(_))) {
                    self.note_successor_leaves(process.id, policy);
                }
            }
        }
    }

    /// Checks a refusal after the action that goes with it.
    pub(super) fn check_refusal(&self) -> Result<(), Broken> {
        let is_refused = self.supervisor.rollouts().rolling_back().is_some();
        let has_failed = |current: Current| current.failed.is_some();
        ensure(
            !is_refused || self.rollouts.current.is_some_and(has_failed),
            "a rollout is refused only because something failed, or at rollout_timeout",
        )
    }

    // Actions.

    pub(super) fn open_program(&mut self) -> Result<(), Broken> {
        ensure(
            self.stop.is_none() && self.is_master_ready(),
            "a rollout begins when the master is ready, and before a stop",
        )?;
        ensure(
            self.rollouts.current.is_none(),
            "a rollout begins after the verdict of the one before",
        )?;
        ensure(
            std::mem::replace(&mut self.rollouts.is_requested, false),
            "a rollout begins once for each request",
        )?;
        self.rollouts.current = Some(Current {
            program: None,
            failed: None,
            replaced: 0,
            deadline: None,
        });
        Ok(())
    }

    pub(super) fn check_successor(
        &self,
        slot: usize,
        program: ProgramId,
        policy: &Policy,
    ) -> Result<(), Broken> {
        ensure(self.stop.is_none(), "no child is started once a stop began")?;
        ensure(
            self.rollouts.program() == Some(program),
            "a successor runs the program of its rollout",
        )?;
        let successors = self.processes.iter().filter(|process| process.is_successor);
        let of_slot = successors.clone().filter(|process| process.slot == slot);
        ensure(of_slot.count() == 0, "a slot has at most one successor")?;
        let Parallel::Slots(most) = policy.rollout.parallel else {
            return Err("explored policies name a number".into());
        };
        let current = self.rollouts.current.ok_or("a successor has a rollout")?;
        let is_canary = current.failed.is_none() && current.replaced == 0;
        let most = if is_canary { 1 } else { most.get() };
        ensure(
            successors.count() < most,
            "no more successors exist than rollout_parallel, and the first one is alone",
        )?;
        let facts = self.slots.get(slot).ok_or("a successor has a slot")?;
        ensure(
            facts.program != program,
            "a slot that runs the program gets no successor",
        )
    }

    pub(super) fn serve(&mut self, child: ChildId, policy: &Policy) -> Result<(), Broken> {
        let (now, current) = (self.now, self.rollouts.current);
        let current = current.ok_or("a successor has a rollout")?;
        let soak = match (current.failed, current.replaced) {
            (Some(_), _) => std::time::Duration::ZERO,
            (None, 0) => policy.rollout.canary,
            (None, _) => policy.rollout.soak,
        };
        let process = self.process(child).ok_or("served after its exit")?;
        ensure(
            process.is_successor && process.is_healthy && process.soak_until.is_none(),
            "the gate of a successor is opened once, when it is ready",
        )?;
        process.soak_until = Some(now + soak);
        Ok(())
    }

    pub(super) fn replaced(
        &mut self,
        slot: SlotId,
        child: ChildId,
        previous: Option<ChildId>,
        policy: &Policy,
    ) -> Result<(), Broken> {
        let now = self.now;
        let process = self.process(child).ok_or("replaced after its exit")?;
        ensure(
            process.is_successor && process.soak_until.is_some_and(|at| at <= now),
            "a successor replaces a child after it has soaked",
        )?;
        process.is_successor = false;
        process.soak_until = None;
        let program = process.program;
        let mut filling = self.processes.iter().filter(|process| process.fills_slot);
        let filling = filling
            .find(|process| process.slot == slot.0)
            .map(|process| process.id);
        ensure(
            filling == previous,
            "a successor replaces the child of its slot",
        )?;
        if let Some(previous) = previous {
            self.note_older_has_no_time(previous);
            if let Some(process) = self.process(previous) {
                process.leave(now, policy);
            }
        }
        if let Some(process) = self.process(child) {
            process.fills_slot = true;
        }
        let facts = &mut self.slots[slot.0];
        facts.program = program;
        facts.replace_at = None;
        facts.was_requested = true;
        facts.was_confirmed = true;
        self.was_healthy = true;
        if let Some(current) = &mut self.rollouts.current {
            current.replaced += 1;
        }
        Ok(())
    }

    pub(super) fn verdict(&mut self, verdict: Verdict, policy: &Policy) -> Result<(), Broken> {
        let current = self.rollouts.current.take();
        let current = current.ok_or("a verdict follows an opened program, once")?;
        let is_late = current.deadline.is_some_and(|at| at <= self.now);
        match verdict {
            Verdict::Accepted { program, .. } => {
                ensure(
                    current.failed.is_none() && self.stop.is_none(),
                    "a rollout in which something failed is not accepted",
                )?;
                self.rollouts.accepted = program;
                self.check_program("every slot runs the accepted program")?;
                self.note_standbys_leave(policy);
            }
            Verdict::Refused { refusal, left, .. } => {
                ensure(
                    current.failed == Some(refusal.stage),
                    "a refused rollout has a true reason",
                )?;
                if is_late {
                    self.note_successors_leave(policy);
                }
                let others = self.processes.iter().filter(|process| {
                    process.fills_slot && process.program != self.rollouts.accepted
                });
                ensure(
                    others.count() == left,
                    "a refused rollout counts the slots that were not rolled back",
                )?;
            }
            Verdict::Stopped => ensure(
                self.stop.is_some(),
                "a rollout is stopped only by a stop of the master",
            )?,
        }
        let successors = self.processes.iter().filter(|process| process.is_successor);
        ensure(successors.count() == 0, "no successor outlives its rollout")
    }

    fn check_program(&self, promise: &str) -> Result<(), Broken> {
        let runs = |slot: usize| {
            let mut processes = self.processes.iter();
            processes.any(|process| {
                process.slot == slot
                    && process.fills_slot
                    && process.program == self.rollouts.accepted
            })
        };
        ensure((0..self.slots.len()).all(runs), promise)
    }

    /// Checks what holds when the supervisor has nothing to do at this moment.
    pub(super) fn check_rollout_rested(&self) -> Result<(), Broken> {
        let successors = self.processes.iter().filter(|process| process.is_successor);
        let Some(current) = self.rollouts.current else {
            let may_begin = self.rollouts.is_requested && self.is_master_ready();
            ensure(!may_begin, "a rollout that was requested begins at once")?;
            return ensure(successors.count() == 0, "a successor has a rollout");
        };
        ensure(self.stop.is_none(), "a stop ends the rollout")?;
        let is_late = current.deadline.is_some_and(|at| at <= self.now);
        ensure(
            !is_late,
            "a rollout and its roll-back end at rollout_timeout",
        )?;
        let awaits_answer = current.program.is_none();
        ensure(
            awaits_answer || successors.clone().count() > 0,
            "a rollout awaits its program or a successor",
        )?;
        for process in successors {
            let is_ready = process.is_healthy && process.soak_until.is_none();
            ensure(!is_ready, "the gate of a ready successor is opened at once")?;
            let has_soaked = process.soak_until.is_some_and(|at| at <= self.now);
            ensure(!has_soaked, "a successor that has soaked replaces at once")?;
        }
        Ok(())
    }

    /// The action of a rollout, performed.
    pub(super) fn perform_rollout(
        &mut self,
        action: Action,
        policy: &Policy,
    ) -> Result<(), Broken> {
        match action {
            Action::OpenProgram => self.open_program(),
            Action::Serve { child } => self.serve(child, policy),
            Action::ReportReplaced {
                slot,
                child,
                previous,
            } => self.replaced(slot, child, previous, policy),
            Action::ReportVerdict(verdict) => self.verdict(verdict, policy),
            other => Err(format!("{other:?} is not about a rollout")),
        }
    }
}

impl Process {
    /// The stage at which its rollout fails with it.
    pub(super) fn stage(&self) -> RefusalStage {
        match self.soak_until {
            Some(_) => RefusalStage::Soak,
            None => RefusalStage::Ready,
        }
    }
}
