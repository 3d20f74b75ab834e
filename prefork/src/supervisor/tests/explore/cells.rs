//! The cells of `TABLE.md` that the moves use.

use super::super::table;
use super::{Cells, Move, Process, UNKNOWN, World, child_events, child_of};
use crate::supervisor::children::ChildLocation;
use crate::supervisor::draining::DrainState;
use crate::supervisor::phase::Phase;
use crate::supervisor::schedule::DeadlineKey;
use crate::supervisor::{ChildId, Event, Policy, Readiness, SlotId, StartFailure, StopMode};

const SLOT_EVENT: &str = "Slot × event";
const SLOT_TIME: &str = "Slot × time";
const DRAINING_EVENT: &str = "Draining child × event";
const DRAINING_TIME: &str = "Draining child × time";
const SUCCESSOR_EVENT: &str = "Successor × event";
const SUCCESSOR_TIME: &str = "Successor × time";
const STANDBY_EVENT: &str = "Standby × event";
const STANDBY_TIME: &str = "Standby × time";
const PROMOTION: &str = "Slot × time, if a standby is ready";
const FLEET_EVENT: &str = "Fleet × event";

impl World {
    /// Notes the cells that a move uses.
    pub(super) fn note_cells(&self, next: Move, cells: &mut Cells) {
        match next {
            Move::Tell(event) => match child_of(event) {
                Some(child) => self.note_child(child, row(event), cells),
                None => self.note_all(event, cells),
            },
            Move::Ask => {
                cells.insert((FLEET_EVENT, "asked, nothing new", self.phase()));
                if let Some(due) = self.supervisor.fleet().due(self.now) {
                    self.note_deadline(due, cells);
                }
                // `check_stale_events` sends these in every state.
                for event in child_events(UNKNOWN) {
                    self.note_stale(row(event), cells);
                }
            }
            Move::Pass => {
                let fleet = self.supervisor.fleet();
                for slot in fleet.slot_ids().chain(fleet.standby_ids()) {
                    let state = fleet.slot(slot);
                    if state.deadline().is_none() {
                        let [_, time] = tables_of(slot);
                        cells.insert((time, table::position_name(slot, &state), ""));
                    }
                }
                for (_, _, successor) in fleet.successors() {
                    if successor.deadline().is_none() {
                        let name = table::successor_name(&successor);
                        cells.insert((SUCCESSOR_TIME, name, ""));
                    }
                }
                for (_, state) in self.draining() {
                    if state.deadline().is_none() {
                        cells.insert((DRAINING_TIME, table::drain_state_name(&state), ""));
                    }
                }
            }
        }
    }

    pub(super) fn note_child(&self, child: ChildId, row: &'static str, cells: &mut Cells) {
        let fleet = self.supervisor.fleet();
        match fleet.child(child).map(|child| (child.slot, child.location)) {
            Some((slot, ChildLocation::Slot)) => {
                let [events, _] = tables_of(slot);
                let name = table::position_name(slot, &fleet.slot(slot));
                cells.insert((events, row, name));
            }
            Some((_, ChildLocation::DrainingChild(state))) => {
                cells.insert((DRAINING_EVENT, row, table::drain_state_name(&state)));
            }
            Some((_, ChildLocation::Successor(successor))) => {
                let name = table::successor_name(&successor);
                cells.insert((SUCCESSOR_EVENT, row, name));
            }
            None => {}
        }
        cells.insert((FLEET_EVENT, row, self.phase()));
    }

