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

/// Calls this process like the program that it runs. A program that was executed by descriptor is
/// named after the number, before Linux 6.14 and by way of a wrapper (`proc_pid_comm(5)`).
pub(crate) fn name_like_program() {
    let Some(program) = std::env::args_os().next() else {
        return;
    };
    let name = std::path::Path::new(&program).file_name();
    let name = name.and_then(|name| std::ffi::CString::new(name.as_encoded_bytes()).ok());
    if let Some(name) = name {
        // The kernel cuts it to 15 bytes (prctl(2), PR_SET_NAME).
        #[cfg(target_os = "linux")]
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// How many threads this process has; `None` where `/proc` is not mounted.
pub(crate) fn thread_count() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
