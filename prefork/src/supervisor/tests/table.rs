//! Compares `TABLE.md` with the code.
//!
//! The tests write each cell from what a real supervisor does.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::super::children::ChildLocation;
use super::super::draining::DrainState;
use super::super::phase::Phase;
use super::super::rollout::RolloutStage;
use super::super::slot::SlotState;
use super::super::successor::Successor;
use super::super::{
    Action, ChildId, Event, Gate, KillReason, Policy, ProgramId, Readiness, RefusalStage, SlotId,
    StartFailure, StopCause, StopMode, Verdict,
};
use super::stage::{
    CANARY, DELAY, EXIT, GRACE, HEALTHY, INTERVAL, MOMENT, PATIENCE, READY, Stage, TIMEOUT, policy,
};

const TABLES: &str = include_str!("../TABLE.md");

#[test]
fn a_slot_handles_every_event_as_in_the_table() {
    compare("Slot × event", slot_event);
}

#[test]
fn a_draining_child_handles_every_event_as_in_the_table() {
    compare("Draining child × event", draining_event);
}

#[test]
fn a_slot_does_at_its_deadline_what_the_table_contains() {
    compare("Slot × time", |column, state| {
        in_time(slot_in(state), state, column)
    });
}

#[test]
fn a_draining_child_does_at_its_deadline_what_the_table_contains() {
    compare("Draining child × time", |column, state| {
        in_time(draining_in(state), state, column)
    });
}

#[test]
fn a_successor_handles_every_event_as_in_the_table() {
    compare("Successor × event", successor_event);
}

#[test]
fn a_successor_does_at_its_deadline_what_the_table_contains() {
    compare("Successor × time", |column, state| {
        in_time(successor_in(state.trim_matches('`'), 1), state, column)
    });
}

#[test]
fn a_standby_handles_every_event_as_in_the_table() {
    compare("Standby × event", standby_event);
}

#[test]
fn a_standby_does_at_its_deadline_what_the_table_contains() {
    compare("Standby × time", |column, state| {
        in_time(standby_in(state.trim_matches('`'), 1), state, column)
    });
}

#[test]
fn a_slot_with_a_ready_standby_does_what_the_table_contains() {
    compare("Slot × time, if a standby is ready", promotion);
}

#[test]
fn a_rollout_handles_every_event_as_in_the_table() {
    compare("Rollout × event", rollout_event);
}

#[test]
fn a_fleet_handles_every_event_as_in_the_table() {
    compare("Fleet × event", fleet_event);
}

#[test]
fn a_ring_handles_every_event_as_in_the_table() {
    compare("Ring × event", ring_event);
}

#[test]
fn the_tables_name_every_state_and_every_event() {
    let columns = |title: &str| header(title)[1..].to_vec();
    assert_eq!(columns("Slot × event"), quoted(&SLOT_STATES));
    assert_eq!(columns("Draining child × event"), quoted(&DRAIN_STATES));
    assert_eq!(columns("Successor × event"), quoted(&SUCCESSOR_STATES));
    assert_eq!(columns("Standby × event"), quoted(&STANDBY_STATES));
    assert_eq!(columns("Rollout × event"), quoted(&ROLLOUT_STAGES));
    assert_eq!(columns("Fleet × event"), quoted(&PHASES));
    let rows = |title: &str| -> Vec<String> {
        rows(title)
            .into_iter()
            .map(|mut row| row.remove(0))
            .collect()
    };
    assert_eq!(rows("Slot × event"), EVENTS);
    assert_eq!(rows("Draining child × event"), EVENTS);
    assert_eq!(rows("Successor × event"), EVENTS);
    assert_eq!(rows("Successor × time"), quoted(&SUCCESSOR_STATES));
    assert_eq!(rows("Standby × event"), EVENTS);
    assert_eq!(rows("Standby × time"), quoted(&STANDBY_STATES));
    let of_rollout: Vec<_> = EVENTS
        .into_iter()
        .filter(|event| !is_about_a_child(event))
        .collect();
    assert_eq!(
        rows("Rollout × event"),
        [of_rollout, ROLLOUT_ROWS.to_vec()].concat()
    );
    let of_fleet: Vec<_> = EVENTS
        .into_iter()
        .filter(|event| decides_a_phase(event))
        .collect();
    assert_eq!(
        rows("Fleet × event"),
        [of_fleet, FLEET_ROWS.to_vec()].concat()
    );
    assert_eq!(rows("Slot × time"), quoted(&SLOT_STATES));
    let [awaiting_start, not_yet_asked, rest @ ..] = &quoted(&DRAIN_STATES)[..] else {
        unreachable!("there are more states");
    };
    let no_time = format!("{not_yet_asked}, no time left");
    let expected: Vec<_> = [awaiting_start, not_yet_asked, &no_time]
        .into_iter()
        .chain(rest)
        .collect();
    let found = rows("Draining child × time");
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
}

