//! Reaps orphans: processes that became children of this process when their own parent exited.
//!
//! The kernel gives orphans to PID 1 (`pid_namespaces(7)`), which must reap them.
//!
//! No system call shows whether a child is an orphan. A process that other code of this program
//! started itself, a hook for example, must not be reaped: that code waits for it. So children that
//! were started while a hook ran are never reaped, and others only when they have been dead for a
//! while and nothing has waited for them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// Reaps orphans, by pid.
#[derive(Debug, Default)]
pub(super) struct OrphanReaper {
    /// Children that a hook started and waits for itself.
    excluded: HashSet<i32>,
    /// Dead children, with the time at which their death was noticed.
    dead: HashMap<i32, Instant>,
    last_check: Option<Instant>,
}

impl OrphanReaper {
    /// The time in which other code of the program can wait for its own process.
    const REAP_DELAY: Duration = Duration::from_secs(1);

    /// The minimum time between two checks.
    ///
    /// Each check lists all children. A check at each SIGCHLD would cost the square of the number
    /// of orphans that exit within the reap delay.
    const CHECK_INTERVAL: Duration = Duration::from_millis(100);

    /// The children of this process.
    ///
    /// Call it before a hook and pass the result to [`exclude_new`](Self::exclude_new) after it.
    pub(super) fn children() -> HashSet<i32> {
        children().collect()
    }

    /// Excludes the children that a hook started.
    pub(super) fn exclude_new(&mut self, before: &HashSet<i32>) {
        self.excluded
            .extend(children().filter(|pid| !before.contains(pid)));
    }

    /// When to check next, after a child exited.
    pub(super) fn next_check(&self, now: Instant) -> Instant {
        self.last_check
            .map_or(now, |last| now.max(last + Self::CHECK_INTERVAL))
    }

    /// Reaps the children that have been dead for long enough and are not `workers`.
    ///
    /// Returns when to check again, if a dead child is left.
    pub(super) fn reap(&mut self, workers: &HashSet<i32>, now: Instant) -> Option<Instant> {
        let children: HashSet<i32> = children().collect();
        let due = self.check(&children, workers, is_dead, now);
        for pid in due {
            // This neither waits nor fails: the process is a zombie, unless other code reaped it.
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
        self.deadline(now)
    }

    /// Checks the children, and returns those to reap.
    ///
    /// Asks once per process whether it is dead.
    fn check(
        &mut self,
        children: &HashSet<i32>,
        workers: &HashSet<i32>,
        is_dead: impl Fn(i32) -> bool,
        now: Instant,
    ) -> Vec<i32> {
        self.last_check = Some(now);
        self.excluded.retain(|pid| children.contains(pid));
        self.dead.retain(|pid, _| children.contains(pid));
        for &pid in children {
            let is_known = self.dead.contains_key(&pid);
            let is_other = workers.contains(&pid) || self.excluded.contains(&pid);
            if !is_known && !is_other && is_dead(pid) {
                self.dead.insert(pid, now);
            }
        }
        let mut due = Vec::new();
        self.dead.retain(|&pid, since| {
            let is_due = now.saturating_duration_since(*since) >= Self::REAP_DELAY;
            if is_due {
                due.push(pid);
            }
            !is_due
        });
        due
    }

    /// When to reap the next dead child.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let since = self.dead.values().min()?;
        Some((*since + Self::REAP_DELAY).max(self.next_check(now)))
    }
}

/// The children of all threads of this process.
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

