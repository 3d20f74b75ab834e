//! The process at the other end of a socket pair, as a process descriptor.
//!
//! The end of a channel does not prove that the peer died: a process that was forked from the peer
//! may hold the other end long after the death of the peer. The process descriptor reports the peer
//! itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The descriptor of a peer process.
#[derive(Debug)]
pub(crate) struct PeerProcess(OwnedFd);

impl PeerProcess {
    /// Opens the process that created this socket pair.
    ///
    /// `None` if the process is not visible in this PID namespace, or a seccomp filter rejects a
    /// call.
    ///
    /// # Errors
    /// The process is dead.
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(crate) fn of(socket: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        use std::os::fd::FromRawFd;

        use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

        let pid = getsockopt(&socket, PeerCredentials).map_or(0, |peer| peer.pid());
        if pid <= 0 {
            return Ok(None);
        }
        // SAFETY: pidfd_open(2) takes two numbers.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let Ok(fd @ 0..) = i32::try_from(result) else {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::ESRCH) => Err(error),
                _ => Ok(None),
            };
        };
        // SAFETY: the kernel has just created this descriptor, close-on-exec; it has no other
        // owner.
        Ok(Some(Self(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Other systems have no process descriptors: only the end of the channel is known.
    #[cfg(not(all(target_os = "linux", not(prefork_portable))))]
    #[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
    pub(crate) fn of(_socket: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Whether the process has exited. Never waits.
    pub(crate) fn has_ended(&self) -> bool {
        self.ends_within(PollTimeout::ZERO)
    }

    /// Whether the process exits within this time.
    ///
    /// A process closes its descriptors shortly before it exits.
    pub(crate) fn ends_within(&self, time: PollTimeout) -> bool {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, time).is_ok_and(|count| count > 0)
    }
}

/// Readable from the exit of the process on.
impl AsFd for PeerProcess {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod tests {
    use super::*;
    use crate::sys::seqpacket::seqpacket_pair;

    #[test]
    fn the_process_that_created_a_pair_is_found() {
        let (one, other) = seqpacket_pair().expect("descriptors");
        for end in [&one, &other] {
            let peer = PeerProcess::of(end.as_fd()).expect("this process");
            assert!(peer.is_some_and(|peer| !peer.has_ended()));
        }
    }
}
