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

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// Reaps strangers, by pid.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// Started by a hook: its own to wait for.
    spared: HashSet<i32>,
    /// Dead, and since when that is known.
    dead: HashMap<i32, Instant>,
    last_look: Option<Instant>,
}

impl Strangers {
    /// How long somebody may take to wait for a process of his own.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// The shortest time between two looks. Each lists all children, so that a look at each SIGCHLD
    /// would cost the square of the number of orphans that end within their patience.
    const PAUSE: Duration = Duration::from_millis(100);

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

    /// When to look, since a child has ended.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        self.last_look
            .map_or(now, |last| now.max(last + Self::PAUSE))
    }

    /// Reaps those that have been dead for long enough, and are none of `ours`. Returns when to ask
    /// again, if somebody is left.
    pub(super) fn reap(&mut self, ours: &HashSet<i32>, now: Instant) -> Option<Instant> {
        let children: HashSet<i32> = children().collect();
        let due = self.look(&children, ours, is_dead, now);
        for pid in due {
            // It is a zombie: this neither waits nor fails, unless somebody was faster.
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
        self.deadline(now)
    }

    /// Looks at the children that there are. Returns those to be reaped.
    ///
    /// Asks of each process once whether it is dead.
    fn look(
        &mut self,
        children: &HashSet<i32>,
        ours: &HashSet<i32>,
        is_dead: impl Fn(i32) -> bool,
        now: Instant,
    ) -> Vec<i32> {
        self.last_look = Some(now);
        self.spared.retain(|pid| children.contains(pid));
        self.dead.retain(|pid, _| children.contains(pid));
        for &pid in children {
            let is_known = self.dead.contains_key(&pid);
            let is_other = ours.contains(&pid) || self.spared.contains(&pid);
            if !is_known && !is_other && is_dead(pid) {
                self.dead.insert(pid, now);
            }
        }
        let mut due = Vec::new();
        self.dead.retain(|&pid, since| {
            let is_due = now.saturating_duration_since(*since) >= Self::PATIENCE;
            if is_due {
                due.push(pid);
            }
            !is_due
        });
        due
    }

    /// When the next of the dead is to be reaped.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let since = self.dead.values().min()?;
        Some((*since + Self::PATIENCE).max(self.next_look(now)))
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

/// Whether it has ended and could be reaped, at a tenth of the cost of its `stat` in `/proc`.
///
/// A process that its tracer holds cannot be reaped (`ptrace(2)`): it counts as alive until the tracer
/// detaches, which is another SIGCHLD.
fn is_dead(pid: i32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(Pid::from_raw(pid)), flags) {
        Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => false,
        // An error is a signal that nix has no name for, a real-time one.
        Ok(_) | Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn set(pids: impl IntoIterator<Item = i32>) -> HashSet<i32> {
        pids.into_iter().collect()
    }

    #[test]
    fn the_first_look_is_at_once_and_the_next_one_after_a_pause() {
        let (start, mut strangers) = (Instant::now(), Strangers::default());
        assert_eq!(strangers.next_look(start), start);
        strangers.look(&set([]), &set([]), |_| true, start);
        let soon = start + Duration::from_millis(1);
        assert_eq!(strangers.next_look(soon), start + Strangers::PAUSE);
        let late = start + Duration::from_secs(1);
        assert_eq!(strangers.next_look(late), late);
    }

    #[test]
    fn a_dead_stranger_is_reaped_when_the_patience_is_over_and_asked_of_once() {
        let (start, mut strangers) = (Instant::now(), Strangers::default());
        let children = set([10, 11, 12]);
        let (ours, asked) = (set([12]), Cell::new(0));
        let is_dead = |pid| {
            asked.set(asked.get() + 1);
            assert_ne!(pid, 12, "our own child has its descriptor");
            pid == 10
        };
        assert_eq!(strangers.look(&children, &ours, is_dead, start), [0; 0]);
        assert_eq!(asked.get(), 2);
        let due = start + Strangers::PATIENCE;
        assert_eq!(strangers.deadline(start), Some(due));
        let before = due
            .checked_sub(Duration::from_millis(1))
            .expect("it is later");
        assert_eq!(strangers.look(&children, &ours, is_dead, before), [0; 0]);
        assert_eq!(asked.get(), 3, "the dead one is known");
        assert_eq!(strangers.look(&children, &ours, is_dead, due), [10]);
        assert_eq!(strangers.deadline(due), None);
    }

    #[test]
    fn many_orphans_cost_ten_looks_a_second() {
        let (start, mut strangers) = (Instant::now(), Strangers::default());
        let (mut looks, mut due, mut reaped) = (0, Some(start), 0);
        let mut children = HashSet::new();
        // One dies each millisecond; each is a SIGCHLD.
        for after in 0..5_000 {
            let now = start + Duration::from_millis(u64::try_from(after).expect("positive"));
            children.insert(1_000 + after);
            due = due.into_iter().chain([strangers.next_look(now)]).min();
            if due.is_some_and(|due| due <= now) {
                looks += 1;
                for pid in strangers.look(&children, &set([]), |_| true, now) {
                    children.remove(&pid);
                    reaped += 1;
                }
                due = strangers.deadline(now);
            }
        }
        assert!((49..=51).contains(&looks), "{looks} looks in 5 s");
        assert!(reaped >= 3_800, "{reaped} of 5000 reaped");
    }

    #[test]
    fn one_that_a_hook_started_is_left_to_it() {
        let (start, mut strangers) = (Instant::now(), Strangers::default());
        strangers.spared.insert(10);
        strangers.look(&set([10]), &set([]), |_| true, start);
        assert_eq!(strangers.deadline(start), None);
    }

    #[test]
    fn one_that_cannot_be_reaped_yet_wakes_no_timer() {
        let (start, mut strangers) = (Instant::now(), Strangers::default());
        let (children, ours) = (set([10]), set([]));
        strangers.look(&children, &ours, |_| false, start);
        assert_eq!(strangers.deadline(start), None);
        let later = start + Duration::from_mins(1);
        strangers.look(&children, &ours, |_| true, later);
        assert_eq!(strangers.deadline(later), Some(later + Strangers::PATIENCE));
    }

    #[test]
    fn a_child_is_dead_from_its_end_until_it_is_reaped() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("a program of each system");
        let pid = i32::try_from(child.id()).expect("the kernel's pids fit");
        assert!(!is_dead(pid));
        drop(child.stdin.take());
        while !is_dead(pid) {
            std::thread::yield_now();
        }
        child.wait().expect("our own child");
        assert!(!is_dead(pid));
        assert!(!is_dead(1), "no child of this process");
    }
}
