//! Processes, as read from `/proc`.

use std::fs;

use nix::sys::signal::kill;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::signal::{Signal, system_signal};

/// A worker process of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ChildInfo {
    /// The slot that it fills, from 0.
    pub slot: usize,
    /// Its process id.
    pub pid: i32,
}

/// One process.
///
/// The time of its start distinguishes it from a later process with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: i32,
    started: u64,
}

impl ProcessIdentity {
    /// Returns the process with this id. `None`: it has exited.
    ///
    /// A zombie counts as exited once all of its other threads have ended.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may contain any character, so the fields are read behind
        // it. In proc_pid_stat(5) the state is field 3, the number of threads 20, the start 22.
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let has_ended = matches!(field(3)?, "Z" | "X") && matches!(field(20)?, "0" | "1");
        let started = field(22)?.parse().ok()?;
        (!has_ended).then_some(Self { pid, started })
    }

    pub(crate) fn is_running(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }
}

/// Returns the ids of all processes in `/proc`.
pub(crate) fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let name = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    entries.filter_map(|entry| name(entry.ok()?)).collect()
}

/// Returns a variable of the environment with which the process was started.
///
/// `None` if it is not set, and for a process that has exited, such as a zombie.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|&byte| byte == 0).find_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// Returns the children of this master, by slot.
pub(crate) fn children_of(master: i32) -> Vec<ChildInfo> {
    let is_child = |pid: &i32| parent(*pid) == Some(master);
    let processes = all().into_iter().filter(is_child);
    let mut children: Vec<ChildInfo> = processes.filter_map(child).collect();
    children.sort_unstable();
    children
}

/// Returns the process as a child of a master, if it is one.
pub(crate) fn child(pid: i32) -> Option<ChildInfo> {
    // If a worker has other threads when it reads the variable, it overwrites the first byte.
    let role = variable(pid, "PREFORK_CHILD").or_else(|| variable(pid, "REFORK_CHILD"))?;
    let started_in = || role.split(':').nth(1)?.parse().ok();
    let slot = slot_by_name(pid).or_else(started_in)?;
    Some(ChildInfo { slot, pid })
}

/// Returns the slot in the name of the process: a standby that was promoted has another one than at
/// its start.
fn slot_by_name(pid: i32) -> Option<usize> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let (_, slot) = name.trim_end().rsplit_once("worker ")?;
    slot.parse().ok()
}

/// Whether this is a child of the test's process that exited and was not reaped.
pub(crate) fn is_own_zombie(pid: i32) -> bool {
    let is_child = parent(pid) == i32::try_from(std::process::id()).ok();
    is_child && status(pid, "State").is_some_and(|state| state.starts_with('Z'))
}

/// Reaps a child. Ignores the error if it was already reaped.
pub(crate) fn reap(pid: i32) {
    let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
}

fn parent(pid: i32) -> Option<i32> {
    status(pid, "PPid")?.parse().ok()
}

/// Returns the id of the process in its own PID namespace.
pub(crate) fn inner_pid(pid: i32) -> Option<i32> {
    status(pid, "NSpid")?
        .split_whitespace()
        .last()?
        .parse()
        .ok()
}

fn status(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = |line: &str| {
        Some(
            line.strip_prefix(field)?
                .strip_prefix(':')?
                .trim()
                .to_owned(),
        )
    };
    text.lines().find_map(value)
}

/// Sends a signal. Ignores the error if the process has exited.
pub(crate) fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), system_signal(signal));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read_correctly() {
        let pid = i32::try_from(std::process::id()).expect("pids are positive");
        assert!(all().contains(&pid));
        assert!(ProcessIdentity::of(pid).is_some_and(|this| this.is_running()));
        assert_eq!(variable(pid, "PATH"), std::env::var("PATH").ok());
        assert_eq!(variable(pid, "PAT"), None);
        assert_eq!(
            parent(pid),
            i32::try_from(std::os::unix::process::parent_id()).ok()
        );
    }
}
