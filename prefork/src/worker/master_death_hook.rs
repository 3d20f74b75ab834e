//! Runs the hook `on_master_death` in a worker.
//!
//! The hook has its own thread, because it may take long and the monitor thread has deadlines. The
//! worker waits for the hook before it exits.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::hook::{OnceHook, catch};

/// The state of the hook.
#[derive(Debug, Default)]
pub(super) struct MasterDeathHook {
    state: Mutex<HookState>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum HookState {
    /// The hook has not started, or there is none.
    #[default]
    Idle,
    Running,
    Done,
}

impl MasterDeathHook {
    /// Starts the hook on its own thread.
    ///
    /// `log_error` gets an error of the hook or of the start of its thread. `on_done` is called
    /// after the hook has returned.
    pub(super) fn run(
        self: &Arc<Self>,
        hook: OnceHook,
        log_error: impl Fn(&str) + Clone + Send + 'static,
        on_done: impl FnOnce() + Send + 'static,
    ) {
        self.set(HookState::Running);
        let this = Arc::clone(self);
        let log_hook_error = log_error.clone();
        let run_hook = move || {
            if let Err(error) = catch(hook) {
                log_hook_error(&format!("hook on_master_death failed: {error}"));
            }
            this.set(HookState::Done);
            on_done();
        };
        let builder = thread::Builder::new().name("prefork-hook".to_owned());
        if let Err(error) = builder.spawn(run_hook) {
            log_error(&format!(
                "cannot start the thread for hook on_master_death: {error}"
            ));
            self.set(HookState::Done);
        }
    }

    pub(super) fn is_running(&self) -> bool {
        *self.state() == HookState::Running
    }

    /// Waits until a running hook has returned, at most until the deadline.
    pub(super) fn wait(&self, deadline: Option<Instant>) {
        let mut state = self.state();
        while *state == HookState::Running {
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

    fn set(&self, state: HookState) {
        *self.state() = state;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, HookState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
