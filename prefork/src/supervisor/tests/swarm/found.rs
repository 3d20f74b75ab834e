//! Schedules that the simulation found: each broke a promise once, and must not again.

#![allow(unused_imports, reason = "the schedules differ in what they use")]

use std::num::NonZeroU8;
use std::time::Duration;

use super::super::super::{
    Backoff, ChildId, Event, Parallel, Policy, ProgramId, Readiness, RolloutPolicy, StartFailure,
    StopMode, Window,
};
use super::super::stage::policy;
use super::replay::{Replay, slots};

/// The bug was made on purpose, to test the simulation.
#[test]
fn a_process_that_outlives_its_main_ends_the_drain_of_the_one_before() {
    let mut replay = Replay::new(Policy {
        exit_timeout: Duration::from_millis(3),
        ..policy(1)
    });
    let readiness = Readiness::Notified;
    let child = ChildId(1);
    replay.ask(0); // Start
    replay.tell(0, Event::Started { child, readiness });
    replay.tell(0, Event::MainEnded { child });
    replay.ask(3_000_000); // ReportRunning
    replay.ask(3_000_000); // AnnounceMasterReady
    replay.tell(3_000_000, Event::MasterReady);
    replay.ask(3_000_000); // Start
    let child = ChildId(2);
    replay.tell(3_000_000, Event::Started { child, readiness });
    replay.tell(3_000_000, Event::MainEnded { child });
    replay.ask(6_000_000); // ReportRunning
    replay.ask(6_000_000); // Kill of the first child
}

#[test]
fn a_delayed_stop_continues_when_the_last_start_is_given_up() {
    let mut replay = Replay::new(Policy {
        recover_interval: Duration::from_mins(1),
        shutdown_grace_period: Duration::from_millis(35),
        drain_delay: Duration::from_millis(1_557),
        kill_timeout: Duration::from_millis(798),
        ..policy(1)
    });
    let readiness = Readiness::Assumed;
    let child = ChildId(1);
    replay.tell(0, Event::RolloutRequested);
    replay.ask(0); // Start
    replay.tell(0, Event::Started { child, readiness });
    replay.ask(0); // AnnounceMasterReady
    replay.tell(0, Event::MasterReady);
    replay.tell(0, Event::Exited { child });
    replay.ask(0); // OpenProgram
    let program = ProgramId(1);
    replay.tell(0, Event::ProgramOpened { program });
    replay.ask(0); // Start of a successor, which is not answered
    let urgency = StopMode::Graceful;
    replay.tell(0, Event::StopRequested { urgency });
    replay.ask(0); // ReportVerdict
    // After the grace period and `kill_timeout`.
    replay.ask(833_000_000); // CloseListeners
}