    pub(super) fn note_all(&self, event: Event, cells: &mut Cells) {
        let fleet = self.supervisor.fleet();
        for slot in fleet.slot_ids() {
            let row = row_for(event, slot.0);
            cells.insert((SLOT_EVENT, row, table::slot_name(&fleet.slot(slot))));
        }
        let last = row_for(event, self.slots.len() - 1);
        for standby in fleet.standby_ids() {
            let name = table::position_name(standby, &fleet.slot(standby));
            cells.insert((STANDBY_EVENT, last, name));
        }
        for (_, slot, successor) in fleet.successors() {
            let name = table::successor_name(&successor);
            cells.insert((SUCCESSOR_EVENT, row_for(event, slot.0), name));
        }
        let row = row_for(event, self.slots.len() - 1);
        for (_, state) in self.draining() {
            cells.insert((DRAINING_EVENT, row, table::drain_state_name(&state)));
        }
        cells.insert((FLEET_EVENT, row, self.phase()));
    }

    pub(super) fn note_stale(&self, row: &'static str, cells: &mut Cells) {
        let fleet = self.supervisor.fleet();
        let positions = fleet.slot_ids().chain(fleet.standby_ids());
        for slot in positions.filter(|&slot| fleet.slot(slot).child().is_none()) {
            let [events, _] = tables_of(slot);
            let name = table::position_name(slot, &fleet.slot(slot));
            cells.insert((events, row, name));
        }
        cells.insert((FLEET_EVENT, row, self.phase()));
    }

    pub(super) fn note_deadline(&self, due: DeadlineKey, cells: &mut Cells) {
        let fleet = self.supervisor.fleet();
        match due {
            DeadlineKey::Slot(slot) => {
                let state = fleet.slot(slot);
                let [_, time] = tables_of(slot);
                if state.awaits_replacement() && fleet.ready_standby().is_some() {
                    cells.insert((PROMOTION, table::slot_name(&state), ""));
                } else {
                    cells.insert((time, table::position_name(slot, &state), ""));
                }
            }
            DeadlineKey::Child(child) => {
                let location = fleet.child(child).map(|child| child.location);
                if let Some(ChildLocation::Successor(successor)) = location {
                    let name = table::successor_name(&successor);
                    cells.insert((SUCCESSOR_TIME, name, ""));
                }
                let mut draining = self.draining().into_iter();
                if let Some((_, state)) = draining.find(|&(id, _)| id == child) {
                    let row = match table::drain_state_name(&state) {
                        "NotYetAsked" if !table::has_time(&state, self.now) => {
                            "NotYetAsked, no time left"
                        }
                        name => name,
                    };
                    cells.insert((DRAINING_TIME, row, ""));
                }
            }
        }
    }

    /// Notes the rows about questions that follow an event.
    pub(super) fn note_question(&self, event: Event, policy: &Policy, cells: &mut Cells) {
        let mut note = |row| cells.insert((FLEET_EVENT, row, self.phase()));
        if let Event::Exited { .. } = event {
            note("asked, after an exit");
            let exits = self.counted(&self.replacements, policy).len() as u64;
            if exits >= u64::from(policy.recover_threshold) {
                note("asked, after one exit too many");
            }
        }
        if !self.processes.iter().any(Process::accepts) {
            note("asked, all have closed");
        }
        if self.processes.iter().all(|process| process.was_given_up) {
            note("asked, all are gone");
        }
    }

    pub(super) fn phase(&self) -> &'static str {
        match self.supervisor.phase() {
            Phase::StartingUp { .. } => "StartingUp",
            Phase::AllStarted => "AllStarted",
            Phase::Announcing => "Announcing",
            Phase::Running => "Running",
            Phase::Delaying { .. } => "Delaying",
            Phase::Stopping { .. } => "Stopping",
            Phase::Ended(_) => "Ended",
        }
    }

    pub(super) fn draining(&self) -> Vec<(ChildId, DrainState)> {
        let fleet = self.supervisor.fleet();
        let state = |child| match fleet.child(child)?.location {
            ChildLocation::DrainingChild(state) => Some((child, state)),
            ChildLocation::Slot | ChildLocation::Successor(_) => None,
        };
        fleet.child_ids().into_iter().filter_map(state).collect()
    }
}

