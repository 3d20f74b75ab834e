//! Visits every state of small fleets and checks the promises in each.
//!
//! The world is a supervisor, the processes that it believes in, and the facts that the promises
//! are about. Its moves are: ask the supervisor for an action and perform it; any event that a
//! master can report; one second passes. All durations of the policies are a few whole seconds.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use cells::check_cells;
use rollouts::RolloutFacts;

use super::sockets::Sockets;

use super::super::{
    Backoff, ChildId, Event, Parallel, Policy, ProgramId, Readiness, RolloutPolicy, StartFailure,
    StopCause, StopMode, Supervisor, Window,
};
use crate::explore::{Broken, Model, explore};

mod cells;
mod promises;
mod rollouts;
mod standbys;
mod world;

const TICK: Duration = Duration::from_secs(1);

/// A child that no supervisor has started.
const UNKNOWN: ChildId = ChildId(1_000_000);

/// What is explored, and how far.
#[derive(Clone, Debug)]
struct Scope {
    policy: Policy,
    answers: Answers,
    /// The numbers of slots that an operator sets.
    sizes: &'static [usize],
    /// Whether rollouts are requested.
    has_rollouts: bool,
    begins: Begins,
    /// States with more processes are visited, and not the states after them. `usize::MAX` if the
    /// budget limits the processes.
    most_processes: usize,
    /// The number of moves.
    deepest: u32,
}

/// The first state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    /// No child was started.
    Empty,
    /// All slots serve.
    Serving,
    /// A rollout has come to the last slot: the start of its successor is not answered yet.
    RollingOut,
}

/// When the mechanism answers a start or an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// Before any other event, like the master. A child sends nothing after a violation.
    AtOnce,
    /// At any time or never, and every event can come at any time.
    AnyTime,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Ask,
    Tell(Event),
    Pass,
}

