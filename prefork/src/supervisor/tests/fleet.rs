//! A simulated fleet in virtual time.
//!
//! It has children with a temper, and a mechanism that performs the actions of the supervisor.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::super::{Action, ChildId, Event, Policy, Readiness, StartFailure, StopMode, Supervisor};
use super::book::Book;
use super::stage::assert_rested;

/// What one child will do. Times are in milliseconds; `None` means never.
#[derive(Clone, Debug)]
pub(super) struct Temper {
    pub(super) start: Start,
    /// From its start until it corrects the assumed readiness.
    pub(super) corrects_readiness: Option<(u64, Readiness)>,
    /// From its start until it reports readiness.
    pub(super) ready: Option<u64>,
    /// From its start until it violates the protocol.
    pub(super) lies: Option<u64>,
    /// From its start until it exits by itself.
    pub(super) dies: Option<u64>,
    /// From its start until its `main` ends.
    pub(super) main_ends: Option<u64>,
    /// From the request to stop until it closes its listeners.
    pub(super) closes: Option<u64>,
    /// From the request to stop until it exits.
    pub(super) drains: Option<u64>,
    /// From SIGKILL until it exits.
    pub(super) ends: Option<u64>,
}

/// The result of a child's start.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    Succeeds(Readiness),
    Fails(StartFailure),
    /// Answered this much later. The real mechanism answers at once.
    Late(u64),
    NeverAnswered,
}

/// An event from outside the fleet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Blow {
    Stop(StopMode),
    HookFails,
    ListenerLost,
    MasterReadyAgain,
    /// Another number of slots.
    Resize(usize),
    /// An event of this kind about this child, if the child is unknown or has exited by then.
    Stale(u8, u64),
}

/// Everything that a run depends on.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) policy: Policy,
    /// In the order of starts. After the last one, the first one is used again.
    pub(super) tempers: Vec<Temper>,
    pub(super) blows: Vec<(u64, Blow)>,
    /// How long the announcement takes.
    pub(super) hook: u64,
    /// When a stop is requested, whatever happened before.
    pub(super) horizon: u64,
}

pub(super) struct FleetSimulation {
    supervisor: Supervisor,
    script: Script,
    now: Instant,
    coming: BTreeMap<(Instant, u64), Coming>,
    count: u64,
    started: usize,
    book: Book,
}

#[derive(Clone, Copy, Debug)]
enum Coming {
    Fact(Event),
    Blow(Blow),
}

impl FleetSimulation {
    /// Runs a script to its end. The book checks every step.
    pub(super) fn run(script: Script) -> Book {
        let now = Instant::now();
        let mut fleet = Self {
            supervisor: Supervisor::new(script.policy.clone(), now),
            book: Book::new(script.policy.clone(), now),
            now,
            coming: BTreeMap::new(),
            count: 0,
            started: 0,
            script,
        };
        for (at, blow) in fleet.script.blows.clone() {
            fleet.expect(at, Coming::Blow(blow));
        }
        let stop = Blow::Stop(StopMode::Graceful);
        fleet.expect(fleet.script.horizon, Coming::Blow(stop));
        fleet.live();
        fleet.book.close(fleet.supervisor.outcome());
        fleet.outlive();
        fleet.book
    }

    fn live(&mut self) {
        for _ in 0..100_000 {
            self.perform_all();
            if self.supervisor.outcome().is_some() {
                return;
            }
            self.wait();
        }
        panic!("the fleet does not end");
    }

    /// Checks that events after the end change nothing.
    fn outlive(&mut self) {
        let outcome = self.supervisor.outcome().cloned();
        assert_eq!(
            self.supervisor.deadline(),
            None,
            "nothing is due after the end"
        );
        while let Some(((at, _), coming)) = self.coming.pop_first() {
            self.now = self.now.max(at);
            if let Some(event) = self.event(coming) {
                self.supervisor.handle(event, self.now);
            }
            assert_eq!(self.supervisor.next_action(self.now), None);
            assert_eq!(
                self.supervisor.outcome(),
                outcome.as_ref(),
                "the outcome changed"
            );
        }
    }

    /// Advances the time to the next event or deadline and reports what happened.
    fn wait(&mut self) {
        let event = self.coming.first_key_value().map(|(&(at, _), _)| at);
        let deadline = self.supervisor.deadline();
        let next = event.into_iter().chain(deadline).min();
        self.now = next.expect("there is an event or a deadline until the fleet has ended");
        while let Some(first) = self.coming.first_entry()
            && first.key().0 <= self.now
        {
            let coming = first.remove();
            if let Some(event) = self.event(coming) {
                self.tell(event);
            }
        }
    }

