//! The policy without a master: the children of a fleet exit one after the other and are replaced,
//! in virtual time.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crate::supervisor::{
    Action, Backoff, ChildId, Event, Parallel, Policy, Readiness, RolloutPolicy, SlotId,
    Supervisor, Window,
};

/// A serving fleet.
pub struct Fleet {
    supervisor: Supervisor,
    children: Vec<ChildId>,
    now: Instant,
    random: u64,
}

impl Fleet {
    /// Events for each exit: the child exited, its replacement started, the replacement is ready.
    pub const EVENTS_PER_EXIT: u32 = 3;

    /// Starts the children of all slots.
    ///
    /// # Panics
    /// If `slots` is 0.
    pub fn new(slots: usize) -> Self {
        let now = Instant::now();
        let policy = Policy {
            slots: NonZeroUsize::new(slots).expect("a fleet has at least one slot"),
            recover_threshold: u32::MAX,
            recover_window: Window::Sliding(Duration::from_millis(10)),
            recover_interval: Duration::ZERO,
            healthy_after: Duration::from_secs(1),
            ready_timeout: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            shutdown_grace_period: Duration::from_secs(5),
            exit_timeout: Policy::EXIT_TIMEOUT,
            kill_timeout: Policy::KILL_TIMEOUT,
            rollout: RolloutPolicy {
                parallel: Parallel::Slots(NonZeroUsize::MIN),
                soak: Duration::ZERO,
                canary: Duration::ZERO,
                timeout: Duration::from_secs(90),
            },
            standbys: 0,
            standby_pause: Duration::ZERO,
            ring_width: 0,
            backoff: Backoff::default(),
            jitter_seed: 1,
        };
        let mut fleet = Self {
            supervisor: Supervisor::new(policy, now),
            children: vec![ChildId(0); slots],
            now,
            random: 0x9E37_79B9_7F4A_7C15,
        };
        fleet.perform();
        fleet
    }

    /// Lets `exits` children exit, each in a random slot.
    pub fn exit_children(&mut self, exits: u32) {
        for _ in 0..exits {
            self.now += Duration::from_micros(10);
            let slot = self.random_slot();
            let child = self.children[slot];
            self.handle_event(Event::Exited { child });
        }
    }

    /// Handles an event as the master does: the event, the resulting actions, the next deadline.
    fn handle_event(&mut self, event: Event) {
        self.supervisor.handle(event, self.now);
        self.perform();
        std::hint::black_box(self.supervisor.deadline());
    }

    fn perform(&mut self) {
        while let Some(action) = self.supervisor.next_action(self.now) {
            match action {
                Action::Start { slot, child, .. } => self.start(slot, child),
                Action::AnnounceMasterReady => {
                    self.supervisor.handle(Event::MasterReady, self.now);
                }
                other => unreachable!("unexpected action {other:?}"),
            }
        }
    }

    fn start(&mut self, slot: SlotId, child: ChildId) {
        self.children[slot.0] = child;
        let readiness = Readiness::Notified;
        let started = Event::Started { child, readiness };
        self.supervisor.handle(started, self.now);
        self.supervisor.handle(Event::Ready { child }, self.now);
    }

    /// Returns a random slot (splitmix64). The slots are the same in every run.
    fn random_slot(&mut self) -> usize {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let count = self.children.len() as u64;
        usize::try_from((mixed ^ (mixed >> 31)) % count).unwrap_or(0)
    }
}
