//! The handle of a master that runs on a thread of this process.

use std::thread::JoinHandle;

use super::commands::{Command, CommandSender};
use super::reload::Reload;
use crate::error::Error;
use crate::listen::ListenerInfo;
use crate::supervisor::StopMode;

/// A running master, returned by [`Prefork::start`](crate::Prefork::start).
///
/// With `PREFORK_EXPLAIN`, there is no master, and the list of listeners is empty.
///
/// `reload` has the effect of SIGHUP, `stop` that of SIGTERM, and `stop_now` that of a second
/// SIGINT. Dropping the handle has the effect of `stop_now`, and waits until the workers have
/// exited.
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
    /// Workers serve on for `drain_delay`, and then finish their requests within
    /// `shutdown_grace_period`. Further calls have no effect.
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

    /// Requests a rollout, like SIGHUP: replaces every worker by one of the program that the path
    /// of this program names now.
    ///
    /// The master opens the path by which this process was started. It starts a successor for each
    /// worker: the first one alone, and then at most `rollout_parallel` at a time. A successor that
    /// is ready serves beside the worker for `rollout_soak` (the first one for `rollout_canary`),
    /// and then the worker drains. If a successor fails, the rollout is refused, and the workers of
    /// the previous program serve.
    ///
    /// A rollout that is requested during another one begins after it. If a third one is requested
    /// before that, the verdict of the waiting request is `Superseded`. If there is no master
    /// (`PREFORK_EXPLAIN`), or if it stops or has ended, the verdict is `Stopped`.
    ///
    /// # Process
    /// In the process of the master, on any thread. It does not block. The rollout takes place even
    /// if the result is dropped.
    ///
    /// # Examples
    /// ```no_run
    /// use prefork::RolloutVerdict;
    ///
    /// let handle = prefork::Prefork::new().workers(4).start()?;
    /// match handle.reload().wait() {
    ///     RolloutVerdict::Refused(refusal) => eprintln!("stage {}: {refusal:?}", refusal.stage()),
    ///     verdict => println!("{verdict}"),
    /// }
    /// handle.stop();
    /// handle.wait()?;
    /// # Ok::<(), prefork::Error>(())
    /// ```
    pub fn reload(&self) -> Reload {
        let (reply, reload) = Reload::new();
        // Without a master the reply is dropped, which answers it.
        if let Some(commands) = &self.commands {
            commands.send(Command::Reload(reply));
        }
        reload
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
