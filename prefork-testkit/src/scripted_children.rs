//! Scripted children: workers with a behavior that the test sets.
//!
//! Their master is real and runs in the test's process. The test needs no program for the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prefork::ChildCommand;

use crate::TIMEOUT;
use crate::behavior::Behavior;
use crate::eventually::within;
use crate::process_tree::{MARK, PATIENCE, ProcessTree};
use crate::procfs::{ChildInfo, child, is_own_zombie, reap, send};
use crate::signal::Signal;

/// The variable that contains the behavior of a child, which reads it before `main`.
const VARIABLE: &str = "PREFORK_TESTKIT_CHILD";

/// How long a master may take to reap a killed child.
const MASTER_REAP_TIME: Duration = Duration::from_secs(1);

/// Workers whose behavior the test sets, for a master in the test's process.
///
/// Each worker is the test program itself, started again by the master like the workers of a real
/// server. It plays its [`Behavior`] and exits before `main`, so it runs no test.
///
/// When the value is dropped, also by a panic of the test, it kills the workers that are left and
/// waits until they have exited. If a master starts another worker after that, it ends with an
/// error of `child_producer`.
///
/// # Examples
/// ```
/// use prefork::Prefork;
/// use prefork_testkit::{Behavior, ScriptedChildren, eventually};
///
/// let children = ScriptedChildren::new(Behavior::Live);
/// let master = Prefork::new()
///     .workers(2)
///     .child_producer(children.producer())
///     .start()
///     .expect("the master starts");
/// eventually("both workers", || (children.alive().len() == 2).then_some(()));
/// children.kill_child(0);
/// eventually("a replacement", || (children.starts() == 3).then_some(()));
/// master.stop();
/// master.wait().expect("a requested stop is not an error");
/// assert!(children.alive().is_empty());
/// ```
#[must_use = "dropping it kills the workers"]
pub struct ScriptedChildren {
    family: ProcessTree,
    script: Arc<Mutex<Script>>,
}

/// One start of a worker, for which the test selects the behavior.
///
/// It is the argument of the function that is given to [`ScriptedChildren::scripted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpawnAttempt {
    /// The slot that the worker will fill, from 0.
    pub slot: usize,
    /// How many workers were started in this slot before.
    pub nth: usize,
}

/// Selects the behavior of each child and counts the starts.
struct Script {
    choose: Box<dyn FnMut(SpawnAttempt) -> Behavior + Send>,
    /// The number of starts, by slot.
    starts: BTreeMap<usize, usize>,
    /// The test has ended: no child is started any more.
    is_over: bool,
}

impl ScriptedChildren {
    /// Creates workers that all have the same behavior.
    pub fn new(behavior: Behavior) -> Self {
        Self::scripted(move |_| behavior)
    }

    /// Creates workers whose behavior a function selects at each start.
    ///
    /// # Examples
    /// ```
    /// # use prefork_testkit::{Behavior, ScriptedChildren};
    /// // In each slot two workers crash; the third one lives.
    /// let children = ScriptedChildren::scripted(|start| match start.nth {
    ///     0 | 1 => Behavior::Exit(1),
    ///     _ => Behavior::Live,
    /// });
    /// ```
    pub fn scripted(choose: impl FnMut(SpawnAttempt) -> Behavior + Send + 'static) -> Self {
        let script = Script {
            choose: Box::new(choose),
            starts: BTreeMap::new(),
            is_over: false,
        };
        Self {
            family: ProcessTree::new(),
            script: Arc::new(Mutex::new(script)),
        }
    }

    /// Returns the function for [`child_producer`](prefork::Prefork::child_producer) of the master.
    ///
    /// Several masters may use functions of the same value.
    pub fn producer(
        &self,
    ) -> impl FnMut(&mut ChildCommand) -> Result<(), &'static str> + Send + 'static {
        let mark = self.family.mark().to_owned();
        let script = Arc::clone(&self.script);
        move |command| {
            let behavior = lock(&script).next(command.slot())?;
            command.env(MARK, &mark).env(VARIABLE, behavior.to_string());
            Ok(())
        }
    }

    /// Returns the number of starts, of first workers and of replacements.
    pub fn starts(&self) -> usize {
        lock(&self.script).starts.values().sum()
    }

    /// Returns the workers that run at this moment, by slot.
    pub fn alive(&self) -> Vec<ChildInfo> {
        let members = self.family.members().into_iter();
        let mut children: Vec<ChildInfo> = members.filter_map(child).collect();
        children.sort_unstable();
        children
    }

    /// Sends a signal to the worker in this slot and returns that worker.
    ///
    /// If the slot has no worker, waits until it has one.
    ///
    /// # Panics
    /// If the slot has no worker within [`TIMEOUT`].
    #[track_caller]
    pub fn signal_child(&self, slot: usize, signal: Signal) -> ChildInfo {
        let find = || self.alive().into_iter().find(|child| child.slot == slot);
        let Some(child) = within(TIMEOUT, find) else {
            let seconds = TIMEOUT.as_secs();
            panic!(
                "no worker in slot {slot} within {seconds}s; running: {:?}",
                self.alive()
            );
        };
        send(child.pid, signal);
        child
    }

    /// Sends SIGKILL to the worker in this slot and returns that worker.
    ///
    /// If the slot has no worker, waits until it has one.
    ///
    /// # Panics
    /// If the slot has no worker within [`TIMEOUT`].
    #[track_caller]
    pub fn kill_child(&self, slot: usize) -> ChildInfo {
        self.signal_child(slot, Signal::SIGKILL)
    }

    /// Kills all children that are left and waits until they have exited.
    ///
    /// Returns false if one has not.
    fn end(&self) -> bool {
        lock(&self.script).is_over = true;
        let mut killed = BTreeSet::new();
        let is_empty = || {
            let members = self.family.members();
            for &pid in &members {
                send(pid, Signal::SIGKILL);
            }
            killed.extend(members.iter().copied());
            members.is_empty().then_some(())
        };
        let have_exited = within(PATIENCE, is_empty).is_some();
        killed.into_iter().for_each(wait_until_reaped);
        have_exited
    }
}

/// Waits until the master has reaped a killed child.
///
/// If no master is left, reaps the child itself.
///
/// The master comes first, because it needs the exit status.
fn wait_until_reaped(pid: i32) {
    let is_reaped = || (!is_own_zombie(pid)).then_some(());
    if within(MASTER_REAP_TIME, is_reaped).is_none() {
        reap(pid);
    }
}

impl Script {
    /// Returns the behavior of the next child in this slot.
    ///
    /// # Errors
    /// The `ScriptedChildren` were dropped.
    fn next(&mut self, slot: usize) -> Result<Behavior, &'static str> {
        if self.is_over {
            return Err("`ScriptedChildren` were dropped before the master ended");
        }
        let count = self.starts.entry(slot).or_default();
        let start = SpawnAttempt { slot, nth: *count };
        *count += 1;
        Ok((self.choose)(start))
    }
}

/// Locks the script.
///
/// A panic of the test's function is an error of the master, and leaves the script intact.
fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for ScriptedChildren {
    fn drop(&mut self) {
        let have_exited = self.end();
        // A second panic would abort the whole test program.
        assert!(
            have_exited || std::thread::panicking(),
            "scripted workers did not exit after SIGKILL"
        );
    }
}

impl fmt::Debug for ScriptedChildren {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedChildren")
            .field("alive", &self.alive())
            .field("starts", &self.starts())
            .finish_non_exhaustive()
    }
}
