//! Children on demand: a real master in the test's own process, and children that do what the test
//! says, without a program of one's own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use prefork::ChildCommand;

use crate::LIMIT;
use crate::behaviour::Behaviour;
use crate::eventually::within;
use crate::family::{Family, MARK, PATIENCE};
use crate::process::{Child, child, is_own_zombie, reap, send};

/// What the child reads before `main`.
const VARIABLE: &str = "PREFORK_TESTKIT_CHILD";

/// How long a dead child is left to its master, which wants to know how it ended.
const MASTERS_TURN: Duration = Duration::from_secs(1);

/// Children that do what the test says.
///
/// Each is the test's own program, started again by the master, as the children of a real server
/// are. It does what its [`Behaviour`] says and ends before any test, or a `main` with
/// `harness = false`, begins.
///
/// Dropping it kills all of them that are left and waits until they are gone, also when the test
/// panics. A master that wants more of them ends with the producer's error.
///
/// # Examples
/// ```
/// use prefork::Prefork;
/// use prefork_testkit::{Behaviour, Children, eventually};
///
/// let children = Children::new(Behaviour::Live);
/// let master = Prefork::new()
///     .workers(2)
///     .child_producer(children.producer())
///     .start()
///     .expect("it can be started");
/// eventually("both", || (children.alive().len() == 2).then_some(()));
/// children.kill_child(0);
/// eventually("a successor", || (children.starts() == 3).then_some(()));
/// master.stop();
/// master.wait().expect("it was asked to stop");
/// assert!(children.alive().is_empty());
/// ```
pub struct Children {
    family: Family,
    script: Arc<Mutex<Script>>,
}

/// One start of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The slot that the child will fill, from 0.
    pub slot: usize,
    /// How many children were started in this slot before.
    pub nth: usize,
}

/// What the children are told.
struct Script {
    choose: Box<dyn FnMut(Start) -> Behaviour + Send>,
    /// How many starts there were, by slot.
    starts: BTreeMap<usize, usize>,
    /// The test has ended: nobody is started any more.
    is_over: bool,
}

impl Children {
    /// All of them do the same.
    pub fn new(behaviour: Behaviour) -> Self {
        Self::choosing(move |_| behaviour)
    }

    /// Each does what is chosen for it at its start.
    ///
    /// # Examples
    /// ```
    /// # use prefork_testkit::{Behaviour, Children};
    /// // Each slot has two that crash, and then one that lives.
    /// let children = Children::choosing(|start| match start.nth {
    ///     0 | 1 => Behaviour::Exit(1),
    ///     _ => Behaviour::Live,
    /// });
    /// ```
    pub fn choosing(choose: impl FnMut(Start) -> Behaviour + Send + 'static) -> Self {
        let script = Script {
            choose: Box::new(choose),
            starts: BTreeMap::new(),
            is_over: false,
        };
        Self {
            family: Family::new(),
            script: Arc::new(Mutex::new(script)),
        }
    }

    /// What makes the children of a master these:
    /// [`child_producer`](prefork::Prefork::child_producer) takes it. Several masters may share
    /// them.
    pub fn producer(
        &self,
    ) -> impl FnMut(&mut ChildCommand) -> Result<(), &'static str> + Send + 'static {
        let mark = self.family.mark().to_owned();
        let script = Arc::clone(&self.script);
        move |command| {
            let behaviour = lock(&script).next(command.slot())?;
            command
                .env(MARK, &mark)
                .env(VARIABLE, behaviour.to_string());
            Ok(())
        }
    }

    /// How many were asked for, first ones and replacements.
    pub fn starts(&self) -> usize {
        lock(&self.script).starts.values().sum()
    }

    /// Those that are alive at this moment, by slot.
    pub fn alive(&self) -> Vec<Child> {
        let members = self.family.members().into_iter();
        let mut children: Vec<Child> = members.filter_map(child).collect();
        children.sort_unstable();
        children
    }

    /// Sends the child in this slot a signal and says which one it was.
    ///
    /// # Panics
    /// If no child comes into the slot within [`LIMIT`].
    #[track_caller]
    pub fn signal_child(&self, slot: usize, signal: Signal) -> Child {
        let find = || self.alive().into_iter().find(|child| child.slot == slot);
        let Some(child) = within(LIMIT, find) else {
            panic!("slot {slot} stays empty; alive are {:?}", self.alive());
        };
        send(child.pid, signal);
        child
    }

    /// Kills the child in this slot with SIGKILL and says which one it was.
    ///
    /// # Panics
    /// If no child comes into the slot within [`LIMIT`].
    #[track_caller]
    pub fn kill_child(&self, slot: usize) -> Child {
        self.signal_child(slot, Signal::SIGKILL)
    }

    /// Kills all that are left, and waits until nothing of them is; whether that was achieved.
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
        let is_gone = within(PATIENCE, is_empty).is_some();
        killed.into_iter().for_each(wait_for);
        is_gone
    }
}

/// A child that was killed is reaped by its master, which holds it by descriptor; where no master is
/// left to do it, here.
fn wait_for(pid: i32) {
    let is_reaped = || (!is_own_zombie(pid)).then_some(());
    if within(MASTERS_TURN, is_reaped).is_none() {
        reap(pid);
    }
}

impl Script {
    /// # Errors
    /// The test has ended.
    fn next(&mut self, slot: usize) -> Result<Behaviour, &'static str> {
        if self.is_over {
            return Err("the test's `Children` were dropped before its master");
        }
        let count = self.starts.entry(slot).or_default();
        let start = Start { slot, nth: *count };
        *count += 1;
        Ok((self.choose)(start))
    }
}

/// A choice that panicked is the master's error, and changes nothing here.
fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Children {
    fn drop(&mut self) {
        let is_gone = self.end();
        // A second panic would abort the whole test program.
        assert!(
            is_gone || std::thread::panicking(),
            "SIGKILL does not end the children"
        );
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Children")
            .field("alive", &self.alive())
            .field("starts", &self.starts())
            .finish_non_exhaustive()
    }
}