const SLOT_STATES: [&str; 13] = [
    "Unstarted",
    "Recovering",
    "Reverting",
    "Deferred",
    "SpawnRequested",
    "Starting",
    "Probation",
    "Serving",
    "Unready",
    "Ending",
    "MustKill",
    "Killed",
    "Retired",
];
const DRAIN_STATES: [&str; 6] = [
    "AwaitingStart",
    "NotYetAsked",
    "Draining",
    "MustKill",
    "Killed",
    "Unkillable",
];
const SUCCESSOR_STATES: [&str; 5] = [
    "SpawnRequested",
    "Starting",
    "Probation",
    "Ready",
    "Soaking",
];
const STANDBY_STATES: [&str; 11] = [
    "Unstarted",
    "Recovering",
    "SpawnRequested",
    "Starting",
    "Probation",
    "Ready",
    "Unready",
    "Ending",
    "MustKill",
    "Killed",
    "Retired",
];
const ROLLOUT_STAGES: [&str; 6] = [
    "none",
    "requested",
    "Opening",
    "RollingOut",
    "RollingBack",
    "Ended",
];
const PHASES: [&str; 7] = [
    "StartingUp",
    "AllStarted",
    "Announcing",
    "Running",
    "Delaying",
    "Stopping",
    "Ended",
];
const EVENTS: [&str; 23] = [
    "`Started`, notified",
    "`Started`, assumed",
    "`StartFailed`, transient",
    "`StartFailed`, permanent",
    "`StartFailed`, refused",
    "`Ready`",
    "`Unready`",
    "`Readiness`, notified",
    "`Readiness`, assumed",
    "`Closed`",
    "`MainEnded`",
    "`Violation`",
    "`Exited`",
    "`MasterReady`",
    "`Resize`, slot kept",
    "`Resize`, slot removed",
    "`RolloutRequested`",
    "`ProgramOpened`",
    "`ProgramFailed`",
    "`HookFailed`",
    "`ListenerLost`",
    "`StopRequested`, graceful",
    "`StopRequested`, immediate",
];

fn event_named(name: &str, child: ChildId) -> Event {
    let (readiness, failure) = match name.rsplit(", ").next() {
        Some("assumed") => (Readiness::Assumed, StartFailure::Transient),
        Some("permanent") => (Readiness::Notified, StartFailure::Permanent),
        Some("refused") => (Readiness::Notified, StartFailure::Refused),
        _ => (Readiness::Notified, StartFailure::Transient),
    };
    let urgency = if name.ends_with("immediate") {
        StopMode::Immediate
    } else {
        StopMode::Graceful
    };
    // More slots than any scene has, or the first one only.
    let slots = if name.ends_with("kept") { 3 } else { 1 };
    let slots = NonZeroUsize::new(slots).expect("a fleet has slots");
    let event = match name.split('`').nth(1).expect("events are quoted") {
        "Started" => Event::Started { child, readiness },
        "StartFailed" => Event::StartFailed { child, failure },
        "Ready" => Event::Ready { child },
        "Unready" => Event::Unready { child },
        "Readiness" => Event::Readiness { child, readiness },
        "Closed" => Event::Closed { child },
        "MainEnded" => Event::MainEnded { child },
        "Violation" => Event::Violation { child },
        "Exited" => Event::Exited { child },
        "AdoptionOffered" => Event::AdoptionOffered { child },
        "AdoptionFailed" => Event::AdoptionFailed { child },
        "Suspended" => Event::Suspended { child },
        "Resumed" => Event::Resumed { child },
        "MasterReady" => Event::MasterReady,
        "Resize" => Event::Resize { slots },
        "HookFailed" => Event::HookFailed,
        "ListenerLost" => Event::ListenerLost,
        "RolloutRequested" => Event::RolloutRequested,
        "ProgramOpened" => Event::ProgramOpened {
            program: ProgramId(1_000),
        },
        "ProgramFailed" => Event::ProgramFailed,
        "StopRequested" => Event::StopRequested { urgency },
        other => panic!("no event is called {other}"),
    };
    // A new event does not compile without an arm here, and then needs a row.
    match event {
        Event::Started { .. }
        | Event::StartFailed { .. }
        | Event::Ready { .. }
        | Event::Unready { .. }
        | Event::Readiness { .. }
        | Event::Closed { .. }
        | Event::MainEnded { .. }
        | Event::Violation { .. }
        | Event::Exited { .. }
        | Event::AdoptionOffered { .. }
        | Event::AdoptionFailed { .. }
        | Event::Suspended { .. }
        | Event::Resumed { .. }
        | Event::MasterReady
        | Event::Resize { .. }
        | Event::HookFailed
        | Event::ListenerLost
        | Event::RolloutRequested
        | Event::ProgramOpened { .. }
        | Event::ProgramFailed
        | Event::StopRequested { .. } => event,
    }
}

fn is_about_a_child(event: &str) -> bool {
    ![
        "`MasterReady`",
        "`Resize`",
        "`RolloutRequested`",
        "`ProgramOpened`",
        "`ProgramFailed`",
        "`HookFailed`",
        "`ListenerLost`",
        "`StopRequested`",
    ]
    .iter()
    .any(|fleet| event.starts_with(fleet))
}

/// Whether the event can change the phase.
///
/// All others concern a slot or a draining child alone.
fn decides_a_phase(event: &str) -> bool {
    event.starts_with("`Start") || !is_about_a_child(event)
}

// One slot, one child.

fn slot_event(state: &str, event: &str) -> String {
    // The first slot is never removed.
    let is_last_of_two = event.ends_with("slot removed");
    let mut scene = last_slot_in(state, if is_last_of_two { 2 } else { 1 });
    let before = scene.look();
    scene.stage.tell(event_named(event, scene.child));
    let after = scene.look();
    let has_no_subject = before.slot_is_empty && is_about_a_child(event);
    if has_no_subject && before == after {
        "—".into()
    } else {
        before.changes_to(&after, &[])
    }
}

