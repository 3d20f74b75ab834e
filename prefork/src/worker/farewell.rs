//! The hook that a worker runs when its master died: on a thread of its own, since it may take its
//! time and the watch has a deadline to keep; and waited for, since the worker may be about to end.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::hook::{LastHook, contain};

/// Whether the hook is running.
#[derive(Debug, Default)]
pub(super) struct Farewell {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its time has not come, or there is no hook.
    #[default]
    Quiet,
    Running,
    Done,
}

impl Farewell {
    /// Starts the hook; its failure goes to `complain`, and `on_done` is called when it has
    /// returned.
    pub(super) fn say(
        self: &Arc<Self>,
        hook: LastHook,
        complain: fn(&str),
        on_done: impl FnOnce() + Send + 'static,
    ) {
        self.set(State::Running);
        let farewell = Arc::clone(self);
        let run = move || {
            if let Err(error) = contain(hook) {
                complain(&format!("the hook on_master_death failed: {error}"));
            }
            farewell.set(State::Done);
            on_done();
        };
        let builder = thread::Builder::new().name("prefork-hook".to_owned());
        if let Err(error) = builder.spawn(run) {
            complain(&format!(
                "cannot start a thread for on_master_death: {error}"
            ));
            self.set(State::Done);
        }
    }

    pub(super) fn is_running(&self) -> bool {
        *self.state() == State::Running
    }

    /// Waits until the hook has returned, if it runs; no longer than until the deadline.
    pub(super) fn wait(&self, deadline: Option<Instant>) {
        let mut state = self.state();
        while *state == State::Running {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            state = match left {
                Some(left) if left.is_zero() => return,
                Some(left) => match self.changed.wait_timeout(state, left) {
                    Ok((state, _)) => state,
                    Err(poisoned) => poisoned.into_inner().0,
                },
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn set(&self, state: State) {
        *self.state() = state;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
