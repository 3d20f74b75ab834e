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

/// How many threads this process has; `None` where `/proc` is not mounted.
pub(crate) fn thread_count() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
