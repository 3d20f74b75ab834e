//! A supervisor whose every call is checked, and recorded if asked.
//!
//! The simulation, the search for a shorter schedule and the tests that it prints all call the
//! supervisor through this file.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::super::super::{Action, Event, FleetOutcome, Policy, Supervisor};
use super::broken::Broken;
use super::observer::Observer;
use super::plan::{Nanos, nanos};

/// One call of the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Tell(Event),
    Ask,
}

/// A call and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: Nanos,
    pub(super) call: Call,
}

pub(super) struct Replay {
    supervisor: Supervisor,
    observer: Observer,
    epoch: Instant,
    steps: Option<Vec<Step>>,
}

impl Replay {
    pub(super) fn new(policy: Policy) -> Self {
        let epoch = Instant::now();
        Self {
            observer: Observer::new(policy.clone(), epoch),
            supervisor: Supervisor::new(policy, epoch),
            epoch,
            steps: None,
        }
    }

    /// Records all calls from now on.
    pub(super) fn record(&mut self) {
        self.steps = Some(Vec::new());
    }

    pub(super) fn steps(&self) -> &[Step] {
        self.steps.as_deref().unwrap_or_default()
    }

    /// # Errors
    /// A promise that the event breaks.
    pub(super) fn try_tell(&mut self, at: Nanos, event: Event) -> Result<(), Broken> {
        self.note(at, Call::Tell(event));
        self.observer.before_event(&self.supervisor, event)?;
        self.supervisor
            .handle(event, self.epoch + Duration::from_nanos(at));
        self.observer.after_event(&self.supervisor, event, at)
    }

    /// # Errors
    /// A promise that the action breaks, or that should have been kept by now.
    pub(super) fn try_ask(&mut self, at: Nanos) -> Result<Option<Action>, Broken> {
        self.note(at, Call::Ask);
        let now = self.epoch + Duration::from_nanos(at);
        let action = self.supervisor.next_action(now);
        self.observer.asked(&self.supervisor, action, at)?;
        Ok(action)
    }

    fn note(&mut self, at: Nanos, call: Call) {
        if let Some(steps) = &mut self.steps {
            steps.push(Step { at, call });
        }
    }

    /// When the supervisor must be asked again.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        let deadline = self.supervisor.deadline()?;
        Some(nanos(deadline.saturating_duration_since(self.epoch)))
    }

    pub(super) fn outcome(&self) -> Option<&FleetOutcome> {
        self.supervisor.outcome()
    }

    pub(super) fn observer(&self) -> &Observer {
        &self.observer
    }
}

/// For the tests that a failure prints.
impl Replay {
    /// Asks once, and checks the answer.
    pub(super) fn ask(&mut self, at: Nanos) -> Option<Action> {
        let action = self.try_ask(at);
        action.unwrap_or_else(|broken| panic!("{}: {}", broken.promise, broken.detail))
    }

    /// Reports an event, and checks what it changes.
    pub(super) fn tell(&mut self, at: Nanos, event: Event) {
        let result = self.try_tell(at, event);
        result.unwrap_or_else(|broken| panic!("{}: {}", broken.promise, broken.detail));
    }
}

/// A number of slots.
pub(super) fn slots(slots: usize) -> NonZeroUsize {
    NonZeroUsize::new(slots).expect("a fleet has slots")
}
