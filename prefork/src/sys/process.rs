//! Properties of this process: its name, its limits and its threads; and how it ends.

/// Ends the process at once, without destructors, `atexit` functions and flushes.
///
/// For a thread that must end the process although its main thread hangs, possibly with locks held.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// Whether this process is PID 1 of its PID namespace.
///
/// The kernel does not deliver a signal to PID 1 if the action is the default one
/// (`pid_namespaces(7)`).
pub(crate) fn is_init() -> bool {
    std::process::id() == 1
}

/// Sends SIGTERM to this process.
///
/// The process reacts as to any SIGTERM: it runs its handler, or ends.
pub(crate) fn terminate_self() {
    // It can fail only for an invalid signal or another process.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGTERM);
}

/// Whether this process has a controlling terminal that has not hung up.
///
/// A terminal that hangs up is detached from all processes of its session before SIGHUP is sent.
/// The terminal is `tty_nr` in `proc_pid_stat(5)`.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn has_terminal() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name is in parentheses and may contain any character. The state is the first field
    // behind it, and the terminal the fifth.
    let terminal = stat
        .rsplit(") ")
        .next()
        .and_then(|fields| fields.split(' ').nth(4));
    terminal.is_some_and(|number| number != "0")
}

/// Removes the parent-death signal of this process (`prctl(2)`, `PR_SET_PDEATHSIG`).
///
/// The setting belongs to the thread that executed the program, so that thread must call this.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn outlive_parent() -> std::io::Result<()> {
    Ok(nix::sys::prctl::set_pdeathsig(None)?)
}

/// Only a master sets a parent-death signal.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
pub(crate) fn outlive_parent() -> std::io::Result<()> {
    Ok(())
}

/// The limit of open descriptors (`RLIMIT_NOFILE` of getrlimit(2)); 0 if it is unknown.
pub(crate) fn max_descriptors() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};

    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// Names this process after its program and its role, as in `hello worker 2`.
///
/// `ps -o comm` shows this name. The arguments, which `ps` shows by default, do not change.
///
/// It also replaces the name that the kernel gives a program that was executed by descriptor:
/// before Linux 6.14, or with a wrapper, the number of the descriptor (`proc_pid_comm(5)`).
pub(crate) fn set_comm(role: &str) {
    let Some(program) = std::env::args_os().next() else {
        return;
    };
    let program = std::path::Path::new(&program).file_name();
    let program = program.map_or(&[][..], std::ffi::OsStr::as_encoded_bytes);
    set_name(&comm(program, role));
}

/// The longest name in bytes, without its terminator (`prctl(2)`, `PR_SET_NAME`).
const MAX_NAME: usize = 15;

/// Joins the name of the program and the role, within the length limit.
///
/// The name of the program is shortened, because the role distinguishes processes of one program.
fn comm(program: &[u8], role: &str) -> Vec<u8> {
    let limit = MAX_NAME.saturating_sub(role.len() + 1).min(program.len());
    // Does not split a character.
    let is_start = |&at: &usize| program.get(at).is_none_or(|byte| byte & 0xC0 != 0x80);
    let end = (0..=limit).rev().find(is_start).unwrap_or(0);
    let separator = if end == 0 { "" } else { " " };
    [&program[..end], separator.as_bytes(), role.as_bytes()].concat()
}

/// Sets the name of the process, which is the name of its first thread.
///
/// Another thread may call this.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn set_name(name: &[u8]) {
    use nix::unistd::{getpid, gettid};

    // The name is only shown: nothing depends on it if it cannot be set.
    if gettid() != getpid() {
        let _ = std::fs::write("/proc/self/comm", name);
    } else if let Ok(name) = std::ffi::CString::new(name) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// On other systems, a process keeps the name of its program.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
fn set_name(_name: &[u8]) {}

/// Whether this process has only one thread; `false` if that is unknown.
///
/// unshare(2) rejects this flag in a process with several threads, and does nothing in other
/// processes. A seccomp filter may reject the call itself, as the filter of Docker does. Then this
/// reads `/proc`, which takes thirty times as long.
pub(crate) fn is_single_threaded() -> bool {
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    match nix::sched::unshare(nix::sched::CloneFlags::CLONE_THREAD) {
        Ok(()) => return true,
        Err(nix::errno::Errno::EINVAL) => return false,
        Err(_) => {}
    }
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// The id of this process that the kernel never reuses: the inode of its process descriptor, as
/// systemd determines it for `LISTEN_PIDFDID` (`sd_listen_fds(3)`).
///
/// `None` if the descriptor cannot be opened, and on other systems.
pub(crate) fn own_id() -> Option<u64> {
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    return std::fs::File::from(super::probe::pidfd_open_self().ok()?)
        .metadata()
        .ok()
        .map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata));
    #[cfg(not(all(target_os = "linux", not(prefork_portable))))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_shortened_and_the_role_is_complete() {
        let title = |program: &str, role| {
            let title = comm(program.as_bytes(), role);
            String::from_utf8(title).expect("no character is cut")
        };
        assert_eq!(title("hello", "master"), "hello master");
        assert_eq!(title("my-server", "master"), "my-serve master");
        assert_eq!(title("my-server", "worker 2"), "my-ser worker 2");
        assert_eq!(title("my-server", "worker 9999"), "my- worker 9999");
        assert_eq!(title("grüße-an-alle", "worker 12"), "grü worker 12");
        assert_eq!(title("", "master"), "master");
    }
}