fn draining_event(state: &str, event: &str) -> String {
    let mut scene = draining_in(state);
    let before = scene.look();
    scene.stage.tell(event_named(event, scene.child));
    before.changes_to(&scene.look(), &[])
}

/// A supervisor with a slot in a certain state.
///
/// `child` is the child that the state is about, or else the last one of the slot.
struct Scene {
    stage: Stage,
    slot: SlotId,
    child: ChildId,
}

/// The observable part of a scene.
#[expect(clippy::struct_excessive_bools, reason = "observations, not a state")]
#[derive(PartialEq, Debug)]
struct Look {
    slot: String,
    slot_is_empty: bool,
    draining: Option<DrainState>,
    successor: Option<&'static str>,
    is_refused: bool,
    has_time: bool,
    is_known: bool,
    exits: u64,
    is_stopping: bool,
}

impl Scene {
    fn look(&self) -> Look {
        let supervisor = &self.stage.supervisor;
        let slot = supervisor.fleet().slot(self.slot);
        let child = supervisor.fleet().child(self.child);
        let draining = child.and_then(|child| match child.location {
            ChildLocation::DrainingChild(state) => Some(state),
            ChildLocation::Slot | ChildLocation::Successor(_) => None,
        });
        let successor = child.and_then(|child| match child.location {
            ChildLocation::Successor(successor) => Some(successor_name(&successor)),
            ChildLocation::Slot | ChildLocation::DrainingChild(_) => None,
        });
        Look {
            successor,
            is_refused: supervisor.rollouts().rolling_back().is_some(),
            slot: position_name(self.slot, &slot).into(),
            slot_is_empty: slot.child().is_none(),
            draining,
            has_time: draining.is_none_or(|state| has_time(&state, self.stage.now)),
            is_known: child.is_some(),
            exits: supervisor.exits_counted(),
            is_stopping: supervisor.is_stopping(),
        }
    }
}

impl Look {
    fn changes_to(&self, after: &Self, actions: &[Action]) -> String {
        let mut words: Vec<String> = actions.iter().filter_map(child_action_word).collect();
        if after.is_stopping && !self.is_stopping {
            words.push("stop".into());
        }
        if after.is_refused && !self.is_refused {
            words.push("refused".into());
        }
        if after.exits > self.exits {
            words.push("counts".into());
        }
        if after.slot != self.slot {
            words.push(format!("`{}`", after.slot));
        }
        match (self.successor, after.successor) {
            (Some(old), Some(new)) if old != new => words.push(format!("`{new}`")),
            (Some(_), None) if !after.is_known => words.push("gone".into()),
            (None | Some(_), None | Some(_)) => {}
        }
        match (self.draining, after.draining) {
            (None, Some(new)) => words.push(format!("draining `{}`", drain_state_name(&new))),
            (Some(_), None) if !after.is_known => words.push("gone".into()),
            (Some(old), Some(new)) if drain_state_name(&old) != drain_state_name(&new) => {
                words.push(format!("`{}`", drain_state_name(&new)));
            }
            (None | Some(_), None | Some(_)) => {}
        }
        if self.has_time && !after.has_time {
            words.push("no time left".into());
        }
        sentence(&words)
    }
}

fn slot_in(quoted: &str) -> Scene {
    last_slot_in(quoted, 1)
}

/// The children of the other slots serve.
fn last_slot_in(quoted: &str, slots: usize) -> Scene {
    let wanted = quoted.trim_matches('`');
    let mut policy = policy(slots);
    policy.recover_interval = INTERVAL;
    let mut stage = Stage::new(policy);
    let slot = SlotId(slots - 1);
    if wanted == "Unstarted" {
        let child = ChildId(1);
        return Scene { stage, slot, child };
    }
    let in_slot = |stage: &Stage| stage.supervisor.child_in(slot).expect("a child");
    assert_eq!(stage.ask().len(), slots);
    let mut child = in_slot(&stage);
    for child in stage.supervisor.children() {
        if child != in_slot(&stage) {
            let readiness = Readiness::Notified;
            stage.tell(Event::Started { child, readiness });
            stage.tell(Event::Ready { child });
        }
    }
    let readiness = match wanted {
        "Probation" => Readiness::Assumed,
        _ => Readiness::Notified,
    };
    if wanted == "Deferred" {
        stage.tell(Event::Started { child, readiness });
        assert_eq!(stage.ask(), [Action::AnnounceMasterReady]);
        stage.tell(Event::Ready { child });
        stage.exit(child);
    } else {
        stage.tell(Event::Started { child, readiness });
        stage.settle(readiness);
    }
    match wanted {
        "Deferred" | "Starting" | "Probation" => {}
        "Reverting" => {
            // The child of the new program exits before its rollout has a verdict.
            stage.tell(Event::Ready { child });
            let last = (0..slots).map(|_| stage.roll_out_slot()).last();
            child = last.expect("a fleet has slots");
            stage.exit(child);
        }
        "Recovering" | "SpawnRequested" => {
            stage.tell(Event::Ready { child });
            stage.exit(child);
        }
        "Serving" => stage.tell(Event::Ready { child }),
        "Unready" => {
            stage.tell(Event::Ready { child });
            stage.tell(Event::Unready { child });
        }
        "Ending" => {
            stage.tell(Event::Ready { child });
            stage.tell(Event::MainEnded { child });
        }
        "MustKill" => stage.tell(Event::Violation { child }),
        "Killed" => {
            stage.tell(Event::Violation { child });
            stage.ask();
        }
        "Retired" => {
            stage.stop(StopMode::Graceful);
            stage.exit(child);
        }
        other => panic!("no slot state is called {other}"),
    }
    if wanted == "SpawnRequested" {
        stage.pass(INTERVAL);
        stage.ask();
        child = in_slot(&stage);
    }
    let scene = Scene { stage, slot, child };
    assert_eq!(scene.look().slot, wanted);
    scene
}

