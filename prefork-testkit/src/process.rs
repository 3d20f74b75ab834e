//! Processes as `/proc` shows them.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// A child of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// The place that it fills, from 0.
    pub slot: usize,
    /// Its process id.
    pub pid: i32,
}

/// One process, told from a later one of the same number by the time of its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    started: u64,
}

impl Identity {
    /// `None` when it has ended: it is gone, or a zombie none of whose threads still ends.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which stands in brackets and may hold any character: proc_pid_stat(5)
        // counts the state as field 3, the threads as 20, the start as 22.
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

/// All processes of this machine that can be seen.
pub(crate) fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let name = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    entries.filter_map(|entry| name(entry.ok()?)).collect()
}

/// The variable in the environment that the process was started with. Nothing for a process that is
/// gone, a zombie included.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|&byte| byte == 0).find_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// The children of this master, by slot.
pub(crate) fn children_of(master: i32) -> Vec<Child> {
    let is_own = |pid: &i32| parent(*pid) == Some(master);
    let own = all().into_iter().filter(is_own);
    let mut children: Vec<Child> = own.filter_map(child).collect();
    children.sort_unstable();
    children
}

/// The process as a child of a master, if it is one.
pub(crate) fn child(pid: i32) -> Option<Child> {
    // A worker that had other threads when it read the variable has blanked its first byte.
    let role = variable(pid, "PREFORK_CHILD").or_else(|| variable(pid, "REFORK_CHILD"))?;
    let slot = role.split(':').nth(1)?.parse().ok()?;
    Some(Child { slot, pid })
}

/// Whether it is a child of this process that has ended, and that nobody has waited for.
pub(crate) fn is_own_zombie(pid: i32) -> bool {
    let is_own = parent(pid) == i32::try_from(std::process::id()).ok();
    is_own && status(pid, "State").is_some_and(|state| state.starts_with('Z'))
}

/// Somebody else may have been faster: then there is nothing to do.
pub(crate) fn reap(pid: i32) {
    let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
}

fn parent(pid: i32) -> Option<i32> {
    status(pid, "PPid")?.parse().ok()
}

/// The process's id as it sees itself.
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

/// A process that is gone is no error: it was about to be anyway, or the test asks next.
pub(crate) fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_as_it_is() {
        let pid = i32::try_from(std::process::id()).expect("pids are positive");
        assert!(all().contains(&pid));
        assert!(Identity::of(pid).is_some_and(|this| this.is_running()));
        assert_eq!(variable(pid, "PATH"), std::env::var("PATH").ok());
        assert_eq!(variable(pid, "PAT"), None);
        assert_eq!(
            parent(pid),
            i32::try_from(std::os::unix::process::parent_id()).ok()
        );
    }
}
