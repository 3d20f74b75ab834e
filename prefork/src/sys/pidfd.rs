//! A process that cannot be mistaken for another: signals and exits by `pidfd_open(2)` descriptors.
//!
//! Knows nothing of how the process came to be; `clone` makes the descriptors.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::exit_status::ExitStatus;

/// One child process, held by descriptor: a number that the kernel gives to somebody else in the
/// meantime cannot be hit by mistake.
#[derive(Debug)]
pub(crate) struct Pidfd {
    fd: OwnedFd,
}

impl Pidfd {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Sends a signal; a process that has ended already is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match send(self.fd.as_fd(), signal as i32) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// Reaps the process if it has ended; `None` while it lives. Never blocks.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        wait_again(self.fd.as_fd(), libc::WEXITED | libc::WNOHANG)
    }

    /// Reaps the process if it ends before the deadline.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<ExitStatus> {
        // It fails where the process was reaped already.
        self.ends_before(deadline)
            .then(|| self.try_wait().ok().flatten())
            .flatten()
    }

    /// Waits for the end of the process until the deadline; whether it has ended. It is not reaped.
    pub(crate) fn ends_before(&self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut polled = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, timeout) {
                // A signal does not shorten the wait.
                Err(Errno::EINTR) => {}
                Ok(0) | Err(_) => return false,
                Ok(_) => return true,
            }
        }
    }

    /// Reaps the process, waiting for its end.
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

/// `pidfd_send_signal(2)`; signal 0 only asks whether the process exists.
pub(super) fn send(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: all arguments are plain numbers but the siginfo, which may be null.
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

/// [`wait`], again after an interruption.
fn wait_again(pidfd: BorrowedFd<'_>, options: i32) -> io::Result<Option<ExitStatus>> {
    loop {
        match wait(pidfd, options) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// `waitid(2)` by descriptor. nix has it as well, but fails on signals that it has no name for
/// (the real-time ones), and then the status of a reaped child would be lost.
pub(super) fn wait(pidfd: BorrowedFd<'_>, options: i32) -> io::Result<Option<ExitStatus>> {
    // SAFETY: siginfo_t is plain data, for which all zeroes is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = pidfd.as_raw_fd().unsigned_abs();
    // SAFETY: `info` is a valid place for the kernel to write to.
    let result = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, options) };
    if result < 0 {
        let error = io::Error::last_os_error();
        // Nobody's child any more: SIGCHLD is ignored in this process, or somebody waits for
        // everything. The end is certain, the status is gone.
        return match error.raw_os_error() {
            Some(libc::ECHILD) => Ok(Some(ExitStatus::Unknown)),
            _ => Err(error),
        };
    }
    // SAFETY: waitid has filled in the fields of a child's state, or left them zero.
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