fn successor_event(state: &str, event: &str) -> String {
    // The first slot is never removed.
    let slots = if event.ends_with("slot removed") {
        2
    } else {
        1
    };
    let mut scene = successor_in(state.trim_matches('`'), slots);
    let before = scene.look();
    scene.stage.tell(event_named(event, scene.child));
    let after = Look {
        // The tables of a slot have it.
        slot: before.slot.clone(),
        ..scene.look()
    };
    before.changes_to(&after, &[])
}

/// A rollout that has come to the last slot, whose successor is in this state.
fn successor_in(wanted: &str, slots: usize) -> Scene {
    let mut policy = policy(slots);
    // All successors soak for the same time.
    policy.rollout.soak = CANARY;
    let mut stage = Stage::serving(policy);
    stage.tell(Event::RolloutRequested);
    for _ in 1..slots {
        stage.roll_out_slot();
    }
    let slot = SlotId(slots - 1);
    if slots == 1 {
        assert_eq!(stage.ask(), [Action::OpenProgram]);
        let program = ProgramId(1);
        stage.tell(Event::ProgramOpened { program });
    }
    stage.ask();
    let successors = stage.supervisor.fleet().successors();
    let [(child, _, _)] = successors[..] else {
        panic!("{successors:?}");
    };
    let readiness = match wanted {
        "Probation" => Readiness::Assumed,
        _ => Readiness::Notified,
    };
    if wanted != "SpawnRequested" {
        stage.tell(Event::Started { child, readiness });
    }
    match wanted {
        "SpawnRequested" | "Starting" | "Probation" => {}
        "Ready" => stage.tell(Event::Ready { child }),
        "Soaking" => {
            stage.tell(Event::Ready { child });
            assert_eq!(stage.ask(), [Action::Serve { child }]);
        }
        other => panic!("no state of a successor is called {other}"),
    }
    let scene = Scene { stage, slot, child };
    assert_eq!(scene.look().successor, Some(wanted));
    scene
}

pub(super) fn successor_name(successor: &Successor) -> &'static str {
    match (successor.state, successor.soak_until) {
        (SlotState::Serving { .. }, Some(_)) => "Soaking",
        (SlotState::Serving { .. }, None) => "Ready",
        (state, _) => slot_name(&state),
    }
}

// The standbys.

fn standby_event(state: &str, event: &str) -> String {
    // The first slot is never removed.
    let slots = if event.ends_with("slot removed") {
        2
    } else {
        1
    };
    let mut scene = standby_in(state.trim_matches('`'), slots);
    let before = scene.look();
    scene.stage.tell(event_named(event, scene.child));
    let after = scene.look();
    if before.slot_is_empty && is_about_a_child(event) && before == after {
        "—".into()
    } else {
        before.changes_to(&after, &[])
    }
}

/// A fleet that serves, with one standby that is in this state.
fn standby_in(wanted: &str, slots: usize) -> Scene {
    let (mut stage, slot) = (with_standby(slots), SlotId::standby(0));
    let mut child = stage.supervisor.child_in(slot).expect("it is due");
    let readiness = match wanted {
        "Probation" => Readiness::Assumed,
        _ => Readiness::Notified,
    };
    stage.tell(Event::Started { child, readiness });
    match wanted {
        "Starting" | "Probation" => {}
        "Unstarted" => {
            stage.tell(Event::Ready { child });
            stage.exit(stage.child());
            stage.ask();
            // The child fills the slot now.
            child = ChildId(1_000_000);
        }
        "Recovering" | "SpawnRequested" => stage.exit(child),
        "Ready" => stage.tell(Event::Ready { child }),
        "Unready" => {
            stage.tell(Event::Ready { child });
            stage.tell(Event::Unready { child });
        }
        "Ending" => {
            stage.tell(Event::Ready { child });
            stage.tell(Event::MainEnded { child });
        }
        "MustKill" => stage.tell(Event::Violation { child }),
        "Killed" => {
            stage.tell(Event::Violation { child });
            stage.ask();
        }
        "Retired" => {
            stage.stop(StopMode::Graceful);
            stage.exit(child);
        }
        other => panic!("no state of a standby is called {other}"),
    }
    if wanted == "SpawnRequested" {
        stage.pass(INTERVAL);
        stage.ask();
        child = stage.supervisor.child_in(slot).expect("it is due");
    }
    let scene = Scene { stage, slot, child };
    assert_eq!(scene.look().slot, wanted);
    scene
}

/// A fleet that serves. The start of its standby was returned.
pub(super) fn with_standby(slots: usize) -> Stage {
    let mut policy = policy(slots);
    policy.recover_interval = INTERVAL;
    policy.standbys = 1;
    let mut stage = Stage::serving(policy);
    stage.ask();
    stage
}

