//! Shortages and failures that the accept loops of one process report.
//!
//! Knows since when a listener cannot accept, and which error is permanent. Does not know what is
//! logged and when: the monitor decides that.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The shortages and the failure of all listeners of a process.
pub(crate) struct AcceptHealth {
    state: Mutex<HealthState>,
    /// Called when accepting fails or works again.
    on_change: Arc<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Default)]
struct HealthState {
    /// By the index of the listener.
    shortages: BTreeMap<usize, ListenerShortage>,
    failure: Option<AcceptFailure>,
}

/// The latest shortage of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenerShortage {
    /// The index of the listener in its process.
    pub(crate) listener: usize,
    /// The error of accept.
    pub(crate) errno: i32,
    /// When accept failed for the first time.
    pub(crate) since: Instant,
    /// When accept failed for the last time.
    pub(crate) last: Instant,
    /// When accept worked again; `None` during the shortage.
    pub(crate) over: Option<Instant>,
}

/// Why a listener can no longer accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AcceptFailure {
    /// The index of the listener in its process.
    pub(crate) listener: usize,
    /// The errno, if the error comes from a system call.
    pub(crate) errno: Option<i32>,
    /// The error's text.
    pub(crate) text: String,
}

impl AcceptFailure {
    /// The error that accept returned.
    pub(crate) fn into_error(self) -> io::Error {
        match self.errno {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::other(self.text),
        }
    }
}

impl AcceptHealth {
    pub(super) fn new(on_change: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            state: Mutex::default(),
            on_change,
        }
    }

    /// Notes that accept failed because no descriptors or no memory are left.
    pub(super) fn note_shortage(&self, listener: usize, error: &io::Error) {
        let Some(errno) = error.raw_os_error() else {
            return;
        };
        let now = Instant::now();
        let mut state = self.state();
        if let Some(known) = state.shortages.get_mut(&listener)
            && known.over.is_none()
        {
            (known.errno, known.last) = (errno, now);
            return;
        }
        let shortage = ListenerShortage {
            listener,
            errno,
            since: now,
            last: now,
            over: None,
        };
        state.shortages.insert(listener, shortage);
        drop(state);
        (self.on_change)();
    }

    /// Whether the last failure of accept is at least 1 s old.
    ///
    /// For listeners whose queue is never empty: a single success only means that one descriptor
    /// was free.
    pub(super) fn is_shortage_old(&self, listener: usize) -> bool {
        const MIN_AGE: Duration = Duration::from_secs(1);
        let state = self.state();
        let known = state.shortages.get(&listener);
        known.is_some_and(|fact| fact.last.elapsed() >= MIN_AGE)
    }

    /// Notes that accept works again.
    pub(super) fn note_accept_works(&self, listener: usize) {
        let mut state = self.state();
        let known = state.shortages.get_mut(&listener);
        let Some(fact) = known.filter(|fact| fact.over.is_none()) else {
            return;
        };
        fact.over = Some(Instant::now());
        drop(state);
        (self.on_change)();
    }

    /// Notes that a listener can no longer accept, so that the worker drains. The first failure
    /// counts.
    pub(super) fn fail(&self, listener: usize, error: &io::Error) {
        let failure = AcceptFailure {
            listener,
            errno: error.raw_os_error(),
            text: error.to_string(),
        };
        self.state().failure.get_or_insert(failure);
        (self.on_change)();
    }

    /// The latest shortage of each listener that had one.
    pub(crate) fn shortages(&self) -> Vec<ListenerShortage> {
        self.state().shortages.values().copied().collect()
    }

    /// The first failure of a listener.
    pub(crate) fn accept_failure(&self) -> Option<AcceptFailure> {
        self.state().failure.clone()
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
