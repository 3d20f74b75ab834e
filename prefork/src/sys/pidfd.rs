//! Signals to a process and its exit, by process descriptor (`pidfd_open(2)`).
//!
//! It does not know how the process was started; `clone` creates the descriptors.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::exit_status::ExitStatus;

/// The descriptor of a child process.
///
/// A process descriptor never refers to another process, even if the kernel reuses the process id.
#[derive(Debug)]
pub(crate) struct Pidfd {
    fd: OwnedFd,
}

impl Pidfd {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Sends a signal. If the process has exited already, this does nothing.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match send(self.fd.as_fd(), signal as i32) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// Reaps the process if it has exited; `None` if it still runs. Never blocks.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        wait_again(self.fd.as_fd(), libc::WEXITED | libc::WNOHANG)
    }

    /// Reaps the process if it exits before the deadline.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<ExitStatus> {
        // It fails if the process was reaped already.
        self.exits_before(deadline)
            .then(|| self.try_wait().ok().flatten())
            .flatten()
    }

    /// Waits until the process exits or the deadline passes. Returns whether it has exited.
    ///
    /// Does not reap it.
    pub(crate) fn exits_before(&self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut polled = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, timeout) {
                // An interrupted wait continues.
                Err(Errno::EINTR) => {}
                Ok(0) | Err(_) => return false,
                Ok(_) => return true,
            }
        }
    }

    /// Waits until the process exits, and reaps it.
    #[cfg(test)]
    pub(crate) fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = wait_again(self.fd.as_fd(), libc::WEXITED)? {
                return Ok(status);
            }
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Calls `pidfd_send_signal(2)`. Signal 0 only checks whether the process exists.
pub(super) fn send(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: all arguments are numbers, except the siginfo, which may be null.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Calls [`wait`], and repeats it after an interruption.
fn wait_again(pidfd: BorrowedFd<'_>, options: i32) -> io::Result<Option<ExitStatus>> {
    loop {
        match wait(pidfd, options) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Calls `waitid(2)` with a process descriptor.
///
/// The function of nix fails for signals without a name (real-time signals), and the status of the
/// reaped child would be lost.
pub(super) fn wait(pidfd: BorrowedFd<'_>, options: i32) -> io::Result<Option<ExitStatus>> {
    // SAFETY: siginfo_t is plain data, for which all zeroes are a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = pidfd.as_raw_fd().unsigned_abs();
    // SAFETY: the kernel writes to `info`, which outlives the call.
    let result = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, options) };
    if result < 0 {
        let error = io::Error::last_os_error();
        // Not a child any more: SIGCHLD is ignored in this process, or other code waits for all
        // children. The process has exited, but its status is lost.
        return match error.raw_os_error() {
            Some(libc::ECHILD) => Ok(Some(ExitStatus::Unknown)),
            _ => Err(error),
        };
    }
    // SAFETY: waitid has set the fields of the state of a child, or they are still zero.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok(Some(match info.si_code {
        libc::CLD_EXITED => ExitStatus::Code(status),
        code => ExitStatus::Signal {
            number: status,
            core_dumped: code == libc::CLD_DUMPED,
        },
    }))
}