/// The two cells in the row of the state of a slot, if a standby is ready.
fn promotion(column: &str, wanted: &str) -> String {
    let mut stage = with_standby(1);
    let slot = SlotId(0);
    let standby = stage.supervisor.child_in(SlotId::standby(0));
    let standby = standby.expect("it is due");
    let readiness = Readiness::Notified;
    stage.tell(Event::Started {
        child: standby,
        readiness,
    });
    let child = match wanted {
        "`Reverting`" => stage.roll_out_slot(),
        _ => stage.child(),
    };
    stage.exit(child);
    stage.tell(Event::Ready { child: standby });
    let is_due = stage.supervisor.fleet().due(stage.now).is_some();
    let mut scene = Scene { stage, slot, child };
    let before = scene.look();
    assert_eq!(format!("`{}`", before.slot), wanted);
    match column {
        "when" if is_due => "at once".into(),
        "when" => "never".into(),
        _ => {
            let actions = scene.stage.supervisor.next_action(scene.stage.now);
            let actions: Vec<_> = actions.into_iter().collect();
            before.changes_to(&scene.look(), &actions)
        }
    }
}

/// The state of a slot, or of the position of a standby.
pub(super) fn position_name(slot: SlotId, state: &SlotState) -> &'static str {
    if slot.is_standby() && state.is_serving() {
        "Ready"
    } else {
        slot_name(state)
    }
}

// The rollout.

const ROLLOUT_ROWS: [&str; 6] = [
    "the successor exited",
    "a child of the new program exited",
    "asked, nothing new",
    "asked, the last successor has soaked",
    "asked, `rollout_timeout` later",
    "asked, before the master is ready",
];

fn rollout_event(column: &str, row: &str) -> String {
    let column = column.trim_matches('`');
    let Some(mut stage) = rollout_in(column, row) else {
        return "—".into();
    };
    let before = rollout_name(&stage);
    let successors = stage.supervisor.fleet().successors();
    let actions = match row {
        "the successor exited" => {
            let Some(&(child, ..)) = successors.first() else {
                return "—".into();
            };
            stage.exit(child);
            vec![]
        }
        "a child of the new program exited" => {
            let child = stage.child();
            if stage.supervisor.fleet().program(SlotId(0)) == Some(ProgramId::OWN) {
                return "—".into();
            }
            stage.exit(child);
            vec![]
        }
        "asked, nothing new" | "asked, before the master is ready" => stage
            .supervisor
            .next_action(stage.now)
            .into_iter()
            .collect(),
        "asked, the last successor has soaked" => {
            let Some(&(child, ..)) = successors.first() else {
                return "—".into();
            };
            stage.tell(Event::Ready { child });
            let mut actions = stage.ask();
            stage.pass(CANARY);
            actions.extend(stage.ask());
            actions
        }
        "asked, `rollout_timeout` later" => {
            stage.pass(TIMEOUT);
            stage.ask()
        }
        event => {
            stage.tell(event_named(event, stage.child()));
            vec![]
        }
    };
    let after = rollout_name(&stage);
    let mut words: Vec<String> = actions.iter().filter_map(rollout_action_word).collect();
    if after != before {
        words.push(format!("`{after}`"));
    }
    sentence(&words)
}

/// A fleet of two slots in a rollout that is in this stage. While it rolls out or back, slot 0 has a
/// child of the new program, and slot 1 a successor.
fn rollout_in(wanted: &str, row: &str) -> Option<Stage> {
    let mut policy = policy(2);
    policy.rollout.soak = CANARY;
    // Nothing else is due before `rollout_timeout`.
    policy.ready_timeout = Duration::MAX;
    let is_early = row == "asked, before the master is ready";
    if is_early && !["none", "requested"].contains(&wanted) {
        return None;
    }
    let mut stage = if is_early {
        let mut stage = Stage::new(policy);
        stage.ask();
        stage
    } else {
        Stage::serving(policy)
    };
    if wanted != "none" {
        stage.tell(Event::RolloutRequested);
    }
    match wanted {
        "none" | "requested" => {}
        "Opening" => _ = stage.ask(),
        "Ended" => {
            stage.ask();
            stage.tell(Event::ProgramFailed);
        }
        "RollingOut" => {
            stage.roll_out_slot();
            stage.settle(Readiness::Notified);
        }
        "RollingBack" => {
            stage.roll_out_slot();
            stage.settle(Readiness::Notified);
            let (child, ..) = stage.supervisor.fleet().successors()[0];
            stage.exit(child);
            stage.settle(Readiness::Notified);
        }
        other => panic!("no stage of a rollout is called {other}"),
    }
    assert_eq!(rollout_name(&stage), wanted);
    Some(stage)
}

fn rollout_name(stage: &Stage) -> &'static str {
    let rollouts = stage.supervisor.rollouts();
    match rollouts.current.map(|rollout| rollout.stage) {
        None if rollouts.is_requested => "requested",
        None => "none",
        Some(RolloutStage::Opening) => "Opening",
        Some(RolloutStage::RollingOut(_)) => "RollingOut",
        Some(RolloutStage::RollingBack(..)) => "RollingBack",
        Some(RolloutStage::Ended(_)) => "Ended",
    }
}

