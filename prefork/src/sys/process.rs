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

/// Whether no other thread shares this process's memory, as far as that can be known.
///
/// unshare(2) refuses these flags to a process with several threads and does nothing in others; a filter may refuse it to
/// all (that of Docker does), and then `/proc` is asked, which takes thirty times as long.
pub(crate) fn is_single_threaded() -> bool {
    #[cfg(target_os = "linux")]
    match nix::sched::unshare(nix::sched::CloneFlags::CLONE_THREAD) {
        Ok(()) => return true,
        Err(nix::errno::Errno::EINVAL) => return false,
        Err(_) => {}
    }
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}
