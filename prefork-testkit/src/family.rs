//! All processes that come from one start of a server, however they are related by now: an orphan
//! of a killed master has another parent, but still the environment that it was started with.

use std::collections::BTreeSet;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::eventually::within;
use crate::process::{Identity, all, inner_pid, send, variable};

/// The variable that marks them.
pub(crate) const MARK: &str = "TESTKIT_OF_PREFORK";

/// How long processes that were killed may take to go; the kernel needs milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The processes of one start.
#[derive(Debug)]
pub(crate) struct Family {
    mark: String,
    /// A process that ends loses its environment first and its descriptors later: who was a member
    /// once stays one until it has really ended.
    known: Mutex<BTreeSet<Identity>>,
}

impl Family {
    /// One that nobody belongs to yet.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            mark: format!("{}.{number}", process::id()),
            known: Mutex::default(),
        }
    }

    /// What [`MARK`] is to be set to.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn members(&self) -> Vec<i32> {
        let is_marked = |pid: &i32| variable(*pid, MARK).as_deref() == Some(&self.mark);
        let marked = all().into_iter().filter(is_marked);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(marked.filter_map(Identity::of));
        known.retain(Identity::is_running);
        known.iter().map(|member| member.pid).collect()
    }

    /// The member that calls itself by this number.
    pub(crate) fn find(&self, inner: i32) -> Option<i32> {
        let is_it = |pid: &i32| inner_pid(*pid) == Some(inner);
        self.members().into_iter().find(is_it)
    }

    /// Kills every member until none is left; whether that was achieved.
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