fn rollout_action_word(action: &Action) -> Option<String> {
    match action {
        Action::OpenProgram => Some("OpenProgram".into()),
        Action::ReportReplaced { .. } => Some("ReportReplaced".into()),
        Action::ReportVerdict(verdict) => Some(match verdict {
            Verdict::Accepted { .. } => "ReportVerdict (accepted)".into(),
            Verdict::Refused { refusal, .. } => match refusal.stage {
                RefusalStage::Open => "ReportVerdict (refused: open)".into(),
                RefusalStage::Start => "ReportVerdict (refused: start)".into(),
                RefusalStage::Ready => "ReportVerdict (refused: ready)".into(),
                RefusalStage::Soak => "ReportVerdict (refused: soak)".into(),
                RefusalStage::Serve => "ReportVerdict (refused: serve)".into(),
                RefusalStage::Time => "ReportVerdict (refused: time)".into(),
            },
            Verdict::Stopped => "ReportVerdict (stopped)".into(),
        }),
        Action::Start { gate, .. } => match gate {
            Gate::Closed => Some("Start".into()),
            Gate::Open => None,
        },
        Action::AnnounceMasterReady
        | Action::ReportHealthy { .. }
        | Action::Serve { .. }
        | Action::Promote { .. }
        | Action::Adopt { .. }
        | Action::Release { .. }
        | Action::Terminate { .. }
        | Action::Kill { .. }
        | Action::GiveUp { .. }
        | Action::ReportRunning { .. }
        | Action::CloseListeners => None,
    }
}

fn draining_in(row: &str) -> Scene {
    let state = row
        .split('`')
        .nth(1)
        .unwrap_or_else(|| panic!("no state in {row}"));
    let mut scene = match state {
        "AwaitingStart" => slot_in("SpawnRequested"),
        _ => slot_in("Serving"),
    };
    let child = scene.child;
    scene.stage.stop(StopMode::Graceful);
    if row.ends_with("no time left") {
        scene.stage.stop(StopMode::Immediate);
    }
    match state {
        "AwaitingStart" | "NotYetAsked" => {}
        "Draining" => _ = scene.stage.ask(),
        "MustKill" => scene.stage.tell(Event::Violation { child }),
        "Killed" => {
            scene.stage.stop(StopMode::Immediate);
            scene.stage.ask();
        }
        "Unkillable" => {
            // The stop must not be over yet, so the slot needs another child that still drains.
            scene = with_unkillable_child();
        }
        other => panic!("no state of a draining child is called {other}"),
    }
    let draining = scene.look().draining.expect("the child has left its slot");
    assert_eq!(drain_state_name(&draining), state);
    scene
}

/// A child that did not exit after SIGKILL, before the stop.
///
/// The next child of its slot drains.
fn with_unkillable_child() -> Scene {
    let mut scene = slot_in("Killed");
    scene.stage.pass(PATIENCE);
    scene.stage.ask();
    scene.stage.pass(INTERVAL);
    scene.stage.settle(Readiness::Notified);
    scene.stage.stop(StopMode::Graceful);
    scene.stage.ask();
    scene
}

/// The two cells in the row of a state: its deadline, and what happens then.
fn in_time(mut scene: Scene, state: &str, column: &str) -> String {
    let fleet = scene.stage.supervisor.fleet();
    let deadline = match fleet.child(scene.child).map(|child| child.location) {
        Some(ChildLocation::DrainingChild(state)) => state.deadline(),
        Some(ChildLocation::Successor(successor)) => successor.deadline(),
        Some(ChildLocation::Slot) | None => fleet.slot(scene.slot).deadline(),
    };
    let wait = deadline.map(|deadline| deadline - scene.stage.now);
    match column {
        // There was no exit.
        "when" if scene.look().slot == "Unstarted" && wait == Some(INTERVAL) => {
            "`recover_interval` after a promotion; at once after a rollout".into()
        }
        "when" => wait_words(wait).into(),
        "then" => {
            let Some(wait) = wait else {
                return "·".into();
            };
            if wait > MOMENT {
                scene.stage.pass(wait - MOMENT);
                let before = (vec![], scene.look());
                let early = (scene.stage.ask(), scene.look());
                assert_eq!(early, before, "{state} is too early");
                scene.stage.pass(MOMENT);
            }
            let before = scene.look();
            let actions = scene.stage.ask();
            before.changes_to(&scene.look(), &actions)
        }
        other => panic!("no column is called {other}"),
    }
}

fn wait_words(wait: Option<Duration>) -> &'static str {
    let Some(wait) = wait else {
        return "never";
    };
    let words = [
        (Duration::ZERO, "at once"),
        (INTERVAL, "`recover_interval` and back-off after the exit"),
        (READY, "`ready_timeout` after the start"),
        (HEALTHY, "`healthy_after` after the start"),
        (EXIT, "`exit_timeout` after the end of `main`"),
        (PATIENCE, "`kill_timeout` after the kill"),
        (CANARY, "`rollout_canary` or `rollout_soak` after Serve"),
        (GRACE, "`shutdown_grace_period` after the stop began"),
        (
            GRACE + PATIENCE,
            "`shutdown_grace_period` and `kill_timeout` after the stop began",
        ),
    ];
    let named = words.into_iter().find(|&(duration, _)| duration == wait);
    named.unwrap_or_else(|| panic!("{wait:?} has no name")).1
}

