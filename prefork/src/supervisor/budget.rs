//! The recovery budget: how many unexpected exits are allowed in which time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

#[cfg(test)]
use super::NormalForm;

/// How long an exit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// Until it is this old.
    Sliding(Duration),
    /// Until the master ends.
    Forever,
}

/// Counts unexpected exits.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    threshold: u32,
    exits: CountedExits,
    /// Whether a child was ever healthy. Until then every exit counts, whatever its age: otherwise
    /// a program that never works would be restarted forever if each attempt takes long enough.
    forgets: bool,
}

/// The data that is needed to count the exits.
#[derive(Clone, Debug)]
enum CountedExits {
    Recent {
        window: Duration,
        times: VecDeque<Instant>,
    },
    All(u64),
}

/// Whether an exit is within the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BudgetResult {
    /// The child is replaced.
    Allowed,
    /// This was exit number `threshold` + 1 within the window. `exits` is the number of exits that
    /// count.
    Exceeded { exits: u64 },
}

impl Budget {
    pub(super) fn new(threshold: u32, window: Window) -> Self {
        let exits = match window {
            Window::Sliding(window) => CountedExits::Recent {
                window,
                times: VecDeque::new(),
            },
            Window::Forever => CountedExits::All(0),
        };
        Self {
            threshold,
            exits,
            forgets: false,
        }
    }

    /// Records that a child was healthy.
    ///
    /// From now on, exits older than the window do not count.
    pub(super) fn begin_to_forget(&mut self) {
        self.forgets = true;
    }

    /// Whether a child was ever healthy.
    pub(super) fn forgets(&self) -> bool {
        self.forgets
    }

    /// Counts an unexpected exit. The supervisor calls it when the replacement is due.
    pub(super) fn record_exit(&mut self, now: Instant) -> BudgetResult {
        let exits = self.exits.add(now, self.forgets);
        if exits > u64::from(self.threshold) {
            BudgetResult::Exceeded { exits }
        } else {
            BudgetResult::Allowed
        }
    }

    /// How many exits count.
    #[cfg(test)]
    pub(super) fn spent(&self) -> u64 {
        match &self.exits {
            CountedExits::Recent { times, .. } => times.len() as u64,
            CountedExits::All(count) => *count,
        }
    }

    #[cfg(test)]
    pub(super) fn write_normal(&self, form: &mut NormalForm) {
        let Self {
            // It does not change.
            threshold: _,
            exits,
            forgets,
        } = self;
        form.flag(*forgets);
        match exits {
            CountedExits::Recent { window, times } => {
                // An exit that was forgotten is counted no more. Until then each counts.
                let counts = |at: &&Instant| !forgets || **at + *window > form.now();
                let times: Vec<_> = times.iter().filter(counts).collect();
                form.number(times.len() as u64);
                for at in times {
                    form.time(*at + *window);
                }
            }
            CountedExits::All(count) => form.number(*count),
        }
    }
}

impl CountedExits {
    /// Adds an exit and returns how many exits count now.
    ///
    /// `forgets`: exits that are as old as the window do not count. At most `threshold` + 1 are
    /// stored, because the supervisor stops then.
    fn add(&mut self, now: Instant, forgets: bool) -> u64 {
        match self {
            Self::Recent { window, times } => {
                let is_old = |at: &Instant| now.saturating_duration_since(*at) >= *window;
                while forgets && times.front().is_some_and(is_old) {
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
