//! The state of a process, read from `/proc`.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io, thread};

/// A number in `/proc/<pid>/status`, in kB if it is a size.
pub fn status(pid: i32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = |line: &str| {
        line.strip_prefix(field)?
            .strip_prefix(':')?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    text.lines().find_map(value)
}

/// A set of signals in `/proc/<pid>/status`; bit n - 1 is signal n.
pub fn signals(pid: i32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = |line: &str| {
        let digits = line.strip_prefix(field)?.strip_prefix(':')?.trim();
        u64::from_str_radix(digits, 16).ok()
    };
    text.lines().find_map(value)
}

/// Whether the signal is pending: it was sent, and no thread of the process has taken it.
pub fn has_pending(pid: i32, signal: i32) -> bool {
    let bit = 1 << (signal - 1);
    let is_set = |field| signals(pid, field).is_some_and(|set| set & bit != 0);
    is_set("SigPnd") || is_set("ShdPnd")
}

/// The name of the process, which `ps` shows as `comm`.
pub fn name(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(text.trim_end_matches('\n').to_owned())
}

/// How often the process left the CPU, voluntarily or not.
pub fn context_switches(pid: i32) -> Option<u64> {
    let own = status(pid, "voluntary_ctxt_switches")?;
    Some(own + status(pid, "nonvoluntary_ctxt_switches")?)
}

/// The open descriptors of the process, by number, each with its target.
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

/// The names of the threads of the process.
///
/// # Panics
/// The process has exited.
pub fn thread_names(pid: i32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .collect()
}

/// The CPUs that each thread of the process may use, as in `0-3,8`.
///
/// Empty if the process has exited.
pub fn cpus_of_threads(pid: i32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let cpus = |thread: fs::DirEntry| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let mut lines = status.lines();
        let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Some(list.trim().to_owned())
    };
    threads.filter_map(cpus).collect()
}

/// Whether a thread of the process has this name. False if the process has exited.
pub fn has_thread(pid: i32, name: &str) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    threads.into_iter().flatten().any(|thread| {
        let comm = thread.and_then(|thread| fs::read_to_string(thread.path().join("comm")));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    })
}

/// Whether the process exists and is not a zombie.
pub fn is_alive(pid: i32) -> bool {
    state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether the process has ended and its parent has not waited for it.
pub fn is_zombie(pid: i32) -> bool {
    state(pid) == Some('Z')
}

/// Whether SIGSTOP has halted the process.
pub fn is_stopped(pid: i32) -> bool {
    state(pid) == Some('T')
}

/// The sockets of the process, by the kernel's names.
pub fn sockets(pid: i32) -> Vec<String> {
    let name = |(_, path): (i32, PathBuf)| path.display().to_string();
    let names = fds(pid).into_iter().map(name);
    names.filter(|name| name.starts_with("socket:")).collect()
}

/// The number of connections in the accept queue of this address.
pub fn queued(addr: SocketAddr) -> usize {
    let in_its_queue = |(server, _): &(u16, u16)| *server == addr.port();
    all_queued().into_iter().filter(in_its_queue).count()
}

/// Whether a process has accepted this connection, even if the connection is closed by now.
pub fn is_accepted(connection: &TcpStream) -> bool {
    let port = |addr: io::Result<SocketAddr>| addr.map_or(0, |addr| addr.port());
    let ports = (port(connection.peer_addr()), port(connection.local_addr()));
    !all_queued().contains(&ports)
}

/// The ports (server, client) of every queued connection.
///
/// A queued connection is established, but has no descriptor yet. The kernel shows inode 0 for it.
fn all_queued() -> Vec<(u16, u16)> {
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = |field: &str| u16::from_str_radix(field.rsplit(':').next()?, 16).ok();
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // 01: established. 03: the last packet of the handshake is on its way.
        let is_queued = fields.len() > 9 && matches!(fields[3], "01" | "03") && fields[9] == "0";
        is_queued.then(|| Some((port(fields[1])?, port(fields[2])?)))?
    };
    text.lines().filter_map(read).collect()
}

/// The children of the process, including zombies.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parent = u64::try_from(pid).ok();
    let is_child = |other: &i32| status(*other, "PPid") == parent;
    let mut children: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(is_child)
        .collect();
    children.sort_unstable();
    children
}

/// The children of the process that are zombies.
pub fn zombies_of(pid: i32) -> Vec<i32> {
    let is_zombie = |child: &i32| state(*child) == Some('Z');
    children(pid).into_iter().filter(is_zombie).collect()
}

/// A variable of the environment that the process got at its start.
///
/// While a process executes another program, as a shell does with `exec`, its environment is empty.
/// So an empty one is read again, for at most a second.
pub fn variable(pid: i32, name: &str) -> Option<String> {
    let mut environment = Vec::new();
    for _ in 0..200 {
        environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        if !environment.is_empty() || state(pid) == Some('Z') {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    environment.split(|&byte| byte == 0).find_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may contain any character.
    stat.rsplit(") ").next()?.chars().next()
}