fn child_action_word(action: &Action) -> Option<String> {
    match action {
        Action::Start { .. } => Some("Start".into()),
        Action::Terminate { .. } => Some("Terminate".into()),
        Action::Kill { reason, .. } => Some(match reason {
            KillReason::NotReady => "Kill (not ready)".into(),
            KillReason::Violation => "Kill (violation)".into(),
            KillReason::OutOfTime => "Kill (out of time)".into(),
        }),
        Action::GiveUp { .. } => Some("GiveUp".into()),
        Action::ReportRunning { .. } => Some("ReportRunning".into()),
        Action::ReportHealthy { .. } => Some("ReportHealthy".into()),
        Action::Serve { .. } => Some("Serve".into()),
        Action::Promote { .. } => Some("Promote".into()),
        Action::ReportReplaced { .. } => Some("ReportReplaced".into()),
        Action::Adopt { .. }
        | Action::Release { .. }
        | Action::AnnounceMasterReady
        | Action::CloseListeners
        | Action::OpenProgram
        | Action::ReportVerdict(_) => None,
    }
}

pub(super) fn slot_name(state: &SlotState) -> &'static str {
    // A new state does not compile without an arm here, and then needs a row.
    match state {
        SlotState::Unstarted { .. } => "Unstarted",
        SlotState::Recovering { .. } => "Recovering",
        SlotState::Reverting { .. } => "Reverting",
        SlotState::Deferred { .. } => "Deferred",
        SlotState::SpawnRequested { .. } => "SpawnRequested",
        SlotState::Starting { .. } => "Starting",
        SlotState::Probation { .. } => "Probation",
        SlotState::Serving { .. } => "Serving",
        SlotState::Unready { .. } => "Unready",
        SlotState::Ending { .. } => "Ending",
        SlotState::MustKill { .. } => "MustKill",
        SlotState::Killed { .. } => "Killed",
        SlotState::Retired => "Retired",
    }
}

pub(super) fn has_time(state: &DrainState, now: Instant) -> bool {
    match *state {
        DrainState::AwaitingStart { kill_at, .. }
        | DrainState::NotYetAsked { kill_at, .. }
        | DrainState::Draining { kill_at } => kill_at > now,
        DrainState::MustKill { .. } | DrainState::Killed { .. } | DrainState::Unkillable => true,
    }
}

pub(super) fn drain_state_name(state: &DrainState) -> &'static str {
    match state {
        DrainState::AwaitingStart { .. } => "AwaitingStart",
        DrainState::NotYetAsked { .. } => "NotYetAsked",
        DrainState::Draining { .. } => "Draining",
        DrainState::MustKill { .. } => "MustKill",
        DrainState::Killed { .. } => "Killed",
        DrainState::Unkillable => "Unkillable",
    }
}

// The fleet as a whole.

fn fleet_event(phase: &str, row: &str) -> String {
    let mut scene = fleet_in(phase, row);
    let before = phase_name(scene.stage.supervisor.phase());
    let Some(actions) = scene.apply(row) else {
        return "—".into();
    };
    let after = phase_name(scene.stage.supervisor.phase());
    let mut words: Vec<String> = actions.iter().filter_map(fleet_action_word).collect();
    if after != before {
        words.push(after);
    }
    sentence(&words)
}

/// A supervisor of two slots, brought into a phase.
///
/// Slot 0 has a child that serves. If the phase allows it, slot 1 has a child whose start is not
/// answered yet.
struct FleetScene {
    stage: Stage,
    serving: Option<ChildId>,
    asked: Option<ChildId>,
}

const FLEET_ROWS: [&str; 5] = [
    "asked, after an exit",
    "asked, after one exit too many",
    "asked, nothing new",
    "asked, all have closed",
    "asked, all are gone",
];

impl FleetScene {
    /// Sends the event of this row. `None` if there is no child that it could be about.
    fn apply(&mut self, row: &str) -> Option<Vec<Action>> {
        let about_a_start = row.starts_with("`Start");
        match row {
            "asked, nothing new" => {}
            "asked, all have closed" => {
                let child = self.serving?;
                self.stage.tell(Event::Closed { child });
            }
            "asked, all are gone" | "asked, after an exit" | "asked, after one exit too many" => {
                self.stage.exit(self.serving?);
            }
            event if about_a_start => self.stage.tell(event_named(event, self.asked?)),
            event => self.stage.tell(event_named(event, self.serving?)),
        }
        let is_question = row.starts_with("asked");
        Some(if is_question {
            self.stage.ask()
        } else {
            vec![]
        })
    }
}

fn fleet_in(phase: &str, row: &str) -> FleetScene {
    let mut policy = policy(2);
    policy.recover_threshold = match (row, phase) {
        // The setup below needs one exit.
        ("asked, after one exit too many", "`Running`" | "`Delaying`" | "`Stopping`") => 1,
        ("asked, after one exit too many", "`StartingUp`" | "`AllStarted`" | "`Announcing`") => 0,
        _ => 100,
    };
    if phase == "`Delaying`" {
        policy.drain_delay = DELAY;
    }
    let mut stage = Stage::new(policy);
    let readiness = Readiness::Notified;
    stage.supervisor.next_action(stage.now);
    let child = stage.child();
    stage.tell(Event::Started { child, readiness });
    stage.tell(Event::Ready { child });
    let serving = Some(child);
    stage.ask();
    let in_slot_1 = |stage: &Stage| stage.supervisor.child_in(SlotId(1));
    let mut asked = in_slot_1(&stage);
    if phase != "`StartingUp`" {
        let child = asked.take().expect("all first starts were returned");
        stage.tell(Event::Started { child, readiness });
        if phase != "`AllStarted`" {
            assert_eq!(stage.ask(), [Action::AnnounceMasterReady]);
        }
        if !["`AllStarted`", "`Announcing`"].contains(&phase) {
            stage.tell(Event::MasterReady);
            stage.exit(child);
            stage.ask();
            asked = in_slot_1(&stage);
        }
    }
    let mut scene = FleetScene {
        stage,
        serving,
        asked,
    };
    if ["`Delaying`", "`Stopping`", "`Ended`"].contains(&phase) {
        scene.stop(phase, row);
    }
    let found = phase_name(scene.stage.supervisor.phase());
    assert!(found.starts_with(phase), "{found} is not {phase}");
    scene
}

