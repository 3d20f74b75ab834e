//! The numbers that the rules need.
//!
//! The policy knows no option, no default and no text. The caller has validated the values.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::{Duration, Instant};

use super::{Backoff, Window};

/// The limits and delays of a supervisor. They do not change during its life.
///
/// `Event::Resize` changes the number of slots of the fleet, not `slots`.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// The first number of slots. Never zero: a program without children has no supervisor.
    pub(crate) slots: NonZeroUsize,
    /// How many unexpected exits within `recover_window` are allowed. The next one ends the master.
    /// 0: the first one ends it.
    pub(crate) recover_threshold: u32,
    /// How long an exit counts once a child was healthy. Until then every exit counts.
    pub(crate) recover_window: Window,
    /// The delay before every replacement, in addition to the back-off. 0: no delay.
    ///
    /// A standby replaces a child without a delay. The next standby is not started before this time.
    pub(crate) recover_interval: Duration,
    /// If the readiness of a child cannot be observed: how long it must live to be healthy.
    pub(crate) healthy_after: Duration,
    /// If a child can report readiness: how long it may take, from its start.
    pub(crate) ready_timeout: Duration,
    /// How long the children serve on after a stop was requested, before they are asked to stop. 0:
    /// they are asked at once.
    pub(crate) drain_delay: Duration,
    /// How long a child may take to exit after the request to stop. 0: it is killed at once,
    /// without a request.
    pub(crate) shutdown_grace_period: Duration,
    /// How long a process may fill its slot after its `main` has ended.
    pub(crate) exit_timeout: Duration,
    /// How long a killed child may take to exit. After that the supervisor no longer waits for it.
    pub(crate) kill_timeout: Duration,
    /// How a rollout replaces the children.
    pub(crate) rollout: RolloutPolicy,
    /// How many standbys wait for an unexpected exit.
    pub(crate) standbys: usize,
    /// How long the start of the next standby waits after a promotion, or `recover_interval` if that
    /// is longer.
    pub(crate) standby_pause: Duration,
    /// How many children accept from the sockets of each slot: its own, and those of the next slots.
    /// 0: all slots share one socket.
    pub(crate) ring_width: usize,
    /// The delay after children that exited before they were healthy.
    pub(crate) backoff: Backoff,
    /// The seed of the jitter of the back-off. The same seed gives the same delays.
    pub(crate) jitter_seed: u64,
}

impl Policy {
    /// The usual `kill_timeout`.
    ///
    /// A killed process exits when the kernel has freed its memory, which takes 0.15 s per gigabyte
    /// (measured). A process that exists after this time is stuck in the kernel, and waiting longer
    /// does not help.
    pub(crate) const KILL_TIMEOUT: Duration = Duration::from_secs(15);

    /// The usual `exit_timeout`.
    ///
    /// A process exits within some milliseconds after `main` returned. Clients do not notice a wait
    /// of this length, and it avoids a second log line about almost every exit.
    pub(crate) const EXIT_TIMEOUT: Duration = Duration::from_millis(100);

    /// The usual `standby_pause`.
    ///
    /// A start takes processor time, which the child that was promoted needs for the clients that
    /// wait. Without a pause, their answers take half a millisecond longer (measured).
    pub(crate) const STANDBY_PAUSE: Duration = Duration::from_millis(20);
}

/// How a rollout replaces the children.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RolloutPolicy {
    /// How many successors exist at the same time. The first one is always alone.
    pub(crate) parallel: Parallel,
    /// How long a successor must serve beside the child that it replaces. 0: it replaces it at once.
    pub(crate) soak: Duration,
    /// As `soak`, for the first successor of a rollout.
    pub(crate) canary: Duration,
    /// How long a rollout may take, and after a refusal its roll-back.
    pub(crate) timeout: Duration,
}

/// A number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parallel {
    /// This many.
    Slots(NonZeroUsize),
    /// This percentage of all slots, rounded up: at least one.
    Percent(NonZeroU8),
}

impl Parallel {
    /// Returns the number for a fleet of this many slots.
    pub(super) fn of(self, slots: usize) -> usize {
        match self {
            Self::Slots(number) => number.get(),
            Self::Percent(share) => slots.saturating_mul(share.get().into()).div_ceil(100),
        }
    }
}

/// Returns `now + duration`, or a time in some decades if no clock can hold that.
pub(super) fn after(now: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(30 * 365 * 24);
    now.checked_add(duration).unwrap_or_else(|| now + FAR)
}
