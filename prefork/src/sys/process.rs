//! Questions about this process and its plainest end.

/// Ends the process at once: no destructors, no `atexit`, no flush. For a thread that must end a
/// process whose main thread hangs, perhaps with locks held.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// Sends SIGTERM to this process, so that it does what it would do if an operator had sent it: run
/// the body's own handler, or end.
pub(crate) fn terminate_self() {
    // Only a number that is no signal, or another process, could fail.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGTERM);
}

/// Takes back the signal that this process was to get when its parent dies (`prctl(2)`, `PR_SET_PDEATHSIG`): it is bound
/// to the thread that executed the program, which has to call this.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn outlive_parent() -> std::io::Result<()> {
    Ok(nix::sys::prctl::set_pdeathsig(None)?)
}

/// Only a master sets one.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
pub(crate) fn outlive_parent() -> std::io::Result<()> {
    Ok(())
}

/// How many descriptors this process may have (`RLIMIT_NOFILE` of getrlimit(2)); 0 where that is not known.
pub(crate) fn max_descriptors() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};

    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// Calls this process after its program and its role, as in `hello worker 2`: what `ps -o comm` shows. The arguments, which
/// `ps` shows otherwise, stay as they are.
///
/// It also undoes what the kernel does with a program that was executed by descriptor, which is named after the number
/// before Linux 6.14 and by way of a wrapper (`proc_pid_comm(5)`).
pub(crate) fn name_after_role(role: &str) {
    let Some(program) = std::env::args_os().next() else {
        return;
    };
    let program = std::path::Path::new(&program).file_name();
    let program = program.map_or(&[][..], std::ffi::OsStr::as_encoded_bytes);
    set_name(&title(program, role));
}

/// What a name may have, without its end (`prctl(2)`, `PR_SET_NAME`).
const MAX_NAME: usize = 15;

/// The program is shortened, since the role is what tells processes of one program apart.
fn title(program: &[u8], role: &str) -> Vec<u8> {
    let room = MAX_NAME.saturating_sub(role.len() + 1).min(program.len());
    // Not in the middle of a character.
    let is_start = |&at: &usize| program.get(at).is_none_or(|byte| byte & 0xC0 != 0x80);
    let end = (0..=room).rev().find(is_start).unwrap_or(0);
    let separator = if end == 0 { "" } else { " " };
    [&program[..end], separator.as_bytes(), role.as_bytes()].concat()
}

/// A process is called like its first thread, which need not be the one that calls this.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn set_name(name: &[u8]) {
    use nix::unistd::{getpid, gettid};

    // A name is for people: where it cannot be set, nothing else depends on it.
    if gettid() != getpid() {
        let _ = std::fs::write("/proc/self/comm", name);
    } else if let Ok(name) = std::ffi::CString::new(name) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// Elsewhere processes are called like their programs.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
fn set_name(_name: &[u8]) {}

/// Whether no other thread shares this process's memory, as far as that can be known.
///
/// unshare(2) refuses these flags to a process with several threads and does nothing in others; a filter may refuse it to
/// all (that of Docker does), and then `/proc` is asked, which takes thirty times as long.
pub(crate) fn is_single_threaded() -> bool {
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    match nix::sched::unshare(nix::sched::CloneFlags::CLONE_THREAD) {
        Ok(()) => return true,
        Err(nix::errno::Errno::EINVAL) => return false,
        Err(_) => {}
    }
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_stays_whole_and_the_program_is_shortened() {
        let title = |program: &str, role| {
            let title = title(program.as_bytes(), role);
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
