//! The search for a shorter schedule that breaks the same promise, and its text as a test.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::super::super::{
    Action, Backoff, ChildId, Event, Parallel, Policy, ProgramId, Readiness, RolloutPolicy, SlotId,
    StartFailure, StopMode, Window,
};
use super::super::stage::{CANARY, SOAK, TIMEOUT, policy};
use super::broken::Broken;
use super::observer::child_of;
use super::plan::{MILLI, Nanos, nanos};
use super::replay::{Call, Replay, Step, slots};

/// How long the search may take.
const LIMIT: Duration = Duration::from_secs(40);

/// Calls that break a promise with the last one.
#[derive(Clone)]
pub(super) struct Schedule {
    policy: Policy,
    pub(super) steps: Vec<Step>,
    pub(super) broken: Broken,
    /// For each child, its slot and its number among the children of the slot.
    names: HashMap<ChildId, Name>,
    actions: Vec<Option<Action>>,
    /// Whether each start is answered at once, as the master does.
    is_answered: bool,
}

type Name = (usize, u64);

/// The name of a child in the next attempt. `None`: it is not started there.
type Rename<'a> = &'a dyn Fn(Name) -> Option<Name>;

impl Schedule {
    /// Repeats the calls of a run. `None`: no promise is broken.
    pub(super) fn of(policy: Policy, steps: &[Step]) -> Option<Self> {
        let mut names = HashMap::new();
        // The ids are those of the same supervisor.
        let mut replay = Replay::new(policy.clone());
        let mut starts = HashMap::new();
        let broken = guard(|| {
            for step in steps {
                let action = match step.call {
                    Call::Tell(event) => replay.try_tell(step.at, event).map(|()| None)?,
                    Call::Ask => replay.try_ask(step.at)?,
                };
                if let Some(Action::Start { slot, child, .. }) = action {
                    names.insert(child, next_name(&mut starts, slot.0));
                }
            }
            Ok(())
        });
        let broken = broken.err()?;
        let (steps, actions) = (steps.to_vec(), Vec::new());
        Some(Self {
            policy,
            steps,
            broken,
            names,
            actions,
            is_answered: true,
        })
    }

    /// Removes what the failure does not need.
    ///
    /// The search has a thread of its own: a bug can keep a call from returning in some attempt.
    /// Then the result is the best schedule so far.
    pub(super) fn shrink(mut self) -> Self {
        let again = self.attempt(self.policy.clone(), self.steps.clone(), &Some);
        self.is_answered = again.is_some();
        let (sender, better) = channel();
        let mut best = self.clone();
        let search = Search {
            schedule: self,
            end: Instant::now() + LIMIT,
            better: sender,
        };
        thread::spawn(move || search.run());
        while let Ok(schedule) = better.recv_timeout(LIMIT / 4) {
            best = schedule;
        }
        best
    }

    fn span(&self) -> Nanos {
        self.steps.last().map_or(0, |step| step.at)
    }

    /// Makes these calls. Returns what was called, if the same promise is broken.
    ///
    /// The children have other ids now, so each is found by its slot and number. A start without an
    /// answer succeeds, unless the schedule needs one that is not answered.
    fn attempt(&self, policy: Policy, steps: Vec<Step>, rename: Rename<'_>) -> Option<Self> {
        let mut attempt = Attempt {
            replay: Replay::new(policy.clone()),
            ids: HashMap::new(),
            names: HashMap::new(),
            starts: HashMap::new(),
            actions: Vec::new(),
            open: None,
            is_answered: self.is_answered,
            programs: 0,
        };
        attempt.replay.record();
        let broken = guard(|| {
            for step in steps {
                match step.call {
                    Call::Ask => attempt.ask(step.at)?,
                    Call::Tell(event) => {
                        if let Some(event) = self.translate(event, rename, &attempt.ids) {
                            attempt.tell(step.at, event)?;
                        }
                    }
                }
            }
            Ok(())
        });
        let broken = broken.err()?;
        (broken.promise == self.broken.promise).then(|| Self {
            policy,
            steps: attempt.replay.steps().to_vec(),
            broken,
            names: attempt.names,
            actions: attempt.actions,
            is_answered: self.is_answered,
        })
    }

    /// The same event about the child that has the same slot and number now.
    fn translate(
        &self,
        mut event: Event,
        rename: Rename<'_>,
        ids: &HashMap<Name, ChildId>,
    ) -> Option<Event> {
        if let Some(child) = child_of(&mut event) {
            let &(slot, number) = self.names.get(child)?;
            *child = *ids.get(&rename((slot, number))?)?;
        }
        Some(event)
    }
}

