//! The world around the supervisor: the loop of the master, processes and an operator.
//!
//! The order of calls is that of `master/master.rs`: one action, then all events that have arrived.
//! Time passes in actions and hooks, and between the events and the next question.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use super::super::super::{
    Action, ChildId, Event, KillReason, ProgramId, Readiness, RefusalStage, StartFailure,
    StopCause, StopMode, Verdict,
};
use super::broken::{Broken, check};
use super::observer::child_of;
use super::plan::{Character, Class, MILLI, Nanos, Plan, Rng, Span, nanos};
use super::replay::{Replay, slots};

pub(super) struct World {
    pub(super) plan: Plan,
    rng: Rng,
    pub(super) replay: Replay,
    clock: Nanos,
    /// The time up to which all events were read.
    seen: Nanos,
    queue: BinaryHeap<Coming>,
    count: u64,
    alive: BTreeMap<ChildId, Character>,
    /// Each program that was opened, by its id.
    programs: Vec<Character>,
    silent: BTreeSet<ChildId>,
    /// Those whose start is not answered yet.
    unanswered: BTreeMap<ChildId, Character>,
    /// Some children that have exited.
    gone: [ChildId; 16],
    /// How many children did not exit soon after SIGKILL.
    late_deaths: usize,
    is_calm: bool,
    pub(super) events: u64,
    pub(super) tally: Tally,
}

/// Something that will happen.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Coming {
    at: Nanos,
    number: u64,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// It happens whatever else happens.
    Fact(Event),
    /// It does not happen any more once the faults have ended.
    Fault(Event),
    /// The start of this child is answered.
    Answer(ChildId),
    /// No frame of this child arrives any more.
    Silence(ChildId),
    Operator,
    Rollout,
    Hurry,
}

const HURRY: Event = Event::StopRequested {
    urgency: StopMode::Immediate,
};