    fn tell(&mut self, event: Event) {
        self.supervisor.handle(event, self.now);
        self.book.on_event(event, self.now);
    }

    fn event(&self, coming: Coming) -> Option<Event> {
        match coming {
            Coming::Fact(event) => Some(event),
            Coming::Blow(Blow::Stop(urgency)) => Some(Event::StopRequested { urgency }),
            Coming::Blow(Blow::HookFails) => Some(Event::HookFailed),
            Coming::Blow(Blow::ListenerLost) => Some(Event::ListenerLost),
            Coming::Blow(Blow::Resize(slots)) => Some(Event::Resize {
                slots: NonZeroUsize::new(slots).expect("a fleet has slots"),
            }),
            Coming::Blow(Blow::MasterReadyAgain) => {
                self.book.is_master_ready().then_some(Event::MasterReady)
            }
            Coming::Blow(Blow::Stale(kind, child)) => self.stale(kind, ChildId(child)),
        }
    }

    fn stale(&self, kind: u8, child: ChildId) -> Option<Event> {
        let (readiness, failure) = (Readiness::Notified, StartFailure::Permanent);
        let event = match kind % 8 {
            0 => Event::Started { child, readiness },
            1 => Event::StartFailed { child, failure },
            2 => Event::Ready { child },
            3 => Event::Readiness { child, readiness },
            4 => Event::Closed { child },
            5 => Event::Violation { child },
            6 => Event::MainEnded { child },
            _ => Event::Exited { child },
        };
        (!self.book.is_there(child)).then_some(event)
    }

    fn perform_all(&mut self) {
        loop {
            self.book.about_to_ask(self.now);
            let action = self.supervisor.next_action(self.now);
            self.book.note_left(&self.supervisor, self.now);
            let Some(action) = action else {
                break;
            };
            self.book.asked(action, self.now);
            self.perform(action);
        }
        assert_rested(&self.supervisor, self.now);
        self.book.rested(&self.supervisor, self.now);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start { child, .. } => self.start(child),
            Action::AnnounceMasterReady if self.script.hook == 0 => self.tell(Event::MasterReady),
            Action::AnnounceMasterReady => {
                self.expect(self.script.hook, Coming::Fact(Event::MasterReady));
            }
            Action::Terminate { child, .. } => {
                let temper = self.temper(child);
                self.expect_fact(temper.closes, Event::Closed { child });
                self.expect_fact(temper.drains, Event::Exited { child });
            }
            Action::Kill { child, .. } => {
                let ends = self.temper(child).ends;
                self.expect_fact(ends, Event::Exited { child });
            }
            Action::GiveUp { .. } | Action::ReportRunning { .. } | Action::CloseListeners => {}
        }
    }

    fn start(&mut self, child: ChildId) {
        self.started += 1;
        let temper = self.temper(child);
        match temper.start {
            Start::Succeeds(readiness) => {
                self.tell(Event::Started { child, readiness });
                self.expect_life(&temper, child, 0);
            }
            Start::Fails(failure) => self.tell(Event::StartFailed { child, failure }),
            Start::Late(after) => {
                let readiness = Readiness::Notified;
                self.expect(after, Coming::Fact(Event::Started { child, readiness }));
                self.expect_life(&temper, child, after);
            }
            Start::NeverAnswered => {}
        }
    }

    fn expect_life(&mut self, temper: &Temper, child: ChildId, started: u64) {
        let after_start = |at: Option<u64>| at.map(|at| started + at);
        if let Some((at, readiness)) = temper.corrects_readiness {
            self.expect_fact(Some(started + at), Event::Readiness { child, readiness });
        }
        self.expect_fact(after_start(temper.ready), Event::Ready { child });
        self.expect_fact(after_start(temper.lies), Event::Violation { child });
        self.expect_fact(after_start(temper.main_ends), Event::MainEnded { child });
        self.expect_fact(after_start(temper.dies), Event::Exited { child });
    }

    fn temper(&self, child: ChildId) -> Temper {
        let index = usize::try_from(child.0).expect("few children") - 1;
        self.script.tempers[index % self.script.tempers.len()].clone()
    }

    fn expect_fact(&mut self, after: Option<u64>, event: Event) {
        if let Some(after) = after {
            self.expect(after, Coming::Fact(event));
        }
    }

    fn expect(&mut self, after: u64, coming: Coming) {
        self.count += 1;
        let at = self.now + Duration::from_millis(after);
        self.coming.insert((at, self.count), coming);
    }
}
