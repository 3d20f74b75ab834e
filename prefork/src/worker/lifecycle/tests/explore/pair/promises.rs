//! The promises about each state, and about the rest of its schedule.

use super::super::ensure;
use super::process::Process;
use super::world::World;
use super::{GRACE, Move, SECOND};
use crate::explore::Broken;
use crate::supervisor::{Stop, Supervisor};

/// What the program of the workers does until the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// Nothing.
    Hangs,
    /// It accepts, reads and answers at once, and `main` never ends.
    Lingers,
    /// As `Lingers`, but `main` ends when `shutdown()` has resolved.
    Serves,
}

/// More moves than both ends and a program can make at one moment.
const MANY: usize = 100;

impl World {
    pub(super) fn check_always(&self) -> Result<(), Broken> {
        let Some(master) = &self.master else {
            return Ok(());
        };
        ensure(
            master.outcome().is_none() || self.workers.is_empty() || self.paused > 0,
            "the master ends after its workers",
        )
    }

    /// Checks a moment at which time passes.
    pub(super) fn check_quiet(&self) -> Result<(), Broken> {
        let mut rested = self.clone();
        ensure(rested.master_acts()?.is_none(), "nothing is left to do")?;
        let now = rested.now;
        let mut deadlines: Vec<_> = Vec::new();
        for worker in &rested.workers {
            deadlines.extend(worker.lifecycle.deadline(now));
            ensure(
                worker.drain.is_some() == worker.must_end_by.is_some(),
                "a worker drains as soon as it is requested",
            )?;
        }
        deadlines.extend(rested.master.as_ref().and_then(Supervisor::deadline));
        ensure(
            deadlines.iter().all(|&at| at > now),
            "without an action, the deadline is in the future",
        )?;
        ensure(
            !rested.must_end() || !deadlines.is_empty() || rested.is_over(),
            "master and worker never wait for each other",
        )?;
        let Some(master) = &rested.master else {
            let mut workers = rested.workers.iter();
            return ensure(
                workers.all(|worker| worker.drain.is_some()),
                "a worker without a master drains",
            );
        };
        for worker in &rested.workers {
            ensure(
                !master.snapshot().is_draining(worker.id) || worker.drain.is_some(),
                "a worker that has to drain for the master drains",
            )?;
            ensure(
                !worker.is_gated || !worker.is_ready || worker.drain.is_some(),
                "the gate of a ready successor opens at once",
            )?;
            let shown = worker.drain.map(|drain| drain.deadline);
            let is_in_time = |at| shown.is_none_or(|shown| shown <= at + worker.late);
            ensure(
                worker.kill_at.is_none_or(is_in_time),
                "a worker has no more time than the master gives it, apart from the time that the \
                 frame was unread",
            )?;
        }
        let mut workers = rested.workers.iter();
        let is_closed = workers.all(|worker| worker.drain.is_some() && !worker.is_listening);
        ensure(
            !(rested.stop().is_some() && is_closed && rested.is_bound),
            "the master closes the listeners as soon as no worker accepts",
        )
    }

    /// Checks that both ends come to an end if nothing else happens.
    pub(super) fn check_end(&self, program: Program) -> Result<(), Broken> {
        let mut world = self.clone();
        let longest = GRACE + 2 * SECOND;
        for second in 0..=longest.as_secs() {
            world.has_killed_late = false;
            world.settle(program)?;
            world.check_always()?;
            let is_excused = second == 0 || world.stop().is_some_and(Stop::is_immediate);
            ensure(
                program != Program::Serves || !world.has_killed_late || is_excused,
                "a program that ends when shutdown() resolves is not killed",
            )?;
            if world.is_over() {
                return Ok(());
            }
            world.check_quiet()?;
            world.now += SECOND;
        }
        Err("both ends come to an end, within the budget".into())
    }

    /// Both ends read and perform everything that is due at this moment.
    pub(super) fn settle(&mut self, program: Program) -> Result<(), Broken> {
        for _ in 0..MANY {
            if let Some(index) = self.workers.iter().position(|worker| worker.has_exited) {
                self.master_reaps(index)?;
                continue;
            }
            let is_unread = |worker: &Process| !worker.to_master.is_empty();
            if let Some(index) = self.workers.iter().position(is_unread) {
                self.master_reads(index)?;
                continue;
            }
            if self.master_acts()?.is_some() {
                continue;
            }
            if !self.one_worker_acts(program)? {
                return Ok(());
            }
        }
        Err("no action repeats for ever".into())
    }

    /// Returns whether one has acted.
    fn one_worker_acts(&mut self, program: Program) -> Result<bool, Broken> {
        for index in 0..self.workers.len() {
            if self.is_wake_due(&self.workers[index]) {
                self.wake(index)?;
                return Ok(true);
            }
            if self.worker_acts(index)?.is_some() {
                return Ok(true);
            }
            if program != Program::Hangs && self.serve(index, program)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes the next move of a program that works. Returns whether there was one.
    fn serve(&mut self, index: usize, program: Program) -> Result<bool, Broken> {
        let worker = &self.workers[index];
        let may_end = program == Program::Serves;
        let all = [
            (self.may_accept(worker), Move::Accepts(index)),
            (worker.silent > 0, Move::ClientSends(index)),
            (worker.readable > 0, Move::Reads(index)),
            (worker.half_read > 0, Move::Finishes(index)),
            (
                worker.must_close(self.now, self.queued),
                Move::ListenerEnds(index),
            ),
            (
                may_end && worker.is_resolved && !worker.has_main_ended,
                Move::MainEnds(index),
            ),
            (
                may_end && worker.has_main_ended && worker.drain.is_some(),
                Move::Exits(index),
            ),
        ];
        let Some((_, next)) = all.into_iter().find(|(is_possible, _)| *is_possible) else {
            return Ok(false);
        };
        self.apply(next)?;
        Ok(true)
    }
}
