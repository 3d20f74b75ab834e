//! Does this kernel, and the filter that this process may run under, have what a master needs?
//!
//! Asked once, before anything is bound or started: a call that is missing would otherwise show
//! when the first worker dies.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// A system call that a master needs and does not get.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) call: &'static str,
    pub(crate) source: io::Error,
}

/// Tries each call in a way that changes nothing.
///
/// # Errors
/// The first one that the kernel does not have (`ENOSYS`) or does not allow (a seccomp filter).
pub(crate) fn kernel() -> Result<(), Missing> {
    let pidfd = need("pidfd_open", pidfd_open_self())?;
    // Signal 0 asks whether the process is there, and this one is.
    need("pidfd_send_signal", super::pidfd::send(pidfd.as_fd(), 0))?;
    // Not our own child: the kernel's answer is ECHILD, which `wait` reads as 'end unknown'.
    let options = libc::WEXITED | libc::WNOHANG;
    need("waitid", super::pidfd::wait(pidfd.as_fd(), options))?;
    need("rt_sigprocmask", set_own_mask())?;
    // An empty range far above every descriptor.
    // SAFETY: three numbers; no descriptor is that high.
    let result = unsafe { libc::syscall(libc::SYS_close_range, u32::MAX - 1, u32::MAX, 0) };
    need("close_range", answer(result))?;
    // No such descriptor: a kernel that knows the call says EBADF.
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
    match answer(result) {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(()),
        other => need("execveat", other),
    }
}

/// Both ways in which a start sets the mask. One that could be set and not taken back would keep every stop from being heard.
fn set_own_mask() -> io::Result<()> {
    let mut own = SigSet::empty();
    sigprocmask(
        SigmaskHow::SIG_BLOCK,
        Some(&SigSet::empty()),
        Some(&mut own),
    )?;
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&own), None)?)
}

fn pidfd_open_self() -> io::Result<OwnedFd> {
    // SAFETY: two numbers.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    answer(result)?;
    let number = i32::try_from(result).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn answer(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn need<T>(call: &'static str, result: io::Result<T>) -> Result<T, Missing> {
    result.map_err(|source| Missing { call, source })
}
