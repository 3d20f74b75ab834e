//! An accepted connection that remembers whether anybody has read from it.
//!
//! The reason: graceful stops of hyper (and with it axum) throw away a connection that was accepted
//! but not yet read from, since nothing is in flight on it as far as they can see. A stop waits
//! until each one was read, so that a request that was sent in time is answered.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};

use socket2::SockRef;

use super::intake::Intake;
use super::silent_reads::{BlockingNote, LastUse};

/// A connection: over a `std::net::TcpStream` from
/// [`blocking_accept`](super::Listener::blocking_accept), over a `tokio::net::TcpStream` from the
/// async `accept`. It reads and writes like the stream inside, with one difference each:
///
/// - *Blocking*: when the worker is asked to go, a read that waits for a silent client ends: it returns 0, as if the client
///   had closed its side, once the client has been silent for 250 ms (a quarter of the `shutdown_grace_period` where that
///   is less). That goes for a client that has sent nothing yet, and for a kept connection whose last use was a write. A
///   client that stops in the middle of a request, after a read, is waited for up to half of the grace period, and up to three
///   quarters while it still sends. Bytes that
///   have come are always read first, and answers can still be written. Reads by a clone, or by
///   [`get_ref`](Self::get_ref), end as well, but only those of this stream count as use.
/// - *Async*: the end of a client's side (`shutdown(2)`, `SHUT_WR`) is reported one poll of the task later than it could
///   be, so that a server on hyper begins to answer a request that came together with the end.
#[derive(Debug)]
pub struct Stream<S = TcpStream> {
    /// First, so that it is dropped before the descriptor is closed.
    unread: Option<Unread>,
    /// Before the descriptor as well. `None` where reads do not block.
    blocking: Option<BlockingNote>,
    /// The end of the client's side was seen, and its report was put off once.
    #[cfg(feature = "tokio")]
    has_deferred_end: bool,
    pub(super) io: S,
}

impl<S: AsFd> Stream<S> {
    pub(super) fn new(io: S, intake: &Arc<Intake>) -> Self {
        let fd = io.as_fd().as_raw_fd();
        intake.stream_accepted(fd);
        let unread = Unread {
            fd,
            intake: Arc::clone(intake),
        };
        Self {
            unread: Some(unread),
            blocking: None,
            #[cfg(feature = "tokio")]
            has_deferred_end: false,
            io,
        }
    }

    /// Sends small writes at once (`TCP_NODELAY`, tcp(7)); off by default, as the system has it.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        SockRef::from(&self.io).set_tcp_nodelay(nodelay)
    }

    /// Who connected.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let peer = SockRef::from(&self.io).peer_addr()?;
        peer.as_socket()
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

impl<S> Stream<S> {
    /// Gives the stream inside. A stop does not wait for its first read any more, and does not end its blocking reads.
    pub fn into_inner(self) -> S {
        self.io
    }

    /// The stream inside, for its options.
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Something was read, or the end was.
    pub(super) fn note_read(&mut self) {
        self.unread = None;
    }
}

/// For async reads.
#[cfg(feature = "tokio")]
impl<S> Stream<S> {
    /// Notes a read, and puts off the report of the client's end by one poll of the task.
    ///
    /// A client may send its request and close its sending side (`shutdown(2)`, `SHUT_WR`). HTTP servers on hyper read on
    /// while a request is in flight, and drop it unanswered when they see the end before its handler was polled. Whether
    /// they see it so early depends on how tokio learned that the socket is readable. Putting it off once lets the
    /// handler run first, always. A handler that waits for something is cancelled at the next poll, as before.
    pub(super) fn note_poll(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<()>>,
        is_end: bool,
    ) -> Poll<io::Result<()>> {
        if result.is_pending() {
            return result;
        }
        let has_read_before = self.unread.is_none();
        self.note_read();
        if is_end && has_read_before && !self.has_deferred_end {
            self.has_deferred_end = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        result
    }
}

/// For what stands between the descriptor and the first read, such as TLS.
#[cfg(feature = "tls")]
impl<S> Stream<S> {
    /// Puts a layer over the stream inside; the note stays, and is still dropped first.
    pub(super) fn map<T>(self, layer: impl FnOnce(S) -> T) -> Stream<T> {
        Stream {
            unread: self.unread,
            blocking: self.blocking,
            has_deferred_end: self.has_deferred_end,
            io: layer(self.io),
        }
    }

    /// The layer waits, and may have taken bytes that nobody has read yet.
    pub(super) fn note_heard(&self) {
        if let Some(unread) = &self.unread {
            unread.intake.stream_heard(unread.fd);
        }
    }

    /// The layer said something that the client waits for.
    pub(super) fn note_answered(&self) {
        if let Some(unread) = &self.unread {
            let now = std::time::Instant::now();
            unread.intake.stream_answered(unread.fd, now);
        }
    }

    /// The layer holds bytes that can be read.
    pub(super) fn note_holds_bytes(&self) {
        if let Some(unread) = &self.unread {
            unread.intake.stream_holds_bytes(unread.fd);
        }
    }
}

impl Read for Stream<TcpStream> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.io.read(buffer);
        self.note_result(&result);
        result
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let result = self.io.read_vectored(buffers);
        self.note_result(&result);
        result
    }
}

impl Stream<TcpStream> {
    /// One whose reads wait for bytes: a drain ends them where none come.
    pub(super) fn blocking(io: TcpStream, intake: &Arc<Intake>) -> Self {
        let blocking = BlockingNote::new(io.as_raw_fd(), intake);
        Self {
            blocking: Some(blocking),
            ..Self::new(io, intake)
        }
    }

    fn note_result(&mut self, result: &io::Result<usize>) {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            _ => self.note_read(),
        }
        if let (Some(blocking), Ok(1..)) = (&self.blocking, result) {
            blocking.note(LastUse::Read);
        }
    }

    fn note_written(&self, result: io::Result<usize>) -> io::Result<usize> {
        if let (Some(blocking), Ok(1..)) = (&self.blocking, &result) {
            blocking.note(LastUse::Answered);
        }
        result
    }
}

impl Write for Stream<TcpStream> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let result = self.io.write(buffer);
        self.note_written(result)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = self.io.write_vectored(buffers);
        self.note_written(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.io.flush()
    }
}

impl<S: AsFd> AsFd for Stream<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

/// The note in the intake; its end is the first read, or the end of the stream.
#[derive(Debug)]
struct Unread {
    fd: RawFd,
    intake: Arc<Intake>,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.intake.stream_read(self.fd);
    }
}
