//! Checks that the system calls that a master needs are available.
//!
//! The kernel may lack them, or a seccomp filter may reject them. The check runs once, before
//! anything is bound or started. Otherwise, a missing call would only be noticed when the first
//! worker exits.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// A system call that a master needs, and that is not available.
#[derive(Debug)]
pub(crate) struct MissingCall {
    pub(crate) call: &'static str,
    pub(crate) source: io::Error,
}

/// Tries each system call in a way that changes nothing.
///
/// # Errors
/// The first call that the kernel does not have (`ENOSYS`) or that a seccomp filter rejects.
pub(crate) fn check_kernel() -> Result<(), MissingCall> {
    let pidfd = need("pidfd_open", pidfd_open_self())?;
    // Signal 0 checks whether the process exists; this process does.
    need("pidfd_send_signal", super::pidfd::send(pidfd.as_fd(), 0))?;
    // This process is not its own child: the call fails with ECHILD, which `wait` returns as
    // unknown.
    let options = libc::WEXITED | libc::WNOHANG;
    need("waitid", super::pidfd::wait(pidfd.as_fd(), options))?;
    need("rt_sigprocmask", set_own_mask())?;
    // A range above all descriptors.
    // SAFETY: three numbers; no descriptor is that high.
    let result = unsafe { libc::syscall(libc::SYS_close_range, u32::MAX - 1, u32::MAX, 0) };
    need("close_range", to_result(result))?;
    // With an invalid descriptor, a kernel that has the call returns EBADF.
    // SAFETY: the path is a string, and null lists are allowed on Linux (execve(2)).
    let result = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            -1,
            c"".as_ptr(),
            std::ptr::null::<*const libc::c_char>(),
            std::ptr::null::<*const libc::c_char>(),
            libc::AT_EMPTY_PATH,
        )
    };
    match to_result(result) {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(()),
        other => need("execveat", other),
    }
}

/// Sets the mask of this thread in both ways that a start uses.
///
/// If the mask could be set but not restored, the master would receive no stop signal.
fn set_own_mask() -> io::Result<()> {
    let mut own = SigSet::empty();
    sigprocmask(
        SigmaskHow::SIG_BLOCK,
        Some(&SigSet::empty()),
        Some(&mut own),
    )?;
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&own), None)?)
}

pub(super) fn pidfd_open_self() -> io::Result<OwnedFd> {
    // SAFETY: two numbers.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    to_result(result)?;
    let number = i32::try_from(result).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just created this descriptor; it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn to_result(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn need<T>(call: &'static str, result: io::Result<T>) -> Result<T, MissingCall> {
    result.map_err(|source| MissingCall { call, source })
}
