//! What `/proc` knows of a process.

use std::fs;
use std::path::PathBuf;

/// A number in `/proc/<pid>/status`.
pub fn status(pid: i32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = |line: &str| {
        line.strip_prefix(field)?
            .strip_prefix(':')?
            .trim()
            .parse()
            .ok()
    };
    text.lines().find_map(value)
}

/// How often it left the CPU, of its own will or not.
pub fn context_switches(pid: i32) -> Option<u64> {
    let own = status(pid, "voluntary_ctxt_switches")?;
    Some(own + status(pid, "nonvoluntary_ctxt_switches")?)
}

/// Its open descriptors, by number, and where they lead.
pub fn fds(pid: i32) -> Vec<(i32, PathBuf)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let mut fds: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?))
        })
        .collect();
    fds.sort_unstable();
    fds
}

/// Whether it runs: not gone, not a zombie.
pub fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .starts_with(['Z', 'X'])
    })
}
