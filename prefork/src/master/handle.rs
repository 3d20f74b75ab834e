//! The handle of a master that runs on a thread of this process.

use std::thread::JoinHandle;

use super::commands::{Command, CommandSender};
use crate::error::Error;
use crate::listen::ListenerInfo;
use crate::supervisor::StopMode;

/// A running master, returned by [`Prefork::start`](crate::Prefork::start).
///
/// With `PREFORK_EXPLAIN`, there is no master, and the list of listeners is empty.
///
/// `stop` has the effect of SIGTERM, and `stop_now` has the effect of a second SIGINT. Dropping the
/// handle has the effect of `stop_now`, and waits until the workers have exited.
#[derive(Debug)]
#[must_use = "dropping it kills the workers"]
pub struct Handle {
    /// `None` if there is no master.
    commands: Option<CommandSender>,
    listeners: Vec<ListenerInfo>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Handle {
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(super) fn new(
        commands: CommandSender,
        listeners: Vec<ListenerInfo>,
        thread: JoinHandle<Result<(), Error>>,
    ) -> Self {
        Self {
            commands: Some(commands),
            listeners,
            thread: Some(thread),
        }
    }

    /// The handle of a start that only printed an explanation.
    pub(crate) fn without_master() -> Self {
        Self {
            commands: None,
            listeners: Vec::new(),
            thread: None,
        }
    }

    /// Returns the listeners.
    pub fn listeners(&self) -> &[ListenerInfo] {
        &self.listeners
    }

    /// Requests a graceful stop, like SIGTERM.
    ///
    /// Workers finish their requests within `shutdown_grace_period`. Further calls have no effect.
    pub fn stop(&self) {
        self.request_stop(StopMode::Graceful);
    }

    /// Requests an immediate stop, like a second SIGINT: kills the workers.
    pub fn stop_now(&self) {
        self.request_stop(StopMode::Immediate);
    }

    fn request_stop(&self, mode: StopMode) {
        if let Some(commands) = &self.commands {
            commands.send(Command::Stop(mode));
        }
    }

    /// Waits until the master has ended, and returns its result.
    ///
    /// # Errors
    /// The reason why the master ended without a request to stop.
    ///
    /// # Panics
    /// If the thread of the master panicked, with the same panic.
    pub fn wait(mut self) -> Result<(), Error> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop_now();
            // The result is for a caller of `wait`.
            let _ = thread.join();
        }
    }
}
