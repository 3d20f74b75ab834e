//! The recovery budget: how many unexpected exits are recovered, and for how long each is remembered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long an exit is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// Forgotten once it is this old, so that healthy uptime forgives.
    Sliding(Duration),
    /// Never forgotten.
    Forever,
}

/// Counts exits.
#[derive(Debug)]
pub(super) struct Budget {
    threshold: u32,
    exits: Exits,
    /// A child was healthy. Until then no exit is forgotten: a program that never works would otherwise be restarted
    /// for ever, as long as each attempt takes its time.
    forgets: bool,
}

/// What of the exits must be kept to count them.
#[derive(Debug)]
enum Exits {
    Recent {
        window: Duration,
        times: VecDeque<Instant>,
    },
    All(u64),
}

/// What one more exit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The slot recovers.
    Forgiven,
    /// This was exit number `threshold` + 1 within the window; `exits` of them are remembered.
    Over { exits: u64 },
}

impl Budget {
    pub(super) fn new(threshold: u32, window: Window) -> Self {
        let exits = match window {
            Window::Sliding(window) => Exits::Recent {
                window,
                times: VecDeque::new(),
            },
            Window::Forever => Exits::All(0),
        };
        Self {
            threshold,
            exits,
            forgets: false,
        }
    }

    /// A child is healthy: from now on the window forgets.
    pub(super) fn begin_to_forget(&mut self) {
        self.forgets = true;
    }

    /// Whether a child was ever healthy.
    pub(super) fn forgets(&self) -> bool {
        self.forgets
    }

    /// Counts one unexpected exit whose replacement is due.
    pub(super) fn spend(&mut self, now: Instant) -> Verdict {
        if self.forgets {
            self.exits.forget(now);
        }
        let exits = self.exits.add(now);
        if exits > u64::from(self.threshold) {
            Verdict::Over { exits }
        } else {
            Verdict::Forgiven
        }
    }

    /// How many exits are remembered.
    #[cfg(test)]
    pub(super) fn spent(&self) -> u64 {
        match &self.exits {
            Exits::Recent { times, .. } => times.len() as u64,
            Exits::All(count) => *count,
        }
    }
}

impl Exits {
    /// Forgets those that are as old as the window.
    fn forget(&mut self, now: Instant) {
        match self {
            Self::Recent { window, times } => {
                while let Some(&oldest) = times.front()
                    && now.saturating_duration_since(oldest) >= *window
                {
                    times.pop_front();
                }
            }
            Self::All(_) => {}
        }
    }

    /// Remembers one more and returns how many are remembered now. At most `threshold` + 1 are kept, since the
    /// supervisor stops counting there.
    fn add(&mut self, now: Instant) -> u64 {
        match self {
            Self::Recent { times, .. } => {
                times.push_back(now);
                times.len() as u64
            }
            Self::All(count) => {
                *count += 1;
                *count
            }
        }
    }
}
