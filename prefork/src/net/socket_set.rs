//! The sockets that a listener accepts from.
//!
//! Knows in which order accepts ask them, and waits for them. Does not know whether the listener may
//! accept.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::shared_socket::SharedSocket;

/// The sockets that a listener accepts from; at least one.
///
/// A set does not change. A listener that gets or loses a socket would get another set, and accepts
/// that wait would start again.
#[derive(Debug)]
pub(crate) struct SocketSet {
    pub(super) sockets: Box<[Arc<SharedSocket>]>,
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

    /// All sockets in the order in which the next accept asks them.
    ///
    /// Each accept begins with another socket. Otherwise the clients of a busy socket would delay
    /// those of the others.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &Arc<SharedSocket>> {
        let first = match self.sockets.len() {
            0 | 1 => 0,
            count => self.turn.fetch_add(1, Ordering::Relaxed) % count,
        };
        let (later, sooner) = self.sockets.split_at(first);
        sooner.iter().chain(later)
    }

    /// Blocks this thread until a socket or the other descriptor is readable.
    pub(super) fn wait(&self, other: BorrowedFd<'_>) -> nix::Result<()> {
        fn readable(fd: &impl AsFd) -> PollFd<'_> {
            PollFd::new(fd.as_fd(), PollFlags::POLLIN)
        }

        let other = readable(&other);
        let polled = match &*self.sockets {
            [one] => poll(&mut [readable(&**one), other], PollTimeout::NONE),
            several => {
                let polled = several
                    .iter()
                    .map(|socket| readable(&**socket))
                    .chain([other]);
                poll(&mut polled.collect::<Vec<_>>(), PollTimeout::NONE)
            }
        };
        polled.map(drop)
    }
}