/// The tables of the events and of the times of this slot.
fn tables_of(slot: SlotId) -> [&'static str; 2] {
    if slot.is_standby() {
        [STANDBY_EVENT, STANDBY_TIME]
    } else {
        [SLOT_EVENT, SLOT_TIME]
    }
}

/// The row of an event in the tables, for a slot.
fn row_for(event: Event, slot: usize) -> &'static str {
    match event {
        Event::Resize { slots } if slot >= slots.get() => "`Resize`, slot removed",
        other => row(other),
    }
}

/// The row of an event in the tables.
fn row(event: Event) -> &'static str {
    match event {
        Event::Started { readiness, .. } => match readiness {
            Readiness::Notified => "`Started`, notified",
            Readiness::Assumed => "`Started`, assumed",
        },
        Event::StartFailed { failure, .. } => match failure {
            StartFailure::Transient => "`StartFailed`, transient",
            StartFailure::Permanent => "`StartFailed`, permanent",
            StartFailure::Refused => "`StartFailed`, refused",
        },
        Event::Ready { .. } => "`Ready`",
        Event::Unready { .. } => "`Unready`",
        Event::Readiness { readiness, .. } => match readiness {
            Readiness::Notified => "`Readiness`, notified",
            Readiness::Assumed => "`Readiness`, assumed",
        },
        Event::MainEnded { .. } => "`MainEnded`",
        Event::Closed { .. } => "`Closed`",
        Event::Violation { .. } => "`Violation`",
        Event::AdoptionOffered { .. } => "`AdoptionOffered`",
        Event::AdoptionFailed { .. } => "`AdoptionFailed`",
        Event::Suspended { .. } => "`Suspended`",
        Event::Resumed { .. } => "`Resumed`",
        Event::Exited { .. } => "`Exited`",
        Event::MasterReady => "`MasterReady`",
        Event::HookFailed => "`HookFailed`",
        Event::ListenerLost => "`ListenerLost`",
        Event::RolloutRequested => "`RolloutRequested`",
        Event::ProgramOpened { .. } => "`ProgramOpened`",
        Event::ProgramFailed => "`ProgramFailed`",
        Event::Resize { .. } => "`Resize`, slot kept",
        Event::StopRequested { urgency } => match urgency {
            StopMode::Graceful => "`StopRequested`, graceful",
            StopMode::Immediate => "`StopRequested`, immediate",
        },
    }
}

/// Prints the cells that no move has used, and compares them with those that none can use.
pub(super) fn check_cells(cells: &Cells) {
    let mut all = 0;
    let mut missing = Vec::new();
    for title in [
        SLOT_EVENT,
        SLOT_TIME,
        DRAINING_EVENT,
        DRAINING_TIME,
        SUCCESSOR_EVENT,
        SUCCESSOR_TIME,
        STANDBY_EVENT,
        STANDBY_TIME,
        PROMOTION,
        FLEET_EVENT,
    ] {
        let header = table::header(title);
        for row in table::rows(title) {
            let columns = match title {
                SLOT_TIME | DRAINING_TIME | SUCCESSOR_TIME | STANDBY_TIME | PROMOTION => {
                    vec![String::new()]
                }
                _ => header[1..].to_vec(),
            };
            let name = match title {
                SLOT_TIME | DRAINING_TIME | SUCCESSOR_TIME | STANDBY_TIME | PROMOTION => {
                    row[0].replace('`', "")
                }
                _ => row[0].clone(),
            };
            for column in columns {
                all += 1;
                let column = column.trim_matches('`');
                let is_used = cells.iter().any(|&cell| cell == (title, &*name, column));
                if !is_used {
                    missing.push(format!("{title}: {name}: {column}"));
                }
            }
        }
    }
    println!("{} of {all} cells of TABLE.md", all - missing.len());
    assert_eq!(missing, UNUSED, "cells that no move has used");
}

/// The cells that no world can use, each with the reason.
const UNUSED: [&str; 0] = [];