/// The search for a shorter schedule.
struct Search {
    schedule: Schedule,
    end: Instant,
    /// Gets each shorter schedule.
    better: Sender<Schedule>,
}

impl Search {
    fn run(mut self) {
        self.shrink_slots();
        loop {
            let before = (self.schedule.steps.len(), self.schedule.span());
            self.shrink_children();
            self.shrink_steps();
            self.shrink_policy();
            self.shrink_times();
            let after = (self.schedule.steps.len(), self.schedule.span());
            if after == before || self.is_over() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    fn shrink_slots(&mut self) {
        let all = |schedule: &Schedule| {
            let used = schedule.names.values().map(|&(slot, _)| slot + 1);
            let used = used.filter(|&slots| slots < SlotId::FIRST_STANDBY);
            used.max().unwrap_or(1).max(schedule.policy.slots.get())
        };
        let last = self
            .schedule
            .steps
            .iter()
            .rev()
            .find_map(|step| match step.call {
                Call::Tell(mut event) => {
                    child_of(&mut event).and_then(|child| self.schedule.names.get(child))
                }
                Call::Ask => None,
            });
        if let Some(&(slot, _)) = last {
            self.keep_slots(&[slot]);
        }
        let mut size = all(&self.schedule).div_ceil(2);
        while size > 0 && !self.is_over() {
            let mut from = 0;
            while from < all(&self.schedule) && all(&self.schedule) > 1 {
                let keep: Vec<_> = (0..all(&self.schedule))
                    .filter(|slot| !(from..from + size).contains(slot))
                    .collect();
                if keep.is_empty() || !self.keep_slots(&keep) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    /// Tries a fleet of these slots only.
    fn keep_slots(&mut self, keep: &[usize]) -> bool {
        let below = |limit: usize| keep.iter().filter(|&&slot| slot < limit).count().max(1);
        let mut policy = self.schedule.policy.clone();
        policy.slots = slots(below(policy.slots.get()));
        let resized = self.schedule.steps.iter().map(|&step| match step.call {
            Call::Tell(Event::Resize { slots: wanted }) => {
                let slots = slots(below(wanted.get()));
                let call = Call::Tell(Event::Resize { slots });
                Step { call, ..step }
            }
            _ => step,
        });
        let resized = resized.collect();
        let rename = |(slot, number)| {
            if SlotId(slot).is_standby() {
                return Some((slot, number));
            }
            let index = keep.iter().position(|&kept| kept == slot)?;
            Some((index, number))
        };
        self.accept(self.schedule.attempt(policy, resized, &rename))
    }

    /// Tries to do without some children. The next ones of their slots take their numbers.
    fn shrink_children(&mut self) {
        let mut size = self.schedule.names.len().div_ceil(2);
        while size > 0 && !self.is_over() {
            let mut from = 0;
            while from < self.schedule.names.len() && !self.is_over() {
                let mut children: Vec<_> = self.schedule.names.iter().collect();
                children.sort_unstable();
                let removed = children.iter().skip(from).take(size);
                let removed: BTreeSet<Name> = removed.map(|&(_, &name)| name).collect();
                let rename = |name: Name| {
                    let earlier = removed.range((name.0, 0)..name).count() as u64;
                    (!removed.contains(&name)).then_some((name.0, name.1 - earlier))
                };
                let fewer = self.schedule.attempt(
                    self.schedule.policy.clone(),
                    self.schedule.steps.clone(),
                    &rename,
                );
                let is_shorter =
                    |schedule: &Schedule| schedule.steps.len() < self.schedule.steps.len();
                if !self.accept(fewer.filter(is_shorter)) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    fn shrink_steps(&mut self) {
        let mut size = self.schedule.steps.len().div_ceil(2);
        while size > 0 && !self.is_over() {
            let mut from = 0;
            while from < self.schedule.steps.len() && !self.is_over() {
                let to = (from + size).min(self.schedule.steps.len());
                let mut steps = self.schedule.steps.clone();
                steps.drain(from..to);
                let shorter = self
                    .schedule
                    .attempt(self.schedule.policy.clone(), steps, &Some);
                let is_shorter =
                    |schedule: &Schedule| schedule.steps.len() < self.schedule.steps.len();
                if !self.accept(shorter.filter(is_shorter)) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    /// Lets each step follow the one before at once, or after a round time.
    fn shrink_times(&mut self) {
        for index in 0..self.schedule.steps.len() {
            for round in [Nanos::MAX, 60_000 * MILLI, 1_000 * MILLI, MILLI] {
                let Some(step) = self.schedule.steps.get(index) else {
                    return;
                };
                let before = index
                    .checked_sub(1)
                    .map_or(0, |index| self.schedule.steps[index].at);
                let delay = step.at.saturating_sub(before);
                let shift = delay % round;
                if shift == 0 || self.is_over() {
                    continue;
                }
                let mut steps = self.schedule.steps.clone();
                for step in &mut steps[index..] {
                    step.at = step.at.saturating_sub(shift).max(before);
                }
                let earlier = self
                    .schedule
                    .attempt(self.schedule.policy.clone(), steps, &Some);
                let is_no_longer =
                    |schedule: &Schedule| schedule.steps.len() <= self.schedule.steps.len();
                self.accept(earlier.filter(is_no_longer));
            }
        }
    }

    fn shrink_policy(&mut self) {
        let changes: [fn(&mut Policy); 16] = [
            |policy| policy.standbys = 0,
            |policy| policy.standby_pause = Duration::ZERO,
            |policy| policy.ring_width = 0,
            |policy| policy.recover_threshold = 100,
            |policy| policy.recover_window = Window::Forever,
            |policy| policy.recover_interval = Duration::ZERO,
            |policy| policy.healthy_after = Duration::from_secs(11),
            |policy| policy.ready_timeout = Duration::from_secs(30),
            |policy| policy.shutdown_grace_period = Duration::from_secs(13),
            |policy| policy.exit_timeout = Duration::from_secs(1),
            |policy| policy.kill_timeout = Duration::from_secs(2),
            |policy| policy.rollout.parallel = Parallel::Slots(NonZeroUsize::MIN),
            |policy| policy.rollout.soak = SOAK,
            |policy| policy.rollout.canary = CANARY,
            |policy| policy.rollout.timeout = TIMEOUT,
            |policy| {
                policy.backoff = Backoff::default();
                policy.jitter_seed = 1;
            },
        ];
        for change in changes {
            let mut policy = self.schedule.policy.clone();
            change(&mut policy);
            let simpler = self
                .schedule
                .attempt(policy, self.schedule.steps.clone(), &Some);
            let is_no_longer =
                |schedule: &Schedule| schedule.steps.len() <= self.schedule.steps.len();
            self.accept(simpler.filter(is_no_longer));
        }
    }

    fn accept(&mut self, candidate: Option<Schedule>) -> bool {
        let is_accepted = candidate.is_some();
        if let Some(candidate) = candidate {
            self.schedule = candidate;
            let _ = self.better.send(self.schedule.clone());
        }
        is_accepted
    }
}

struct Attempt {
    replay: Replay,
    ids: HashMap<Name, ChildId>,
    names: HashMap<ChildId, Name>,
    starts: HashMap<usize, u64>,
    actions: Vec<Option<Action>>,
    /// The action that is not answered yet.
    open: Option<Action>,
    is_answered: bool,
    /// How many programs were opened.
    programs: usize,
}

impl Attempt {
    fn ask(&mut self, at: Nanos) -> Result<(), Broken> {
        self.answer(at)?;
        self.actions.push(None);
        let action = self.replay.try_ask(at);
        let action = action?;
        *self.actions.last_mut().expect("it was added") = action;
        match action {
            Some(Action::Start { slot, child, .. }) => {
                let name = next_name(&mut self.starts, slot.0);
                self.ids.insert(name, child);
                self.names.insert(child, name);
                self.open = action;
            }
            Some(Action::AnnounceMasterReady | Action::OpenProgram) => self.open = action,
            _ => {}
        }
        Ok(())
    }

    fn tell(&mut self, at: Nanos, mut event: Event) -> Result<(), Broken> {
        if let Event::ProgramOpened { program } = &mut event {
            *program = self.next_program();
        }
        match (self.open, event) {
            (
                Some(Action::Start { child: open, .. }),
                Event::Started { child, .. } | Event::StartFailed { child, .. },
            ) if open == child => self.open = None,
            (Some(Action::AnnounceMasterReady), Event::MasterReady | Event::HookFailed)
            | (Some(Action::OpenProgram), Event::ProgramOpened { .. } | Event::ProgramFailed) => {
                self.open = None;
            }
            (_, Event::HookFailed) => {}
            (None, Event::MasterReady) => return Ok(()),
            _ => self.answer(at)?,
        }
        self.actions.push(None);
        self.replay.try_tell(at, event)
    }

    fn next_program(&mut self) -> ProgramId {
        self.programs += 1;
        ProgramId(self.programs)
    }

    fn answer(&mut self, at: Nanos) -> Result<(), Broken> {
        let answer = match self.open.take() {
            Some(Action::Start { .. }) if !self.is_answered => return Ok(()),
            Some(Action::Start { child, .. }) => Event::Started {
                child,
                readiness: Readiness::Notified,
            },
            Some(Action::OpenProgram) => Event::ProgramOpened {
                program: self.next_program(),
            },
            Some(_) => Event::MasterReady,
            None => return Ok(()),
        };
        self.actions.push(None);
        self.replay.try_tell(at, answer)
    }
}

fn next_name(starts: &mut HashMap<usize, u64>, slot: usize) -> Name {
    let number = starts.entry(slot).or_default();
    *number += 1;
    (slot, *number)
}

/// Turns a panic of the supervisor into a broken promise.
pub(super) fn guard(run: impl FnOnce() -> Result<(), Broken>) -> Result<(), Broken> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(Broken {
            promise: "the supervisor does not panic",
            detail: text.unwrap_or_default(),
        })
    })
}

// The text.

impl Schedule {
    /// The schedule as a test.
    pub(super) fn to_test(&self) -> String {
        let mut text = format!("    // {}: {}\n", self.broken.promise, self.broken.detail);
        text += "    #[test]\n    fn a_sentence_about_the_behavior() {\n";
        let _ = write!(text, "{}", code_of_policy(&self.policy));
        for (index, step) in self.steps.iter().enumerate() {
            let action = self.actions.get(index).copied().flatten();
            let action = action.map_or_else(String::new, |action| {
                // The text of an `Instant` means nothing.
                let text = format!("{action:?}");
                format!(" // {}", text.split(", kill_at").next().unwrap_or_default())
            });
            let at = grouped(step.at);
            let _ = match step.call {
                Call::Ask => writeln!(text, "        replay.ask({at});{action}"),
                Call::Tell(event) => {
                    writeln!(text, "        replay.tell({at}, {});", code_of(event))
                }
            };
        }
        text + "    }\n"
    }
}

/// Only what differs from the policy of `stage.rs`.
fn code_of_policy(found: &Policy) -> String {
    let usual = policy(found.slots.get());
    let duration = |duration: Duration| match duration {
        Duration::MAX => "Duration::MAX".to_owned(),
        Duration::ZERO => "Duration::ZERO".to_owned(),
        other => {
            let nanos = nanos(other);
            let units = [("secs", 1_000 * MILLI), ("millis", MILLI), ("nanos", 1)];
            let unit = units
                .into_iter()
                .find(|(_, unit)| nanos.is_multiple_of(*unit));
            let (name, unit) = unit.expect("a number of nanoseconds");
            format!("Duration::from_{name}({})", grouped(nanos / unit))
        }
    };
    let window = match found.recover_window {
        Window::Forever => "Window::Forever".to_owned(),
        Window::Sliding(window) => format!("Window::Sliding({})", duration(window)),
    };
    let Backoff { first, max } = found.backoff;
    let (first, max) = (duration(first), duration(max));
    let mut text = "        let mut replay = Replay::new(Policy {\n".to_owned();
    let mut field = |name: &str, is_usual: bool, value: String| {
        if !is_usual {
            let _ = writeln!(text, "            {name}: {value},");
        }
    };
    let threshold = found.recover_threshold;
    field(
        "recover_threshold",
        threshold == usual.recover_threshold,
        grouped(threshold.into()),
    );
    field(
        "recover_window",
        found.recover_window == usual.recover_window,
        window,
    );
    for (name, time, usual) in [
        (
            "recover_interval",
            found.recover_interval,
            usual.recover_interval,
        ),
        ("healthy_after", found.healthy_after, usual.healthy_after),
        ("ready_timeout", found.ready_timeout, usual.ready_timeout),
        (
            "shutdown_grace_period",
            found.shutdown_grace_period,
            usual.shutdown_grace_period,
        ),
        ("drain_delay", found.drain_delay, usual.drain_delay),
        ("exit_timeout", found.exit_timeout, usual.exit_timeout),
        ("kill_timeout", found.kill_timeout, usual.kill_timeout),
        ("standby_pause", found.standby_pause, usual.standby_pause),
    ] {
        field(name, time == usual, duration(time));
    }
    let RolloutPolicy {
        parallel,
        soak,
        canary,
        timeout,
    } = found.rollout;
    let parallel_text = match parallel {
        Parallel::Slots(number) => format!("Parallel::Slots(slots({number}))"),
        Parallel::Percent(share) => {
            format!("Parallel::Percent(NonZeroU8::new({share}).unwrap())")
        }
    };
    let is_usual =
        parallel == usual.rollout.parallel && (soak, canary, timeout) == (SOAK, CANARY, TIMEOUT);
    let [soak, canary, timeout] = [soak, canary, timeout].map(duration);
    let rollout = format!(
        "RolloutPolicy {{ parallel: {parallel_text}, soak: {soak}, canary: {canary}, \
         timeout: {timeout} }}"
    );
    field("rollout", is_usual, rollout);
    let standbys = found.standbys;
    field("standbys", standbys == usual.standbys, standbys.to_string());
    let width = found.ring_width;
    field("ring_width", width == usual.ring_width, width.to_string());
    let backoff = format!("Backoff {{ first: {first}, max: {max} }}");
    field("backoff", found.backoff == usual.backoff, backoff);
    let seed = found.jitter_seed;
    field("jitter_seed", seed == usual.jitter_seed, grouped(seed));
    let _ = writeln!(text, "            ..policy({})\n        }});", found.slots);
    text
}

/// A number as Rust code.
fn grouped(number: u64) -> String {
    let mut text = number.to_string();
    let mut end = text.len();
    while end > 3 {
        end -= 3;
        text.insert(end, '_');
    }
    text
}

fn code_of(event: Event) -> String {
    let id = |child: ChildId| format!("child: ChildId({})", child.0);
    let readiness = |readiness| match readiness {
        Readiness::Notified => "readiness: Readiness::Notified",
        Readiness::Assumed => "readiness: Readiness::Assumed",
    };
    let fields = match event {
        Event::Started {
            child,
            readiness: r,
        } => format!("Started {{ {}, {} }}", id(child), readiness(r)),
        Event::StartFailed { child, failure } => {
            let failure = match failure {
                StartFailure::Transient => "Transient",
                StartFailure::Permanent => "Permanent",
                StartFailure::Refused => "Refused",
            };
            format!(
                "StartFailed {{ {}, failure: StartFailure::{failure} }}",
                id(child)
            )
        }
        Event::Unready { child } => format!("Unready {{ {} }}", id(child)),
        Event::Ready { child } => format!("Ready {{ {} }}", id(child)),
        Event::Readiness {
            child,
            readiness: r,
        } => {
            format!("Readiness {{ {}, {} }}", id(child), readiness(r))
        }
        Event::MainEnded { child } => format!("MainEnded {{ {} }}", id(child)),
        Event::Closed { child } => format!("Closed {{ {} }}", id(child)),
        Event::AdoptionOffered { child } => format!("AdoptionOffered {{ {} }}", id(child)),
        Event::AdoptionFailed { child } => format!("AdoptionFailed {{ {} }}", id(child)),
        Event::Suspended { child } => format!("Suspended {{ {} }}", id(child)),
        Event::Resumed { child } => format!("Resumed {{ {} }}", id(child)),
        Event::Violation { child } => format!("Violation {{ {} }}", id(child)),
        Event::Exited { child } => format!("Exited {{ {} }}", id(child)),
        Event::MasterReady => "MasterReady".to_owned(),
        Event::HookFailed => "HookFailed".to_owned(),
        Event::ListenerLost => "ListenerLost".to_owned(),
        Event::RolloutRequested => "RolloutRequested".to_owned(),
        Event::ProgramOpened { program } => {
            format!("ProgramOpened {{ program: ProgramId({}) }}", program.0)
        }
        Event::ProgramFailed => "ProgramFailed".to_owned(),
        Event::Resize { slots } => format!("Resize {{ slots: slots({slots}) }}"),
        Event::StopRequested { urgency } => {
            let urgency = match urgency {
                StopMode::Graceful => "Graceful",
                StopMode::Immediate => "Immediate",
            };
            format!("StopRequested {{ urgency: StopMode::{urgency} }}")
        }
    };
    format!("Event::{fields}")
}
