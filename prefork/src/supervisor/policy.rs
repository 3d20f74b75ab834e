//! The numbers that the rules need. Knows no option, no default and no text: whoever makes one has validated it.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::{Backoff, Window};

/// What the supervisor is told once, at its birth.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// How many children serve. Never zero: a program without children has no supervisor.
    pub(crate) slots: NonZeroUsize,
    /// How many unexpected exits are recovered within `recover_window`; the next one ends the master. 0: the first one
    /// does.
    pub(crate) recover_threshold: u32,
    /// How long an exit is remembered, once a child was healthy; until then none is forgotten.
    pub(crate) recover_window: Window,
    /// What every recovery waits, on top of the back-off. 0: nothing.
    pub(crate) recover_interval: Duration,
    /// How long a child must have lived to be well when its readiness cannot be seen.
    pub(crate) healthy_after: Duration,
    /// How long a child that can say ready may stay silent, counted from its start.
    pub(crate) ready_timeout: Duration,
    /// How long children that were asked to go may take. 0: they are killed at once, unasked.
    pub(crate) shutdown_grace_period: Duration,
    /// How long a process may take to exit after its `main` has ended before its slot goes on without it.
    pub(crate) exit_patience: Duration,
    /// How long the kernel may take to end a killed child before it is given up.
    pub(crate) kill_patience: Duration,
    /// What a slot waits whose children die before they are well.
    pub(crate) backoff: Backoff,
    /// Where the jitter of the back-off begins; the same seed gives the same delays.
    pub(crate) jitter_seed: u64,
}

impl Policy {
    /// The usual `kill_patience`. A killed process ends when its memory was given back, which takes 0.15 s for each
    /// gigabyte (measured); what is still there after this long hangs in the kernel, and no wait helps.
    pub(crate) const KILL_PATIENCE: Duration = Duration::from_secs(15);

    /// The usual `exit_patience`. A process whose `main` has returned exits within some milliseconds; a wait that is
    /// this short is not noticed by clients, and spares a second line in the log about almost every exit.
    pub(crate) const EXIT_PATIENCE: Duration = Duration::from_millis(100);
}

/// `now + duration`, where a duration that no clock can hold means 'in some decades'.
pub(super) fn after(now: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(30 * 365 * 24);
    now.checked_add(duration).unwrap_or_else(|| now + FAR)
}
