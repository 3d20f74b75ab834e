//! A listening socket of a worker.
//!
//! Accepts from it and closes it. Does not know when the listener that holds it may accept.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::stat::fstat;
use prefork_options::Addr;

use super::Socket;
use super::accept_error::FailedConnections;
use super::tracker::{ConnTracker, DrainPolicy};
use crate::sys;
use crate::sys::accept::{AcceptMode, accept};

/// A listening socket and the slot that it belongs to.
///
/// It is bound and non-blocking.
#[derive(Debug)]
pub(crate) struct SlotSocket {
    pub(crate) slot: usize,
    pub(crate) fd: OwnedFd,
}

impl SlotSocket {
    /// Whether both are descriptors of one socket, and belong to one slot.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.slot == other.slot && is_same_file(&self.fd, &other.fd)
    }
}

/// A listening socket, shared by the listener and by accepts that wait on it.
///
/// It is closed when the last of them drops it. If users may have borrowed its descriptor, the
/// number stays open until the listener is dropped.
#[derive(Debug)]
pub(crate) struct SharedSocket {
    pub(super) slot: usize,
    pub(super) fd: Arc<OwnedFd>,
    /// A copy of the socket, registered with the runtime that called accept first.
    #[cfg(feature = "tokio")]
    pub(super) on_tokio: std::sync::OnceLock<tokio::io::unix::AsyncFd<OwnedFd>>,
    /// Other workers continue to accept from it.
    is_released: AtomicBool,
    tracker: Arc<ConnTracker>,
}

impl SharedSocket {
    pub(super) fn new(socket: SlotSocket, tracker: &Arc<ConnTracker>) -> Self {
        tracker.listener_opened();
        Self {
            slot: socket.slot,
            fd: Arc::new(socket.fd),
            #[cfg(feature = "tokio")]
            on_tokio: std::sync::OnceLock::new(),
            is_released: AtomicBool::new(false),
            tracker: Arc::clone(tracker),
        }
    }

    /// Accepts one connection; `None` if the queue is empty. Skips connections that failed in the
    /// queue.
    pub(super) fn accept_one(&self, mode: AcceptMode) -> io::Result<Option<(Socket, Addr)>> {
        let mut failed = FailedConnections::default();
        loop {
            match accept(self.as_fd(), mode) {
                Ok((fd, peer)) => return Ok(Some((Socket::new(fd, &peer), peer))),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted => {}
                    _ if failed.allows_retry(&error) => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Whether both are descriptors of one socket, and belong to one slot.
    pub(super) fn is_same(&self, other: &SlotSocket) -> bool {
        self.slot == other.slot && is_same_file(&self.fd, &other.fd)
    }

    /// This worker accepts no more from the socket, and the other ones continue.
    pub(super) fn note_released(&self) {
        self.is_released.store(true, Ordering::Relaxed);
    }

    /// Wakes the other workers that wait for the socket, if a connection waits in it.
    ///
    /// The kernel may have woken only a thread of this worker for the connection, and it does not
    /// accept it.
    pub(super) fn pass_on(&self) {
        if sys::fds::readable(&[self.fd.as_raw_fd()]) > 0 {
            sys::accept::wake_watchers(self.as_fd());
        }
    }

    /// Whether to call shutdown(2), which ends listening in all processes that hold a copy.
    ///
    /// Without that call, a process that was forked from the master would keep the address for as
    /// long as it lives. But the call resets the connections in the queue, which the other workers
    /// may still accept. So before the end of the time only an empty queue is shut down.
    fn must_free_address(&self, drain: DrainPolicy) -> bool {
        let is_empty = || match sys::accept::queue_length(self.as_fd()) {
            Some(length) => length == 0,
            // A listening socket is readable while a connection waits.
            None => sys::fds::readable(&[self.fd.as_raw_fd()]) == 0,
        };
        drain.frees_address
            && !self.is_released.load(Ordering::Relaxed)
            && (Instant::now() >= drain.until || is_empty())
    }
}

impl AsFd for SharedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for SharedSocket {
    fn drop(&mut self) {
        if self
            .tracker
            .drain()
            .is_some_and(|drain| self.must_free_address(drain))
        {
            // Fails if another worker has done it before.
            let _ = shutdown(self.fd.as_raw_fd(), Shutdown::Both);
        }
        // Close the socket before reporting that the listener has ended.
        #[cfg(feature = "tokio")]
        drop(self.on_tokio.take());
        // It fails only if the program has lowered its limit of descriptors below this number. Then
        // the socket is closed when the listener is dropped.
        let _ = sys::fds::replace(self.as_fd(), self.tracker.drain_fd());
        self.tracker.listener_ended();
    }
}

fn is_same_file(one: &OwnedFd, other: &OwnedFd) -> bool {
    let file = |fd: &OwnedFd| fstat(fd).map(|status| (status.st_dev, status.st_ino));
    file(one).is_ok_and(|one| file(other) == Ok(one))
}