/// How often each action and each cause of a stop was seen.
#[derive(Default)]
pub(super) struct Tally(Vec<(&'static str, u64)>);

impl World {
    pub(super) fn new(plan: Plan, rng: Rng) -> Self {
        Self {
            replay: Replay::new(plan.policy.clone()),
            plan,
            rng,
            clock: 0,
            seen: 0,
            queue: BinaryHeap::new(),
            count: 0,
            alive: BTreeMap::new(),
            programs: vec![Character::Mixed],
            silent: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            gone: [ChildId(0); 16],
            late_deaths: 0,
            is_calm: false,
            events: 0,
            tally: Tally::default(),
        }
    }

    pub(super) fn clock(&self) -> Nanos {
        self.clock
    }

    /// Runs with faults, then without, then stops the fleet.
    ///
    /// # Errors
    /// The first promise that does not hold.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        const CENTURIES: Nanos = 300 * 365 * 24 * 3_600 * 1_000 * MILLI;
        self.expect(0, What::Operator);
        let mut rounds = 3 * self.plan.events;
        while self.events < self.plan.events && rounds > 0 && self.clock < CENTURIES {
            if self.run_round()? {
                return self.check_end();
            }
            rounds -= 1;
        }
        self.end_faults();
        if self.settle()? {
            return self.check_end();
        }
        self.tally.add("all slots serve");
        // The last rollout is good.
        let accepted = self.replay.observer().rollouts_accepted();
        self.tell(Event::RolloutRequested, self.seen)?;
        if self.settle()? {
            let promise = "a good rollout does not end the master";
            let detail = format!("{:?}", self.replay.outcome());
            return Err(Broken { promise, detail });
        }
        let is_accepted = self.replay.observer().rollouts_accepted() > accepted;
        let (needed, limit) = self.time_of_rollout();
        check(
            is_accepted || needed >= limit,
            "a good rollout is accepted, if it has the time",
            || format!("needs {needed} of {limit}"),
        )?;
        if is_accepted {
            self.tally.add("the last rollout is accepted");
        }
        self.live_on()?;
        // Now children may ignore the request to stop.
        self.is_calm = false;
        let urgency = self.rng.pick(&[StopMode::Graceful, StopMode::Immediate]);
        self.tell(Event::StopRequested { urgency }, self.seen)?;
        while !self.run_round()? {}
        self.check_end()
    }

    /// Runs until each slot serves and no rollout is in progress. Returns whether the fleet has ended.
    fn settle(&mut self) -> Result<bool, Broken> {
        let settled_by = self.clock.saturating_add(self.longest());
        while !self.replay.observer().is_settled() {
            if self.run_round()? {
                return Ok(true);
            }
            check(
                self.clock <= settled_by,
                "each slot serves some time after the faults have ended, or the master stops",
                || format!("not by {settled_by}"),
            )?;
        }
        Ok(false)
    }

    /// The time that a rollout without faults needs at most, and the time that it has.
    fn time_of_rollout(&self) -> (Nanos, Nanos) {
        let (policy, slots) = (&self.plan.policy.rollout, self.replay.observer().slots());
        // Neighbors are not replaced at the same time.
        let parallel = match self.plan.policy.ring_width {
            0 | 1 => policy.parallel.of(slots),
            _ => 1,
        };
        let later = slots.saturating_sub(1).div_ceil(parallel) as u64;
        let rounds = nanos(policy.soak)
            .saturating_add(2 * MILLI)
            .saturating_mul(later);
        let needed = nanos(policy.canary).saturating_add(2 * MILLI);
        (needed.saturating_add(rounds), nanos(policy.timeout))
    }

    /// Runs until nothing is left to happen: children that stay alive are never replaced.
    fn live_on(&mut self) -> Result<(), Broken> {
        let started = self.count_of("start");
        let mut has_ended = false;
        while !has_ended && (self.replay.deadline().is_some() || !self.queue.is_empty()) {
            has_ended = self.run_round()?;
        }
        let more = self.count_of("start") - started;
        check(
            more == 0 && !has_ended,
            "children that stay alive are never replaced",
            || format!("{more} starts"),
        )
    }

    fn count_of(&self, name: &str) -> u64 {
        let counts = self.tally.counts().iter();
        counts
            .filter(|(known, _)| *known == name)
            .map(|&(_, count)| count)
            .sum()
    }

    /// How long a fleet without faults may need to serve.
    fn longest(&self) -> Nanos {
        let policy = &self.plan.policy;
        let limits = [
            policy.healthy_after,
            Some(policy.ready_timeout)
                .filter(|&limit| limit < Duration::MAX)
                .unwrap_or_default(),
            policy.recover_interval,
            policy.backoff.max,
            policy.drain_delay,
            policy.shutdown_grace_period,
            policy.exit_timeout,
            policy.kill_timeout,
            policy.rollout.timeout,
            policy.standby_pause,
            Duration::from_mins(1),
        ];
        nanos(limits.into_iter().sum()).saturating_mul(4)
    }

    fn end_faults(&mut self) {
        self.is_calm = true;
        self.silent.clear();
        for child in self.alive.clone().into_keys() {
            self.expect(MILLI, What::Fact(Event::Ready { child }));
        }
        for child in self.unanswered.clone().into_keys() {
            self.expect(MILLI, What::Answer(child));
        }
    }

    /// One round of the master's loop. Returns whether the fleet has ended.
    fn run_round(&mut self) -> Result<bool, Broken> {
        if let Some(action) = self.replay.try_ask(self.seen)? {
            self.tally.add(name_of_action(action));
            if let Action::ReportVerdict(Verdict::Refused { left: 1.., .. }) = action {
                self.tally.add(NAMES[29]);
            }
            self.perform(action)?;
        } else if let Some(outcome) = self.replay.outcome() {
            self.tally.add(name_of_cause(outcome.stop.cause));
            return Ok(true);
        } else {
            let next = self.queue.peek().map(|coming| coming.at);
            let Some(until) = next.into_iter().chain(self.replay.deadline()).min() else {
                let promise = "a deadline or an event is left until the fleet has ended";
                let detail = format!("at {}", self.clock);
                return Err(Broken { promise, detail });
            };
            self.clock = self.clock.max(until);
            self.clock += self.fault(self.plan.pause).unwrap_or(0);
        }
        self.poll()?;
        Ok(false)
    }

    /// Handles the events that have arrived: the operator first, a child's exit after its frames.
    fn poll(&mut self) -> Result<(), Broken> {
        self.seen = self.clock;
        let mut batch = Vec::new();
        while let Some(first) = self.queue.peek()
            && first.at <= self.seen
        {
            batch.extend(self.queue.pop());
        }
        batch.sort_by_key(|coming| match coming.what {
            What::Operator | What::Rollout | What::Hurry => 0,
            What::Fact(Event::Exited { .. }) | What::Fault(Event::Exited { .. }) => 2,
            What::Fact(_) | What::Fault(_) | What::Answer(_) | What::Silence(_) => 1,
        });
        for coming in batch {
            match coming.what {
                What::Operator => self.operate()?,
                What::Hurry => self.tell(HURRY, self.seen)?,
                What::Fault(_) | What::Silence(_) | What::Rollout if self.is_calm => {}
                What::Rollout => self.tell(Event::RolloutRequested, self.seen)?,
                What::Answer(child) => {
                    if let Some(character) = self.unanswered.remove(&child) {
                        self.begin(child, character, self.seen)?;
                    }
                }
                What::Silence(child) => {
                    if self.alive.contains_key(&child) {
                        self.silent.insert(child);
                    }
                }
                What::Fact(event) | What::Fault(event) => self.happen(event)?,
            }
        }
        Ok(())
    }

    /// An event about a process, if it still exists.
    fn happen(&mut self, mut event: Event) -> Result<(), Broken> {
        let child = *child_of(&mut event).expect("an event about a process");
        let is_exit = matches!(event, Event::Exited { .. });
        if !self.alive.contains_key(&child) || self.silent.contains(&child) && !is_exit {
            return Ok(());
        }
        match event {
            Event::Exited { .. } => {
                self.call_hook()?;
                self.exit(child)?;
            }
            Event::Ready { .. } => {
                self.call_hook()?;
                self.tell(event, self.seen)?;
            }
            _ => self.tell(event, self.seen)?,
        }
        if self.fault(self.plan.repeats_frames).is_some() {
            self.tell(event, self.seen)?;
        }
        if self.fault(self.plan.stale).is_some() {
            let mut stale = event;
            let gone = self.rng.pick(&self.gone);
            *child_of(&mut stale).expect("an event about a process") = gone;
            self.tell(stale, self.seen)?;
        }
        Ok(())
    }

    fn exit(&mut self, child: ChildId) -> Result<(), Broken> {
        self.alive.remove(&child);
        self.silent.remove(&child);
        let index = usize::try_from(child.0 % 16).expect("an index");
        self.gone[index] = child;
        self.tell(Event::Exited { child }, self.seen)
    }

    fn operate(&mut self) -> Result<(), Broken> {
        if self.is_calm || self.replay.observer().is_stopping() {
            return Ok(());
        }
        let plan = self.plan.clone();
        if let Some(later) = plan.rollout.happens(&mut self.rng) {
            let times = self.rng.below(3) + 1;
            for time in 0..times {
                self.expect(later.saturating_mul(time), What::Rollout);
            }
        }
        if plan.stale.happens(&mut self.rng).is_some() {
            self.repeat_an_answer()?;
        }
        if plan.stop.happens(&mut self.rng).is_some() {
            let urgency = self.rng.pick(&[StopMode::Graceful, StopMode::Immediate]);
            self.tell(Event::StopRequested { urgency }, self.seen)?;
            if self.rng.is_one_in(2) {
                let later = plan.draining.draw(&mut self.rng);
                self.expect(later, What::Hurry);
            }
        }
        // Sometimes twice: a slot is removed and added again.
        let resizes = plan
            .resize
            .happens(&mut self.rng)
            .map_or(0, |_| 1 + self.rng.below(2));
        for _ in 0..resizes {
            let largest = 2 * plan.policy.slots.get() as u64;
            let wanted = match self.rng.below(4) {
                0 => 1,
                1 => largest / 2,
                _ => self.rng.magnitude(largest),
            };
            let slots = slots(usize::try_from(wanted).expect("few slots"));
            self.tell(Event::Resize { slots }, self.seen)?;
        }
        if plan.mass_exit.happens(&mut self.rng).is_some() {
            let survivors = self.rng.below(4) + 1;
            for child in self.alive.clone().into_keys() {
                if survivors == 1 || !self.rng.is_one_in(survivors) {
                    self.exit(child)?;
                }
            }
        }
        if plan.listener_is_lost.happens(&mut self.rng).is_some() {
            self.tell(Event::ListenerLost, self.seen)?;
        }
        if let Some(later) = plan.operator.happens(&mut self.rng) {
            self.expect(later, What::Operator);
        }
        Ok(())
    }

    /// An answer to a question that was answered before, or never asked.
    fn repeat_an_answer(&mut self) -> Result<(), Broken> {
        let answers = [
            Event::MasterReady,
            Event::ProgramFailed,
            Event::ProgramOpened {
                program: ProgramId(self.programs.len()),
            },
        ];
        let is_master_ready = self.replay.observer().is_master_ready();
        let answer = self.rng.pick(&answers);
        if answer == Event::MasterReady && !is_master_ready {
            return Ok(());
        }
        self.tell(answer, self.seen)
    }

    fn perform(&mut self, action: Action) -> Result<(), Broken> {
        match action {
            Action::Start { child, program, .. } => self.start(child, self.programs[program.0]),
            Action::AnnounceMasterReady => {
                if self.call_hook()? {
                    self.tell(Event::MasterReady, self.clock)?;
                }
                Ok(())
            }
            Action::Terminate { child, .. } => {
                if self.fault(self.plan.ignores_drain).is_none() {
                    let ended = self.plan.draining.draw(&mut self.rng);
                    let closed = self.rng.below(ended + 1);
                    self.expect(closed, What::Fact(Event::Closed { child }));
                    self.end_main(child, ended, What::Fact);
                }
                Ok(())
            }
            Action::Kill { child, .. } => {
                let late = self.fault(self.plan.dies_late);
                let dying = late.unwrap_or_else(|| self.plan.dying.draw(&mut self.rng));
                // Few processes never exit: each costs memory until the end.
                self.late_deaths += usize::from(late.is_some());
                if late.is_none() || self.late_deaths > 50 {
                    self.expect(dying, What::Fact(Event::Exited { child }));
                }
                self.call_hook()?;
                Ok(())
            }
            Action::OpenProgram => self.open_program(),
            Action::Serve { child } => {
                let event = match self.alive.get(&child) {
                    Some(Character::ExitsInSoak) => Event::Exited { child },
                    Some(Character::UnreadyInSoak) => Event::Unready { child },
                    Some(_) | None => return Ok(()),
                };
                let soak = nanos(self.plan.policy.rollout.soak);
                let at = self.rng.below(soak + 1);
                self.expect(at, What::Fault(event));
                Ok(())
            }
            Action::ReportHealthy { .. } => {
                self.call_hook()?;
                Ok(())
            }
            Action::Adopt { child, .. } => {
                if self.fault(self.plan.fails_to_adopt).is_some() {
                    self.tell(Event::AdoptionFailed { child }, self.clock)?;
                }
                Ok(())
            }
            Action::Release { .. }
            | Action::GiveUp { .. }
            | Action::ReportRunning { .. }
            | Action::Promote { .. }
            | Action::ReportReplaced { .. }
            | Action::ReportVerdict(_)
            | Action::CloseListeners => Ok(()),
        }
    }

    fn open_program(&mut self) -> Result<(), Broken> {
        let plan = self.plan.clone();
        if !self.is_calm {
            self.clock += plan.spawning.draw(&mut self.rng);
        }
        if self.fault(plan.open_fails).is_some() {
            return self.tell(Event::ProgramFailed, self.clock);
        }
        let program = ProgramId(self.programs.len());
        let is_bad = self.fault(plan.bad_program).is_some();
        let good = [Character::Mixed, Character::Good];
        let characters = if is_bad { &Character::BAD[..] } else { &good };
        self.programs.push(self.rng.pick(characters));
        self.tell(Event::ProgramOpened { program }, self.clock)
    }

    fn start(&mut self, child: ChildId, character: Character) -> Result<(), Broken> {
        let plan = self.plan.clone();
        self.call_hook()?;
        if !self.is_calm {
            self.clock += plan.spawning.draw(&mut self.rng);
        }
        let failures = [
            (plan.spawn_fails, StartFailure::Transient),
            (plan.spawn_fails_for_good, StartFailure::Permanent),
            (plan.spawn_is_refused, StartFailure::Refused),
        ];
        let may_fail = plan.fails_early || self.replay.observer().is_master_ready();
        for (class, failure) in failures {
            let can_start = character != Character::CannotStart || self.is_calm;
            let fails = self.fault(class).is_some() || !can_start;
            if may_fail && character != Character::Good && fails {
                self.tell(Event::StartFailed { child, failure }, self.clock)?;
                self.call_hook()?;
                return Ok(());
            }
        }
        if self.fault(plan.never_answers).is_some() && self.fault(plan.answers_late).is_some() {
            self.unanswered.insert(child, character);
            return Ok(());
        }
        if let Some(later) = self.fault(plan.answers_late) {
            self.unanswered.insert(child, character);
            self.expect(later, What::Answer(child));
            return Ok(());
        }
        self.begin(child, character, self.clock)?;
        self.call_hook()?;
        if character != Character::Good && self.fault(plan.exec_hangs).is_some() {
            self.tell(Event::Violation { child }, self.clock)?;
        }
        Ok(())
    }

    /// A start has succeeded.
    fn begin(&mut self, child: ChildId, character: Character, at: Nanos) -> Result<(), Broken> {
        self.alive.insert(child, character);
        let readiness = self.plan.readiness;
        self.tell(Event::Started { child, readiness }, at)?;
        if self.plan.policy.ring_width > 0 && self.fault(self.plan.cannot_adopt).is_none() {
            let hello = self.rng.below(MILLI);
            self.expect(hello, What::Fact(Event::AdoptionOffered { child }));
        }
        self.live(child, character, readiness);
        Ok(())
    }

    /// Draws the life of a process.
    fn live(&mut self, child: ChildId, character: Character, assumed: Readiness) {
        let plan = self.plan.clone();
        let soon = nanos(plan.policy.ready_timeout / 2).min(MILLI);
        if self.is_calm {
            return self.expect(soon, What::Fact(Event::Ready { child }));
        }
        let ready = plan.ready.draw(&mut self.rng);
        let later = Span::Mixed.draw(&mut self.rng);
        match character {
            Character::Mixed => {}
            Character::CannotStart | Character::NeverReady => return,
            Character::ExitsBeforeReady => {
                let at = self.rng.below(soon + 1);
                return self.expect(at, What::Fault(Event::Exited { child }));
            }
            Character::Good | Character::ExitsInSoak | Character::UnreadyInSoak => {
                return self.expect(soon, What::Fact(Event::Ready { child }));
            }
            Character::ExitsLater => {
                self.expect(ready, What::Fact(Event::Ready { child }));
                return self.expect(ready + later, What::Fault(Event::Exited { child }));
            }
            Character::EndsMain => {
                self.expect(ready, What::Fact(Event::Ready { child }));
                return self.end_main(child, ready + later, What::Fault);
            }
            Character::Violates => {
                self.expect(ready, What::Fact(Event::Ready { child }));
                return self.expect(ready + later, What::Fault(Event::Violation { child }));
            }
        }
        if let Some(at) = plan.corrects_readiness.happens(&mut self.rng) {
            let readiness = match assumed {
                Readiness::Notified => Readiness::Assumed,
                Readiness::Assumed => Readiness::Notified,
            };
            self.expect(at, What::Fact(Event::Readiness { child, readiness }));
        }
        if plan.never_ready.happens(&mut self.rng).is_none() {
            self.expect(ready, What::Fact(Event::Ready { child }));
        }
        let faults = [
            (plan.exits, Event::Exited { child }),
            (plan.violates, Event::Violation { child }),
            (plan.closes, Event::Closed { child }),
            (plan.takes_back, Event::Unready { child }),
        ];
        for (class, event) in faults {
            if let Some(at) = class.happens(&mut self.rng) {
                self.expect(at, What::Fault(event));
            }
        }
        if let Some(at) = plan.is_ready_again.happens(&mut self.rng) {
            self.expect(ready + at, What::Fact(Event::Ready { child }));
        }
        if let Some(at) = plan.is_suspended.happens(&mut self.rng) {
            let lasts = later / 2;
            self.expect(at, What::Fault(Event::Suspended { child }));
            self.expect(at + lasts, What::Fact(Event::Resumed { child }));
        }
        if let Some(at) = plan.falls_silent.happens(&mut self.rng) {
            self.expect(at, What::Silence(child));
        }
        if let Some(at) = plan.main_ends.happens(&mut self.rng) {
            self.end_main(child, at, What::Fault);
        }
    }

    fn end_main(&mut self, child: ChildId, at: Nanos, what: fn(Event) -> What) {
        self.expect(at, what(Event::MainEnded { child }));
        if self.fault(self.plan.never_exits).is_none() {
            let exited = at + self.plan.exiting.draw(&mut self.rng);
            self.expect(exited, what(Event::Exited { child }));
        }
    }

    /// A hook takes time and can fail. Returns whether the master continues.
    fn call_hook(&mut self) -> Result<bool, Broken> {
        self.clock += self.fault(self.plan.hook_is_slow).unwrap_or(0);
        let fails = self.fault(self.plan.hook_fails).is_some();
        if fails {
            self.tell(Event::HookFailed, self.clock)?;
        }
        Ok(!fails)
    }

    fn fault(&mut self, class: Class) -> Option<Nanos> {
        (!self.is_calm).then(|| class.happens(&mut self.rng))?
    }

    /// Checks that nothing changes after the end.
    fn check_end(&mut self) -> Result<(), Broken> {
        for _ in 0..50 {
            let Some(coming) = self.queue.pop() else {
                break;
            };
            self.clock = self.clock.max(coming.at);
            match coming.what {
                What::Fact(event) | What::Fault(event) => self.tell(event, self.clock)?,
                What::Operator | What::Hurry => self.tell(HURRY, self.clock)?,
                What::Rollout => self.tell(Event::RolloutRequested, self.clock)?,
                What::Answer(child) => {
                    let readiness = self.plan.readiness;
                    self.tell(Event::Started { child, readiness }, self.clock)?;
                }
                What::Silence(_) => {}
            }
            self.replay.try_ask(self.clock)?;
        }
        Ok(())
    }

    fn tell(&mut self, event: Event, at: Nanos) -> Result<(), Broken> {
        self.events += 1;
        self.replay.try_tell(at, event)
    }

    fn expect(&mut self, after: Nanos, what: What) {
        self.count += 1;
        self.queue.push(Coming {
            at: self.clock + after,
            number: self.count,
            what,
        });
    }
}

impl Tally {
    fn add(&mut self, name: &'static str) {
        self.add_many(name, 1);
    }

    fn add_many(&mut self, name: &'static str, times: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += times,
            None => self.0.push((name, times)),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for &(name, times) in &other.0 {
            self.add_many(name, times);
        }
    }

    pub(super) fn counts(&self) -> &[(&'static str, u64)] {
        &self.0
    }
}

/// The first event is the greatest, as `BinaryHeap` expects.
impl Ord for Coming {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Coming {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Everything that a run must see at least once. A new action or cause belongs here.
pub(super) const NAMES: [&str; 34] = [
    "start",
    "announce",
    "terminate",
    "kill: not ready",
    "kill: violation",
    "kill: out of time",
    "give up",
    "report running",
    "close listeners",
    "ended: requested",
    "ended: over recovery",
    "ended: start failed, transient",
    "ended: start failed, permanent",
    "ended: start failed, refused",
    "ended: hook failed",
    "ended: listener lost",
    "all slots serve",
    "open the program",
    "serve",
    "replaced",
    "verdict: accepted",
    "verdict: stopped",
    "verdict: refused, open",
    "verdict: refused, start",
    "verdict: refused, ready",
    "verdict: refused, soak",
    "verdict: refused, serve",
    "verdict: refused, time",
    "the last rollout is accepted",
    "children are left after a roll-back",
    "promote",
    "report healthy",
    "adopt",
    "release",
];

fn name_of_action(action: Action) -> &'static str {
    match action {
        Action::Start { .. } => NAMES[0],
        Action::AnnounceMasterReady => NAMES[1],
        Action::Terminate { .. } => NAMES[2],
        Action::Kill { reason, .. } => match reason {
            KillReason::NotReady => NAMES[3],
            KillReason::Violation => NAMES[4],
            KillReason::OutOfTime => NAMES[5],
        },
        Action::GiveUp { .. } => NAMES[6],
        Action::ReportRunning { .. } => NAMES[7],
        Action::ReportHealthy { .. } => NAMES[31],
        Action::Adopt { .. } => NAMES[32],
        Action::Release { .. } => NAMES[33],
        Action::CloseListeners => NAMES[8],
        Action::OpenProgram => NAMES[17],
        Action::Serve { .. } => NAMES[18],
        Action::ReportReplaced { .. } => NAMES[19],
        Action::Promote { .. } => NAMES[30],
        Action::ReportVerdict(verdict) => match verdict {
            Verdict::Accepted { .. } => NAMES[20],
            Verdict::Stopped => NAMES[21],
            Verdict::Refused { refusal, .. } => match refusal.stage {
                RefusalStage::Open => NAMES[22],
                RefusalStage::Start => NAMES[23],
                RefusalStage::Ready => NAMES[24],
                RefusalStage::Soak => NAMES[25],
                RefusalStage::Serve => NAMES[26],
                RefusalStage::Time => NAMES[27],
            },
        },
    }
}

fn name_of_cause(cause: StopCause) -> &'static str {
    match cause {
        StopCause::Requested => NAMES[9],
        StopCause::OverRecovery { .. } => NAMES[10],
        StopCause::StartFailed { failure, .. } => match failure {
            StartFailure::Transient => NAMES[11],
            StartFailure::Permanent => NAMES[12],
            StartFailure::Refused => NAMES[13],
        },
        StopCause::HookFailed => NAMES[14],
        StopCause::ListenerLost => NAMES[15],
    }
}