#[derive(Clone)]
struct World {
    supervisor: Supervisor,
    now: Instant,
    /// Those that have not exited, in ascending order of their ids.
    processes: Vec<Process>,
    slots: Vec<SlotFacts>,
    /// Empty until the supervisor wants the first standby.
    standbys: Vec<SlotFacts>,
    announcement: Announcement,
    /// Replacements, by the time when each was started.
    replacements: Vec<Instant>,
    was_healthy: bool,
    stop: Option<StopFacts>,
    /// Until when the children serve on although a stop was requested.
    delay_until: Option<Instant>,
    has_closed_listeners: bool,
    rollouts: RolloutFacts,
    sockets: Sockets,
    last_id: u64,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Process {
    id: ChildId,
    slot: usize,
    program: ProgramId,
    is_started: bool,
    fills_slot: bool,
    /// It is to fill its slot.
    is_successor: bool,
    /// Until when it serves beside the child of its slot.
    soak_until: Option<Instant>,
    /// Its stop was requested, by a stop or because its slot was removed.
    must_leave: bool,
    readiness: Readiness,
    is_healthy: bool,
    /// It has taken back its readiness.
    is_unready: bool,
    /// It was reported as healthy by time.
    was_reported: bool,
    has_closed: bool,
    has_violated: bool,
    has_main_ended: bool,
    was_terminated: bool,
    was_killed: bool,
    was_given_up: bool,
    /// When it must be ready, if it was started and is not ready yet.
    ready_by: Option<Instant>,
    /// When it counts as healthy without a report.
    healthy_at: Option<Instant>,
    /// When it must have left its slot.
    exit_by: Option<Instant>,
    /// When it is killed.
    kill_at: Option<Instant>,
    give_up_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct SlotFacts {
    /// The program of its child, or of the last one.
    program: ProgramId,
    /// Whether the first start was requested, and whether it was confirmed.
    was_requested: bool,
    was_confirmed: bool,
    /// When the next child is due.
    replace_at: Option<Instant>,
    /// The master rejected the start of a standby: no other one is due.
    is_off: bool,
}

impl SlotFacts {
    fn new() -> Self {
        Self {
            program: ProgramId::OWN,
            was_requested: false,
            was_confirmed: false,
            replace_at: None,
            is_off: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announcement {
    NotYet,
    Asked,
    Done,
}

#[derive(Clone, Copy, Debug)]
struct StopFacts {
    cause: StopCause,
    is_immediate: bool,
}

/// The world of a scope, and the cells of `TABLE.md` that its moves have used.
struct Fleets<'a> {
    scope: Scope,
    cells: Option<&'a mut Cells>,
}

/// A cell: its table, its row and its column.
type Cells = BTreeSet<(&'static str, &'static str, &'static str)>;

fn ensure(holds: bool, promise: &str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(promise.into()) }
}

impl Model for Fleets<'_> {
    type State = World;
    type Move = Move;

    fn start(&self) -> World {
        let now = Instant::now();
        let policy = self.scope.policy.clone();
        let mut world = World {
            slots: vec![SlotFacts::new(); policy.slots.get()],
            standbys: Vec::new(),
            supervisor: Supervisor::new(policy, now),
            now,
            processes: Vec::new(),
            announcement: Announcement::NotYet,
            replacements: Vec::new(),
            was_healthy: false,
            stop: None,
            delay_until: None,
            has_closed_listeners: false,
            rollouts: RolloutFacts::new(),
            sockets: Sockets::default(),
            last_id: 0,
        };
        let begun = world.begin(self.scope.begins, &self.scope.policy);
        begun.expect("a fleet that behaves keeps every promise");
        world
    }

    fn normal_form(&self, world: &World) -> Vec<u8> {
        world.normal_form(&self.scope.policy)
    }

    fn moves(&self, world: &World) -> Vec<Move> {
        if world.processes.len() > self.scope.most_processes {
            return Vec::new();
        }
        let mut moves = Vec::new();
        let answers = self.answers(world);
        let is_busy = !answers.is_empty() && self.scope.answers == Answers::AtOnce;
        moves.extend(answers.into_iter().map(Move::Tell));
        if is_busy {
            return moves;
        }
        moves.push(Move::Ask);
        if world.rested(&self.scope.policy).is_some() {
            moves.push(Move::Pass);
        }
        for process in &world.processes {
            self.add_events(process, &mut moves);
        }
        let operator = [
            Event::HookFailed,
            Event::ListenerLost,
            Event::StopRequested {
                urgency: StopMode::Graceful,
            },
            Event::StopRequested {
                urgency: StopMode::Immediate,
            },
        ];
        moves.extend(operator.map(Move::Tell));
        if self.scope.has_rollouts {
            moves.push(Move::Tell(Event::RolloutRequested));
        }
        let sizes = self.scope.sizes.iter();
        moves.extend(sizes.map(|&slots| {
            let slots = NonZeroUsize::new(slots).expect("a fleet has slots");
            Move::Tell(Event::Resize { slots })
        }));
        moves
    }

    fn apply(&mut self, world: &mut World, next: Move) -> Result<(), Broken> {
        let policy = &self.scope.policy;
        if let Some(cells) = &mut self.cells {
            world.note_cells(next, cells);
        }
        match next {
            Move::Ask => world.ask(policy).map(|_| ()),
            Move::Tell(event) => {
                world.tell(event, policy);
                if let Some(cells) = &mut self.cells {
                    world.note_question(event, policy, cells);
                }
                Ok(())
            }
            Move::Pass => world.pass(policy),
        }
    }

    fn check(&self, world: &World) -> Result<(), Broken> {
        let policy = &self.scope.policy;
        world.check_always()?;
        world.check_stale_events(policy)?;
        if let Some(rested) = world.rested(policy)
            && (self.scope.answers == Answers::AnyTime || self.answers(world).is_empty())
        {
            rested.check_rested()?;
        }
        world.check_end(policy)
    }

    fn line(&self, next: Move) -> String {
        match next {
            Move::Ask => "stage.supervisor.next_action(stage.now);".into(),
            Move::Tell(Event::Resize { slots }) => {
                format!("stage.tell(Event::Resize {{ slots: slots({slots}) }});")
            }
            Move::Tell(event) => format!("stage.tell(Event::{event:?});")
                .replace("readiness: ", "readiness: Readiness::")
                .replace("failure: ", "failure: StartFailure::")
                .replace("urgency: ", "urgency: StopMode::"),
            Move::Pass => "stage.pass(Duration::from_secs(1));".into(),
        }
    }
}

impl Fleets<'_> {
    /// The events that answer what the supervisor has asked for.
    fn answers(&self, world: &World) -> Vec<Event> {
        let mut answers = Vec::new();
        for process in world.processes.iter().filter(|process| !process.is_started) {
            let child = process.id;
            answers.extend(
                [Readiness::Notified, Readiness::Assumed]
                    .map(|readiness| Event::Started { child, readiness }),
            );
            let failures = [
                StartFailure::Transient,
                StartFailure::Permanent,
                StartFailure::Refused,
            ];
            answers.extend(failures.map(|failure| Event::StartFailed { child, failure }));
        }
        let program = ProgramId(world.rollouts.last_program + 1);
        let opening = [Event::ProgramOpened { program }, Event::ProgramFailed];
        let current = world.rollouts.current;
        let is_opening = current.is_some_and(|current| current.program.is_none());
        let may_answer = self.scope.has_rollouts && self.scope.answers == Answers::AnyTime;
        if may_answer || is_opening && !world.has_verdict() && world.stop.is_none() {
            answers.extend(opening);
        }
        if world.announcement == Announcement::Asked && world.stop.is_none() {
            answers.extend([Event::MasterReady, Event::HookFailed]);
        } else if self.scope.answers == Answers::AnyTime {
            answers.push(Event::MasterReady);
        }
        answers
    }

    /// The events about a process that can come now.
    fn add_events(&self, process: &Process, moves: &mut Vec<Move>) {
        let child = process.id;
        let is_silent = process.has_violated || !process.is_started;
        let events = child_events(child);
        if self.scope.policy.ring_width > 0 {
            moves.extend(socket_events(child).map(Move::Tell));
        }
        if self.scope.answers == Answers::AnyTime {
            // Those of a start that is not answered yet are among the answers.
            let is_answer = |event: &Event| !process.is_started && is_answer(event);
            let events = events.into_iter().filter(|event| !is_answer(event));
            return moves.extend(events.map(Move::Tell));
        }
        if !is_silent {
            let frames = events.into_iter().filter(|event| !is_answer(event));
            return moves.extend(frames.map(Move::Tell));
        }
        moves.push(Move::Tell(Event::Exited { child }));
    }
}

fn child_events(child: ChildId) -> [Event; 13] {
    let failed = |failure| Event::StartFailed { child, failure };
    let started = |readiness| Event::Started { child, readiness };
    let readiness = |readiness| Event::Readiness { child, readiness };
    [
        started(Readiness::Notified),
        started(Readiness::Assumed),
        failed(StartFailure::Transient),
        failed(StartFailure::Permanent),
        failed(StartFailure::Refused),
        Event::Ready { child },
        Event::Unready { child },
        readiness(Readiness::Notified),
        readiness(Readiness::Assumed),
        Event::MainEnded { child },
        Event::Closed { child },
        Event::Violation { child },
        Event::Exited { child },
    ]
}

/// The events that only the ring of sockets handles.
fn socket_events(child: ChildId) -> [Event; 4] {
    [
        Event::AdoptionOffered { child },
        Event::AdoptionFailed { child },
        Event::Suspended { child },
        Event::Resumed { child },
    ]
}

fn child_of(event: Event) -> Option<ChildId> {
    match event {
        Event::Started { child, .. }
        | Event::StartFailed { child, .. }
        | Event::Ready { child }
        | Event::Unready { child }
        | Event::Readiness { child, .. }
        | Event::MainEnded { child }
        | Event::Closed { child }
        | Event::Violation { child }
        | Event::AdoptionOffered { child }
        | Event::AdoptionFailed { child }
        | Event::Suspended { child }
        | Event::Resumed { child }
        | Event::Exited { child } => Some(child),
        Event::MasterReady
        | Event::HookFailed
        | Event::ListenerLost
        | Event::Resize { .. }
        | Event::RolloutRequested
        | Event::ProgramOpened { .. }
        | Event::ProgramFailed
        | Event::StopRequested { .. } => None,
    }
}

fn is_answer(event: &Event) -> bool {
    matches!(event, Event::Started { .. } | Event::StartFailed { .. })
}

// The scopes.

/// Set for the long form: more slots, more replacements, more policies.
const LONG: &str = "PREFORK_TESTS_EXPLORE";

fn is_long() -> bool {
    std::env::var_os(LONG).is_some()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(slots: usize, recover_threshold: u32) -> Policy {
    Policy {
        slots: NonZeroUsize::new(slots).expect("a fleet has slots"),
        recover_threshold,
        recover_window: Window::Forever,
        recover_interval: seconds(1),
        healthy_after: seconds(2),
        ready_timeout: seconds(3),
        drain_delay: Duration::ZERO,
        shutdown_grace_period: seconds(2),
        exit_timeout: seconds(1),
        kill_timeout: seconds(1),
        rollout: RolloutPolicy {
            parallel: Parallel::Slots(NonZeroUsize::MIN),
            soak: seconds(1),
            canary: seconds(1),
            timeout: seconds(4),
        },
        // The jitter would make the times of states differ. `rules.rs` tests the back-off.
        standbys: 0,
        standby_pause: Duration::ZERO,
        ring_width: 0,
        backoff: Backoff {
            first: Duration::ZERO,
            max: Duration::ZERO,
        },
        jitter_seed: 1,
    }
}

/// A policy whose waits are as short as they can be. It has the fewest states.
fn short(slots: usize, recover_threshold: u32) -> Policy {
    Policy {
        recover_interval: Duration::ZERO,
        healthy_after: seconds(1),
        ready_timeout: seconds(1),
        shutdown_grace_period: seconds(1),
        ..policy(slots, recover_threshold)
    }
}

/// Policies that take other branches.
fn variants(recover_threshold: u32) -> [(&'static str, Policy); 6] {
    let policy = || policy(1, recover_threshold);
    [
        (
            "without grace",
            Policy {
                shutdown_grace_period: Duration::ZERO,
                ..policy()
            },
        ),
        (
            "healthy at once",
            Policy {
                healthy_after: Duration::ZERO,
                ..policy()
            },
        ),
        (
            "unlimited ready_timeout",
            Policy {
                ready_timeout: Duration::MAX,
                ..policy()
            },
        ),
        (
            "grace beyond all other times",
            Policy {
                shutdown_grace_period: seconds(5),
                recover_interval: Duration::ZERO,
                ..policy()
            },
        ),
        (
            "exit_timeout beyond the grace",
            Policy {
                exit_timeout: seconds(3),
                ..policy()
            },
        ),
        (
            "window of 3 s",
            Policy {
                recover_window: Window::Sliding(seconds(3)),
                ..policy()
            },
        ),
    ]
}

fn run(name: &str, scope: Scope, cells: Option<&mut Cells>) {
    let policy = format!("{:?}", scope.policy);
    let mut fleets = Fleets { scope, cells };
    let deepest = fleets.scope.deepest;
    match explore(&mut fleets, deepest) {
        Ok(explored) => println!("{name}: {explored}"),
        Err(report) => panic!("{name}: {report}\nwith {policy}"),
    }
}

/// A scope in which the master answers at once, and nothing but the budget limits the processes.
fn master(policy: Policy) -> Scope {
    Scope {
        policy,
        answers: Answers::AtOnce,
        sizes: &[],
        has_rollouts: false,
        begins: Begins::Empty,
        most_processes: usize::MAX,
        deepest: u32::MAX,
    }
}

/// No state of the scope is left out.
const ALL: u32 = u32::MAX;

/// A scope of which the short and the long form leave out all states that need more moves.
fn up_to([short, long]: [u32; 2], scope: Scope) -> Scope {
    let deepest = if is_long() { long } else { short };
    Scope { deepest, ..scope }
}

#[test]
fn every_promise_holds_in_every_state_and_every_cell_of_the_tables_is_used() {
    let mut cells = Cells::new();
    let any_time = Scope {
        answers: Answers::AnyTime,
        // It changes nothing.
        sizes: &[1],
        ..master(policy(1, 0))
    };
    run(
        "1 slot, threshold 0, events in any order",
        any_time,
        Some(&mut cells),
    );
    let two = up_to([7, ALL], master(short(2, 0)));
    run("2 slots, threshold 0", two, Some(&mut cells));
    let smaller = Scope {
        sizes: &[1],
        ..master(short(2, 0))
    };
    let unanswered = Scope {
        answers: Answers::AnyTime,
        ..smaller.clone()
    };
    run(
        "2 slots, then 1",
        up_to([10, ALL], smaller),
        Some(&mut cells),
    );
    let name = "2 slots, then 1, events in any order";
    run(name, up_to([7, 14], unanswered), Some(&mut cells));
    let delaying = |slots| {
        let mut policy = short(slots, 0);
        policy.drain_delay = seconds(1);
        policy
    };
    let delayed = Scope {
        answers: Answers::AnyTime,
        sizes: &[1],
        has_rollouts: true,
        begins: Begins::Serving,
        most_processes: 4,
        ..master(delaying(2))
    };
    let name = "2 slots, then 1, stops with a delay, events in any order";
    run(name, up_to([5, 10], delayed), Some(&mut cells));
    let at_once = |slots| {
        let mut policy = short(slots, 0);
        policy.rollout.canary = Duration::ZERO;
        policy.rollout.soak = Duration::ZERO;
        policy
    };
    let rollouts = |scope| Scope {
        has_rollouts: true,
        ..scope
    };
    let early = Scope {
        answers: Answers::AnyTime,
        ..master(at_once(1))
    };
    let name = "1 slot, threshold 0, rollouts from the start, events in any order";
    run(name, up_to([6, 18], rollouts(early)), Some(&mut cells));
    let any_time = Scope {
        answers: Answers::AnyTime,
        begins: Begins::Serving,
        most_processes: 3,
        ..master(at_once(1))
    };
    let name = "1 slot, threshold 0, rollouts without soak, events in any order";
    run(name, up_to([10, 15], rollouts(any_time)), Some(&mut cells));
    let smaller = Scope {
        sizes: &[1],
        begins: Begins::RollingOut,
        most_processes: 4,
        ..master(at_once(2))
    };
    let name = "the second of 2 slots, then 1, rollouts without soak";
    run(
        name,
        up_to([6, 7], rollouts(smaller.clone())),
        Some(&mut cells),
    );
    let unanswered = Scope {
        answers: Answers::AnyTime,
        sizes: &[1, 2],
        deepest: 2,
        ..smaller
    };
    let name = "the same, events in any order";
    run(name, rollouts(unanswered), Some(&mut cells));
    run_standbys(&mut cells);
    check_cells(&cells);
}

/// Every state of a standby, and every event in it.
fn run_standbys(cells: &mut Cells) {
    let one = Scope {
        most_processes: 3,
        ..with_standby(1, 1)
    };
    let name = "1 slot, 1 standby, threshold 1";
    run(name, up_to([6, 14], one.clone()), Some(cells));
    let any_time = Scope {
        answers: Answers::AnyTime,
        has_rollouts: true,
        ..one
    };
    let name = "1 slot, 1 standby, threshold 1, rollouts, events in any order";
    run(name, up_to([5, 10], any_time), Some(cells));
    let mut rolling_out = Scope {
        answers: Answers::AnyTime,
        sizes: &[1, 2],
        begins: Begins::RollingOut,
        most_processes: 5,
        deepest: 3,
        ..with_standby(2, 1)
    };
    rolling_out.policy.recover_interval = Duration::ZERO;
    let name = "the second of 2 slots, 1 standby, rollouts, events in any order";
    run(name, rolling_out, Some(cells));
    let starting = Scope {
        sizes: &[1, 2],
        deepest: 2,
        ..with_standby(2, 1)
    };
    run("2 slots, then 1, 1 standby", starting, Some(cells));
}

/// A fleet that serves, and whose standby is being started.
fn with_standby(slots: usize, threshold: u32) -> Scope {
    let mut policy = short(slots, threshold);
    policy.recover_interval = seconds(1);
    policy.standbys = 1;
    policy.rollout.canary = Duration::ZERO;
    policy.rollout.soak = Duration::ZERO;
    Scope {
        begins: Begins::Serving,
        ..master(policy)
    }
}

#[test]
fn every_promise_holds_with_standbys() {
    let two_standbys = |slots, most_processes| {
        let mut scope = with_standby(slots, 2);
        scope.policy.standbys = 2;
        scope.policy.recover_interval = Duration::ZERO;
        scope.policy.standby_pause = seconds(1);
        Scope {
            most_processes,
            ..scope
        }
    };
    let rollouts = Scope {
        has_rollouts: true,
        most_processes: 4,
        ..with_standby(1, 1)
    };
    let one = up_to([6, 12], rollouts);
    run("1 slot, 1 standby, threshold 1, rollouts", one, None);
    let one = up_to([5, 8], two_standbys(1, 4));
    run("1 slot, 2 standbys, threshold 2", one, None);
    let smaller = Scope {
        sizes: &[1],
        most_processes: 4,
        ..with_standby(2, 1)
    };
    let name = "2 slots, then 1, 1 standby, threshold 1";
    run(name, up_to([4, 7], smaller), None);
    let two = up_to([4, 7], two_standbys(2, 5));
    run("2 slots, 2 standbys, threshold 2", two, None);
}

#[test]
fn every_promise_holds_with_a_ring_of_sockets() {
    let scope = |slots, width, most_processes| {
        let mut policy = short(slots, 1);
        policy.ring_width = width;
        Scope {
            begins: Begins::Serving,
            most_processes,
            ..master(policy)
        }
    };
    let pair = up_to([5, 9], scope(2, 2, 4));
    run("2 slots, threshold 1, a ring of 2", pair, None);
    let three = up_to([4, 7], scope(3, 2, 5));
    run("3 slots, threshold 1, a ring of 2", three, None);
    let alone = up_to([4, 7], scope(3, 1, 5));
    run("3 slots, threshold 1, sockets per slot", alone, None);
    let starting = Scope {
        begins: Begins::Empty,
        ..scope(3, 2, 4)
    };
    run(
        "3 slots that start, a ring of 2",
        up_to([8, 12], starting),
        None,
    );
    let mut sizes = Scope {
        sizes: &[1, 2, 3],
        has_rollouts: true,
        ..scope(3, 2, 6)
    };
    sizes.policy.rollout.parallel = Parallel::Slots(NonZeroUsize::MAX);
    sizes.policy.rollout.canary = Duration::ZERO;
    let name = "1 to 3 slots, a ring of 2, rollouts";
    run(name, up_to([4, 6], sizes), None);
    let mut standby = scope(2, 2, 5);
    standby.policy.standbys = 1;
    let name = "2 slots, a ring of 2, 1 standby";
    run(name, up_to([4, 7], standby), None);
}

#[test]
fn every_promise_holds_in_rollouts() {
    let scope = |slots, threshold, most_processes| Scope {
        has_rollouts: true,
        begins: Begins::Serving,
        most_processes,
        ..master(short(slots, threshold))
    };
    let one = up_to([9, 20], scope(1, 0, 3));
    run("1 slot, threshold 0, rollouts", one, None);
    let mut parallel = scope(2, 0, 4);
    parallel.policy.rollout.parallel = Parallel::Slots(NonZeroUsize::MAX);
    parallel.policy.rollout.canary = Duration::ZERO;
    let name = "2 slots, threshold 0, rollouts, both at once";
    run(name, up_to([6, 12], parallel), None);
    if is_long() {
        let two = Scope {
            deepest: 13,
            ..scope(2, 1, 4)
        };
        run("2 slots, threshold 1, rollouts", two, None);
    }
}

#[test]
fn every_promise_holds_in_stops_with_a_delay() {
    let delayed = |mut policy: Policy| {
        policy.drain_delay = seconds(2);
        policy
    };
    let one = up_to([11, ALL], master(delayed(policy(1, 0))));
    run("1 slot, threshold 0, drain_delay", one, None);
    let rollouts = Scope {
        has_rollouts: true,
        begins: Begins::RollingOut,
        most_processes: 4,
        ..master(delayed(short(1, 0)))
    };
    run(
        "1 slot, threshold 0, drain_delay, a rollout",
        up_to([8, 14], rollouts),
        None,
    );
    let standby = with_standby(1, 1);
    let standby = Scope {
        policy: delayed(standby.policy.clone()),
        has_rollouts: true,
        most_processes: 4,
        ..standby
    };
    let name = "1 slot, 1 standby, threshold 1, drain_delay, rollouts";
    run(name, up_to([6, 12], standby), None);
}

#[test]
fn every_promise_holds_while_children_are_replaced() {
    run(
        "1 slot, threshold 1",
        up_to([11, ALL], master(policy(1, 1))),
        None,
    );
    let leaves_at_once = Policy {
        exit_timeout: Duration::ZERO,
        recover_interval: Duration::ZERO,
        ..policy(1, 1)
    };
    let name = "1 slot, threshold 1, without exit_timeout";
    run(name, up_to([10, ALL], master(leaves_at_once)), None);
    if is_long() {
        let any_time = Scope {
            answers: Answers::AnyTime,
            ..master(policy(1, 1))
        };
        run("1 slot, threshold 1, events in any order", any_time, None);
        let twice = Scope {
            deepest: 30,
            ..master(policy(1, 2))
        };
        run("1 slot, threshold 2", twice, None);
        let two = Scope {
            deepest: 14,
            ..master(short(2, 1))
        };
        run("2 slots, threshold 1", two, None);
        let three = Scope {
            deepest: 12,
            ..master(short(3, 0))
        };
        run("3 slots, threshold 0", three, None);
    }
}

#[test]
fn every_promise_holds_with_other_policies() {
    let threshold = u32::from(is_long());
    for (name, policy) in variants(threshold) {
        let scope = Scope {
            most_processes: 3,
            ..master(policy)
        };
        let name = format!("1 slot, threshold {threshold}, {name}");
        run(&name, up_to([9, 30], scope), None);
    }
}

#[test]
fn every_promise_holds_while_slots_are_added_and_removed() {
    let scope = |sizes, most_processes| Scope {
        sizes,
        most_processes,
        ..master(short(1, 0))
    };
    run("1 or 2 slots", up_to([7, 16], scope(&[1, 2], 3)), None);
    if is_long() {
        let three = Scope {
            deepest: 12,
            ..scope(&[1, 2, 3], 3)
        };
        run("1 to 3 slots", three, None);
    }
}
