//! Processes that became this process's children when their own parent ended: as PID 1 it is who
//! they are given to (`pid_namespaces(7)`), and it must reap them.
//!
//! Nobody can say for certain whether a child is a stranger. A process that somebody of this
//! program started for itself, a hook for example, must not be reaped behind his back: so those
//! that are there when a hook returns and were started while it ran are never touched, and others
//! only when they have been dead for a while without anybody asking.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// Reaps strangers, by pid.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// Started by a hook: its own to wait for.
    spared: HashSet<i32>,
    /// Dead, and since when that is known.
    dead: HashMap<i32, Instant>,
}

impl Strangers {
    /// How long somebody may take to wait for a process of his own.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// The children that there are; to be asked before a hook and given to
    /// [`spare_new`](Self::spare_new) after it.
    pub(super) fn children() -> HashSet<i32> {
        children().collect()
    }

    /// Those that a hook has started are its own.
    pub(super) fn spare_new(&mut self, before: &HashSet<i32>) {
        self.spared
            .extend(children().filter(|pid| !before.contains(pid)));
    }

    /// Reaps those that have been dead for long enough, and are none of `ours`. Returns when to ask
    /// again, if somebody is left.
    pub(super) fn reap(&mut self, ours: &HashSet<i32>, now: Instant) -> Option<Instant> {
        let children: HashSet<i32> = children().collect();
        self.spared.retain(|pid| children.contains(pid));
        self.dead.retain(|pid, _| children.contains(pid));
        for pid in children {
            if !ours.contains(&pid) && !self.spared.contains(&pid) && is_dead(pid) {
                self.dead.entry(pid).or_insert(now);
            }
        }
        self.dead.retain(|&pid, since| {
            let is_due = now.saturating_duration_since(*since) >= Self::PATIENCE;
            if is_due {
                // It is a zombie: this neither waits nor fails, unless somebody was faster.
                let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
            }
            !is_due
        });
        self.dead
            .values()
            .min()
            .map(|since| *since + Self::PATIENCE)
    }
}

/// Of all threads of this process.
fn children() -> impl Iterator<Item = i32> {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids = lists.flat_map(|list| {
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.collect::<Vec<i32>>()
    });
    pids.collect::<Vec<_>>().into_iter()
}

/// The state stands behind the name, which may hold anything (`proc_pid_stat(5)`).
fn is_dead(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        state == Some('Z')
    })
}
