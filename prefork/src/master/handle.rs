//! A master that runs on a thread of this process, as its owner holds it.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use super::commands::{Command, Commander};
use crate::error::Error;
use crate::supervisor::Urgency;

/// A running master, made by [`Prefork::start`](crate::Prefork::start).
///
/// Every signal that a master understands is a call here. Dropping the handle stops the master at
/// once and waits until its children are gone.
#[derive(Debug)]
pub struct Handle {
    pub(super) commander: Commander,
    pub(super) addrs: Vec<(String, SocketAddr)>,
    pub(super) thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Handle {
    /// The name and the address of each listener, with the real port where 0 was asked for.
    pub fn addrs(&self) -> &[(String, SocketAddr)] {
        &self.addrs
    }

    /// Stops gracefully, like SIGTERM: workers finish what they have within the
    /// `shutdown_grace_period`. A repeat changes nothing.
    pub fn stop(&self) {
        self.commander.send(Command::Stop(Urgency::Graceful));
    }

    /// Stops at once, like a second SIGINT: workers are killed.
    pub fn stop_now(&self) {
        self.commander.send(Command::Stop(Urgency::Immediate));
    }

    /// Waits until the master has ended and says how.
    ///
    /// # Errors
    /// Whatever ended it other than a requested stop.
    ///
    /// # Panics
    /// If the master's thread panicked, with that panic.
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
            // How it ended is of no interest to somebody who did not wait.
            let _ = thread.join();
        }
    }
}
