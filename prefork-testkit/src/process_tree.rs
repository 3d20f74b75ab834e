//! All processes that descend from one start of a server.
//!
//! They are found by a variable in their environment, not by their parents: an orphan of a killed
//! master has another parent and the same environment.

use std::collections::BTreeSet;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::eventually::within;
use crate::procfs::{ProcessIdentity, all, inner_pid, send, variable};
use crate::signal::Signal;

/// The variable that marks the processes.
pub(crate) const MARK: &str = "TESTKIT_OF_PREFORK";

/// How long killed processes may take to exit. The kernel needs milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The processes of one start.
#[derive(Debug)]
pub(crate) struct ProcessTree {
    mark: String,
    /// The processes that were found so far and have not exited.
    ///
    /// An exiting process loses its environment first and closes its descriptors later. So a known
    /// process is kept until it has exited.
    known: Mutex<BTreeSet<ProcessIdentity>>,
}

impl ProcessTree {
    /// Creates a set without processes, with a new mark.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            mark: format!("{}.{number}", process::id()),
            known: Mutex::default(),
        }
    }

    /// Returns the value of [`MARK`] for these processes.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// Returns the ids of all processes that have not exited.
    pub(crate) fn members(&self) -> Vec<i32> {
        let is_marked = |pid: &i32| variable(*pid, MARK).as_deref() == Some(&self.mark);
        let marked = all().into_iter().filter(is_marked);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(marked.filter_map(ProcessIdentity::of));
        known.retain(ProcessIdentity::is_running);
        known.iter().map(|member| member.pid).collect()
    }

    /// Returns the process whose id in its own PID namespace is this one.
    pub(crate) fn find(&self, inner: i32) -> Option<i32> {
        let has_pid = |pid: &i32| inner_pid(*pid) == Some(inner);
        self.members().into_iter().find(has_pid)
    }

    /// Kills all processes and waits until they have exited.
    ///
    /// Returns false if one has not.
    pub(crate) fn end(&self) -> bool {
        let is_empty = || {
            let members = self.members();
            for &pid in &members {
                send(pid, Signal::SIGKILL);
            }
            members.is_empty().then_some(())
        };
        within(PATIENCE, is_empty).is_some()
    }
}