impl FleetScene {
    fn stop(&mut self, phase: &str, row: &str) {
        self.stage.stop(StopMode::Graceful);
        self.stage.ask();
        let all_leave = ["asked, all have closed", "asked, all are gone"].contains(&row);
        if phase == "`Ended`" || all_leave {
            self.stage
                .exit(self.asked.take().expect("a start is unanswered"));
        }
        if phase == "`Ended`" {
            let child = self.serving.expect("slot 0 serves");
            self.stage.exit(child);
            self.stage.ask();
        }
    }
}

fn phase_name(phase: &Phase) -> String {
    match phase {
        Phase::StartingUp { .. } => "`StartingUp`".into(),
        Phase::AllStarted => "`AllStarted`".into(),
        Phase::Announcing => "`Announcing`".into(),
        Phase::Running => "`Running`".into(),
        Phase::Delaying { stop, .. } => format!("`Delaying` ({})", cause_words(&stop.cause)),
        Phase::Stopping { stop, .. } => format!("`Stopping` ({})", cause_words(&stop.cause)),
        Phase::Ended(outcome) => format!("`Ended` ({})", cause_words(&outcome.stop.cause)),
    }
}

fn cause_words(cause: &StopCause) -> &'static str {
    match cause {
        StopCause::Requested => "requested",
        StopCause::OverRecovery { .. } => "over recovery",
        StopCause::StartFailed { .. } => "start failed",
        StopCause::HookFailed => "hook failed",
        StopCause::ListenerLost => "listener lost",
    }
}

fn fleet_action_word(action: &Action) -> Option<String> {
    match action {
        Action::AnnounceMasterReady => Some("AnnounceMasterReady".into()),
        Action::CloseListeners => Some("CloseListeners".into()),
        Action::Start { .. }
        | Action::ReportHealthy { .. }
        | Action::Terminate { .. }
        | Action::Kill { .. }
        | Action::GiveUp { .. }
        | Action::ReportRunning { .. }
        | Action::OpenProgram
        | Action::Serve { .. }
        | Action::Promote { .. }
        | Action::Adopt { .. }
        | Action::Release { .. }
        | Action::ReportReplaced { .. }
        | Action::ReportVerdict(_) => None,
    }
}

// Four slots that serve, each with two children that accept. The events are about slot 1.

fn ring_event(column: &str, event: &str) -> String {
    let mut stage = Stage::new(Policy {
        ring_width: 2,
        ..policy(4)
    });
    let children = [1, 2, 3, 4].map(ChildId);
    stage.settle(Readiness::Notified);
    for child in children {
        stage.tell(Event::AdoptionOffered { child });
        stage.tell(Event::Ready { child });
    }
    stage.settle(Readiness::Notified);
    let child = children[1];
    let before = match column.trim_matches('`') {
        "accepts" => None,
        "suspended" => Some(Event::Suspended { child }),
        "unready" => Some(Event::Unready { child }),
        "cannot adopt" => Some(Event::AdoptionFailed { child }),
        other => panic!("no state is called {other}"),
    };
    if let Some(before) = before {
        stage.tell(before);
        stage.settle(Readiness::Notified);
    }
    stage.tell(event_named(event, child));
    let mut words = Vec::new();
    // A child that exits is replaced after that.
    while let Some(action) = stage.supervisor.next_action(stage.now) {
        let (verb, slot, child) = match action {
            Action::Adopt { slot, child } => ("Adopt", slot, child),
            Action::Release { slot, child } => ("Release", slot, child),
            _ => break,
        };
        words.push(format!("{verb} {} by {}", slot.0, child.0 - 1));
    }
    sentence(&words)
}

// The text.

fn sentence(words: &[String]) -> String {
    if words.is_empty() {
        "·".into()
    } else {
        words.join(", ")
    }
}

/// Compares every cell of a table with `cell(column, row)`.
fn compare(title: &str, cell: impl Fn(&str, &str) -> String) {
    let columns = header(title);
    let mut differences = BTreeMap::new();
    for row in rows(title) {
        assert_eq!(
            row.len(),
            columns.len(),
            "a cell is missing in {title}: {row:?}"
        );
        for (column, written) in columns.iter().zip(&row).skip(1) {
            let found = cell(column, &row[0]);
            if found != *written {
                differences.insert((row[0].clone(), column.clone()), (found, written.clone()));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{title}: (row, column): (code, table)\n{differences:#?}"
    );
}

pub(super) fn header(title: &str) -> Vec<String> {
    lines(title).remove(0)
}

pub(super) fn rows(title: &str) -> Vec<Vec<String>> {
    lines(title).split_off(2)
}

fn lines(title: &str) -> Vec<Vec<String>> {
    let heading = format!("### {title}\n");
    let (_, section) = TABLES
        .split_once(&heading)
        .unwrap_or_else(|| panic!("no table is called {title}"));
    let section = section.split("\n### ").next().expect("split yields one");
    let lines = section.lines().filter(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

fn quoted(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("`{name}`")).collect()
}