/// Whether the process has exited and can be reaped.
///
/// This costs a tenth of reading its `stat` in `/proc`.
///
/// A process that a tracer keeps from being reaped (`ptrace(2)`) counts as alive until the tracer
/// detaches, which causes another SIGCHLD.
fn is_dead(pid: i32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(Pid::from_raw(pid)), flags) {
        Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => false,
        // An error means a signal that nix has no name for, a real-time signal.
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
    fn the_first_check_is_immediate_and_the_next_one_after_a_pause() {
        let (start, mut reaper) = (Instant::now(), OrphanReaper::default());
        assert_eq!(reaper.next_check(start), start);
        reaper.check(&set([]), &set([]), |_| true, start);
        let soon = start + Duration::from_millis(1);
        assert_eq!(
            reaper.next_check(soon),
            start + OrphanReaper::CHECK_INTERVAL
        );
        let late = start + Duration::from_secs(1);
        assert_eq!(reaper.next_check(late), late);
    }

    #[test]
    fn a_dead_orphan_is_checked_once_and_reaped_after_the_delay() {
        let (start, mut reaper) = (Instant::now(), OrphanReaper::default());
        let children = set([10, 11, 12]);
        let (workers, asked) = (set([12]), Cell::new(0));
        let is_dead = |pid| {
            asked.set(asked.get() + 1);
            assert_ne!(pid, 12, "a worker has its own descriptor");
            pid == 10
        };
        assert_eq!(reaper.check(&children, &workers, is_dead, start), [0; 0]);
        assert_eq!(asked.get(), 2);
        let due = start + OrphanReaper::REAP_DELAY;
        assert_eq!(reaper.deadline(start), Some(due));
        let early = due
            .checked_sub(Duration::from_millis(1))
            .expect("a later time");
        assert_eq!(reaper.check(&children, &workers, is_dead, early), [0; 0]);
        assert_eq!(asked.get(), 3, "a dead child is not checked again");
        assert_eq!(reaper.check(&children, &workers, is_dead, due), [10]);
        assert_eq!(reaper.deadline(due), None);
    }

    #[test]
    fn many_orphans_cost_ten_checks_per_second() {
        let (start, mut reaper) = (Instant::now(), OrphanReaper::default());
        let (mut checks, mut due, mut exited) = (0, Some(start), 0);
        let mut children = HashSet::new();
        // One child dies each millisecond and causes a SIGCHLD.
        for after in 0..5_000 {
            let now = start + Duration::from_millis(u64::try_from(after).expect("positive"));
            children.insert(1_000 + after);
            due = due.into_iter().chain([reaper.next_check(now)]).min();
            if due.is_some_and(|due| due <= now) {
                checks += 1;
                for pid in reaper.check(&children, &set([]), |_| true, now) {
                    children.remove(&pid);
                    exited += 1;
                }
                due = reaper.deadline(now);
            }
        }
        assert!((49..=51).contains(&checks), "{checks} checks in 5 s");
        assert!(exited >= 3_800, "{exited} of 5000 exited");
    }

    #[test]
    fn a_child_of_a_hook_is_not_reaped() {
        let (start, mut reaper) = (Instant::now(), OrphanReaper::default());
        reaper.excluded.insert(10);
        reaper.check(&set([10]), &set([]), |_| true, start);
        assert_eq!(reaper.deadline(start), None);
    }

    #[test]
    fn a_child_that_cannot_be_reaped_sets_no_timer() {
        let (start, mut reaper) = (Instant::now(), OrphanReaper::default());
        let (children, workers) = (set([10]), set([]));
        reaper.check(&children, &workers, |_| false, start);
        assert_eq!(reaper.deadline(start), None);
        let later = start + Duration::from_mins(1);
        reaper.check(&children, &workers, |_| true, later);
        assert_eq!(
            reaper.deadline(later),
            Some(later + OrphanReaper::REAP_DELAY)
        );
    }

    #[test]
    fn a_child_is_dead_from_its_end_until_it_is_reaped() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat can be started");
        let pid = i32::try_from(child.id()).expect("pids fit into i32");
        assert!(!is_dead(pid));
        drop(child.stdin.take());
        while !is_dead(pid) {
            std::thread::yield_now();
        }
        child.wait().expect("a child of this test");
        assert!(!is_dead(pid));
        assert!(!is_dead(1), "no child of this process");
    }
}
