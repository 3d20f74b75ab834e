//! Processes as `/proc` shows them.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A child of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// The place that it fills, from 0.
    pub slot: usize,
    /// Its process id.
    pub pid: i32,
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

pub(crate) fn parent(pid: i32) -> Option<i32> {
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
        assert_eq!(variable(pid, "PATH"), std::env::var("PATH").ok());
        assert_eq!(variable(pid, "PAT"), None);
        assert_eq!(
            parent(pid),
            i32::try_from(std::os::unix::process::parent_id()).ok()
        );
    }
}
