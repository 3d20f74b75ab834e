//! The sockets that a listener accepts from.
//!
//! Knows in which order accepts ask them, and waits for them. Does not know whether the listener may
//! accept.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::shared_socket::SharedSocket;

/// The sockets that a listener accepts from.
///
/// A set does not change. A listener that gets or loses a socket gets another set, and accepts that
/// wait start again.
#[derive(Debug)]
pub(crate) struct SocketSet {
    sockets: Box<[Arc<SharedSocket>]>,
    /// The number of accepts that have asked several sockets.
    turn: AtomicUsize,
}

impl SocketSet {
    pub(super) fn new(sockets: impl IntoIterator<Item = Arc<SharedSocket>>) -> Self {
        Self {
            sockets: sockets.into_iter().collect(),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn sockets(&self) -> &[Arc<SharedSocket>] {
        &self.sockets
    }

    /// The socket with this descriptor.
    pub(super) fn find(&self, fd: RawFd) -> Option<&Arc<SharedSocket>> {
        let mut sockets = self.sockets.iter();
        sockets.find(|socket| socket.as_fd().as_raw_fd() == fd)
    }

    /// All sockets in the order in which the next accept asks them.
    ///
    /// Each accept begins with another socket. Otherwise the clients of a busy socket would delay
    /// those of the others.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &Arc<SharedSocket>> {
        let first = match self.sockets.len() {
            0 | 1 => 0,
            count => self.turn.fetch_add(1, Ordering::Relaxed) % count,
        };
        self.from(first)
    }

    /// All sockets, beginning with the one that has this descriptor.
    pub(super) fn beginning_with(&self, fd: RawFd) -> impl Iterator<Item = &Arc<SharedSocket>> {
        let mut sockets = self.sockets.iter();
        let first = sockets.position(|socket| socket.as_fd().as_raw_fd() == fd);
        self.from(first.unwrap_or(0))
    }

    fn from(&self, first: usize) -> impl Iterator<Item = &Arc<SharedSocket>> {
        let (later, sooner) = self.sockets.split_at(first);
        sooner.iter().chain(later)
    }

    /// Blocks this thread until a socket or the other descriptor is readable, or the time is over.
    pub(super) fn poll(&self, other: BorrowedFd<'_>, timeout: PollTimeout) -> nix::Result<()> {
        let sockets = self.sockets.iter().map(|socket| socket.as_fd());
        let polled = sockets.chain([other]);
        let mut polled: Vec<_> = polled
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        poll(&mut polled, timeout).map(drop)
    }
}
