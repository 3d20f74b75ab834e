//! The numbers that the rules need.
//!
//! The policy knows no option, no default and no text. The caller has validated the values.

use std::num::NonZeroUsize;
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
    pub(crate) recover_interval: Duration,
    /// If the readiness of a child cannot be observed: how long it must live to be healthy.
    pub(crate) healthy_after: Duration,
    /// If a child can report readiness: how long it may take, from its start.
    pub(crate) ready_timeout: Duration,
    /// How long a child may take to exit after the request to stop. 0: it is killed at once,
    /// without a request.
    pub(crate) shutdown_grace_period: Duration,
    /// How long a process may fill its slot after its `main` has ended.
    pub(crate) exit_timeout: Duration,
    /// How long a killed child may take to exit. After that the supervisor no longer waits for it.
    pub(crate) kill_timeout: Duration,
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
}

/// Returns `now + duration`, or a time in some decades if no clock can hold that.
pub(super) fn after(now: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(30 * 365 * 24);
    now.checked_add(duration).unwrap_or_else(|| now + FAR)
}
