//! The process at the other end of a socket pair, held by descriptor.
//!
//! The end of a channel tells that nobody holds the other end any more, which a process that was forked from the peer may
//! do long after the peer died. The descriptor tells of the peer alone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A process whose end can be waited for.
#[derive(Debug)]
pub(crate) struct Peer(OwnedFd);

impl Peer {
    /// The process that made this socket pair; `None` if the system cannot tell or hold it: a PID namespace that does not
    /// show it, a filter of system calls, no Linux.
    ///
    /// # Errors
    /// It is dead.
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
        // SAFETY: the kernel made this descriptor just now, close-on-exec; it has no other owner.
        Ok(Some(Self(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Elsewhere the end of the channel has to do.
    #[cfg(not(all(target_os = "linux", not(prefork_portable))))]
    #[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
    pub(crate) fn of(_socket: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        Ok(None)
    }

    /// Whether it has ended. Never waits.
    pub(crate) fn has_ended(&self) -> bool {
        self.ends_within(PollTimeout::ZERO)
    }

    /// Whether it ends within this time. A process closes its descriptors a moment before it ends.
    pub(crate) fn ends_within(&self, time: PollTimeout) -> bool {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, time).is_ok_and(|count| count > 0)
    }
}

/// Readable once it has ended.
impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod tests {
    use super::*;
    use crate::sys::pair::pair;

    #[test]
    fn the_maker_of_a_pair_is_found_and_lives() {
        let (one, other) = pair().expect("descriptors");
        for end in [&one, &other] {
            let peer = Peer::of(end.as_fd()).expect("it is this process");
            assert!(peer.is_some_and(|peer| !peer.has_ended()));
        }
    }
}
