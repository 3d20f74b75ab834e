//! A supervisor with a virtual clock, and a mechanism that performs its actions.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::super::{
    Action, Backoff, ChildId, Event, Parallel, Policy, ProgramId, Readiness, RolloutPolicy, SlotId,
    StopMode, Supervisor, Window,
};

pub(super) const INTERVAL: Duration = Duration::from_secs(7);
pub(super) const HEALTHY: Duration = Duration::from_secs(11);
pub(super) const READY: Duration = Duration::from_secs(30);
pub(super) const GRACE: Duration = Duration::from_secs(13);
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
pub(super) const EXIT: Duration = Duration::from_secs(1);
pub(super) const SOAK: Duration = Duration::from_secs(4);
pub(super) const CANARY: Duration = Duration::from_secs(5);
pub(super) const TIMEOUT: Duration = Duration::from_secs(200);
/// How long the children serve on in a stop, for the policies that have a delay.
pub(super) const DELAY: Duration = Duration::from_millis(700);
pub(super) const MOMENT: Duration = Duration::from_millis(1);

/// A policy with a large budget and no recovery interval.
///
/// Its durations and their sums all differ, so that a test cannot mistake one for another.
pub(super) fn policy(slots: usize) -> Policy {
    Policy {
        slots: NonZeroUsize::new(slots).expect("a fleet has slots"),
        recover_threshold: 100,
        recover_window: Window::Forever,
        recover_interval: Duration::ZERO,
        healthy_after: HEALTHY,
        ready_timeout: READY,
        drain_delay: Duration::ZERO,
        shutdown_grace_period: GRACE,
        exit_timeout: EXIT,
        kill_timeout: PATIENCE,
        rollout: RolloutPolicy {
            parallel: Parallel::Slots(NonZeroUsize::MIN),
            soak: SOAK,
            canary: CANARY,
            timeout: TIMEOUT,
        },
        standbys: 0,
        standby_pause: Duration::ZERO,
        ring_width: 0,
        backoff: Backoff::default(),
        jitter_seed: 1,
    }
}

pub(super) struct Stage {
    pub(super) supervisor: Supervisor,
    pub(super) now: Instant,
    /// How many programs were opened after that of the master.
    pub(super) programs: usize,
}

impl Stage {
    pub(super) fn new(policy: Policy) -> Self {
        let now = Instant::now();
        let supervisor = Supervisor::new(policy, now);
        let programs = 0;
        Self {
            supervisor,
            now,
            programs,
        }
    }

    /// All first children are started and the master is ready; no child is ready.
    pub(super) fn running(policy: Policy) -> Self {
        let mut stage = Self::new(policy);
        stage.settle(Readiness::Notified);
        stage
    }

    /// All first children are healthy.
    pub(super) fn serving(policy: Policy) -> Self {
        let mut stage = Self::running(policy);
        for child in stage.supervisor.children() {
            stage.tell(Event::Ready { child });
        }
        stage
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.supervisor.handle(event, self.now);
    }

    pub(super) fn stop(&mut self, urgency: StopMode) {
        self.tell(Event::StopRequested { urgency });
    }

    pub(super) fn exit(&mut self, child: ChildId) {
        self.tell(Event::Exited { child });
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Asks until there is no action, and answers none.
    pub(super) fn ask(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.supervisor.next_action(self.now) {
            actions.push(action);
        }
        assert_rested(&self.supervisor, self.now);
        actions
    }

    /// Asks until there is no action. Every start and the announcement succeed.
    pub(super) fn settle(&mut self, readiness: Readiness) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.supervisor.next_action(self.now) {
            actions.push(action);
            match action {
                Action::Start { child, .. } => self.tell(Event::Started { child, readiness }),
                Action::AnnounceMasterReady => self.tell(Event::MasterReady),
                Action::OpenProgram => {
                    self.programs += 1;
                    let program = ProgramId(self.programs);
                    self.tell(Event::ProgramOpened { program });
                }
                Action::ReportHealthy { .. }
                | Action::Terminate { .. }
                | Action::Kill { .. }
                | Action::GiveUp { .. }
                | Action::ReportRunning { .. }
                | Action::Serve { .. }
                | Action::Promote { .. }
                | Action::Adopt { .. }
                | Action::Release { .. }
                | Action::ReportReplaced { .. }
                | Action::ReportVerdict(_)
                | Action::CloseListeners => {}
            }
        }
        assert_rested(&self.supervisor, self.now);
        actions
    }

    /// A rollout that was requested replaces the child of the next slot. Returns its successor.
    pub(super) fn roll_out_slot(&mut self) -> ChildId {
        if self.supervisor.rollouts().current.is_none() {
            self.tell(Event::RolloutRequested);
        }
        self.settle(Readiness::Notified);
        let (child, ..) = self.supervisor.fleet().successors()[0];
        self.tell(Event::Ready { child });
        assert_eq!(self.ask(), [Action::Serve { child }]);
        let wait = self
            .supervisor
            .fleet()
            .child(child)
            .and_then(|child| child.location.deadline());
        let wait = wait.expect("it soaks") - self.now;
        self.pass(wait);
        // Only the replacement: the next successor is not started yet.
        let action = self.supervisor.next_action(self.now);
        assert!(
            matches!(action, Some(Action::ReportReplaced { child: c, .. }) if c == child),
            "{action:?}"
        );
        child
    }

    /// The child in slot 0.
    pub(super) fn child(&self) -> ChildId {
        let child = self.supervisor.child_in(SlotId(0));
        child.expect("a child fills slot 0")
    }

    /// The time until the supervisor must be asked again.
    pub(super) fn rest(&self) -> Option<Duration> {
        let deadline = self.supervisor.deadline()?;
        Some(deadline - self.now)
    }
}

/// Checks what must hold whenever the supervisor has no action.
pub(super) fn assert_rested(supervisor: &Supervisor, now: Instant) {
    let [scan, index] = supervisor.fleet().scan_and_index();
    assert_eq!(scan, index, "the index differs from the full scan");
    if let Some(deadline) = supervisor.deadline() {
        assert!(
            deadline > now,
            "no action, but a deadline in the past: the caller would spin"
        );
    }
}
