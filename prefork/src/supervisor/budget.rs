//! The recovery budget: how many exits that nobody asked for are forgiven, and for how long they are remembered.

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
        Self { threshold, exits }
    }

    /// Counts one exit that nobody asked for.
    pub(super) fn spend(&mut self, now: Instant) -> Verdict {
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
    /// Remembers one more and says how many are remembered now. At most `threshold` + 1 are kept, since the
    /// supervisor stops counting there.
    fn add(&mut self, now: Instant) -> u64 {
        match self {
            Self::Recent { window, times } => {
                while let Some(&oldest) = times.front()
                    && now.saturating_duration_since(oldest) >= *window
                {
                    times.pop_front();
                }
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
