//! An accepted connection that remembers whether the application has read from it.
//!
//! The reason: a graceful stop of hyper, and so of axum, drops a connection that was accepted and
//! not yet read, because it sees no request on it. So `shutdown()` waits, for a limited time, until
//! each accepted connection was read, and a request that was sent in time is answered.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};

use prefork_options::Addr;
use socket2::SockRef;

use super::Socket;
use super::blocking_streams::{BlockingStreamGuard, LastIo};
use super::tracker::ConnTracker;
use crate::sys::addr::from_sock_addr;

/// An accepted connection.
///
/// [`blocking_accept`](super::Listener::blocking_accept) returns it over a [`Socket`], the async
/// `accept` over an `AsyncSocket`. Both are TCP connections or connections of a unix socket. It
/// reads and writes like the inner socket, with one difference for each of the two:
///
/// - *Blocking*: a drain ends reads that wait for a silent client. Such a read returns 0, as if the
///   client had closed its side.
///   - If the client has sent nothing yet, or if the last use of the stream was a write, the read
///     ends after the client was silent for 250 ms, or for a quarter of `shutdown_grace_period` if
///     that is less.
///   - If the last use was a read, the request may be incomplete: the read ends after half of the
///     grace period, or after three quarters of it if the client still sends.
///   - Bytes that have arrived are always read first, and responses can still be written.
///   - Reads through a clone of the inner stream or through [`get_ref`](Self::get_ref) end as well,
///     but only reads and writes of this stream count as use.
/// - *Async*: if the client closes its sending side (`shutdown(2)`, `SHUT_WR`), a read reports the
///   end one poll of the task later. So a server on hyper begins to handle a request that arrived
///   together with the end.
#[derive(Debug)]
pub struct Stream<S = Socket> {
    /// First field, so that it is dropped before the descriptor is closed.
    counted: CountedStream,
    /// Before the descriptor as well. `None` if reads do not block.
    blocking: Option<BlockingStreamGuard>,
    /// The end of the client's side was seen, and its report was deferred once.
    #[cfg(feature = "tokio")]
    has_deferred_end: bool,
    pub(crate) io: S,
}

impl<S: AsFd> Stream<S> {
    pub(crate) fn new(io: S, tracker: &Arc<ConnTracker>) -> Self {
        Self {
            counted: CountedStream::new(io.as_fd().as_raw_fd(), tracker),
            blocking: None,
            #[cfg(feature = "tokio")]
            has_deferred_end: false,
            io,
        }
    }

    /// Sets the value of the option `TCP_NODELAY` (tcp(7)).
    ///
    /// If it is true, the kernel sends small writes without delay. Default: the option `nodelay` of
    /// the listener, or false. A unix socket never delays a write, so there it does nothing.
    ///
    /// # Errors
    /// The error of setsockopt(2): the connection is closed.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        set_nodelay(self.as_fd(), nodelay)
    }

    /// Returns the address of the client.
    ///
    /// # Errors
    /// The error of getpeername(2): the connection is closed.
    pub fn peer_addr(&self) -> io::Result<Addr> {
        peer_addr(self.as_fd())
    }
}

pub(crate) fn set_nodelay(socket: BorrowedFd<'_>, nodelay: bool) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    if socket.local_addr()?.is_unix() {
        return Ok(());
    }
    socket.set_tcp_nodelay(nodelay)
}

pub(crate) fn peer_addr(socket: BorrowedFd<'_>) -> io::Result<Addr> {
    let peer = SockRef::from(&socket).peer_addr()?;
    from_sock_addr(&peer).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

impl<S> Stream<S> {
    /// Returns the inner stream.
    ///
    /// After this, a stop neither waits for the first read of the stream nor ends its blocking
    /// reads, and [`streams_ended`](crate::streams_ended()) does not wait for its end.
    pub fn into_inner(self) -> S {
        self.io
    }

    /// Returns a reference to the inner stream, for example to set its options.
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Returns a mutable reference to the inner stream.
    ///
    /// Read through the [`Stream`] itself: a read through the reference does not count as one, so a
    /// stop waits for the stream as for a silent client.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.io
    }

    /// Bytes, the end or an error were read: the stream no longer counts as unread.
    pub(super) fn note_read(&mut self) {
        self.counted.note_read();
    }
}

/// For async reads.
#[cfg(feature = "tokio")]
impl<S> Stream<S> {
    /// Notes a read, and defers the report of the client's end by one poll of the task.
    ///
    /// A client may send its request and close its sending side (`shutdown(2)`, `SHUT_WR`). hyper
    /// keeps reading while a request is in flight, and drops the request if it sees the end before
    /// the handler was polled. Whether it sees the end so early depends on how tokio learned that
    /// the socket is readable. The deferred report lets the handler run first in all cases. A
    /// handler that waits for something is still cancelled at the next poll.
    pub(crate) fn note_poll(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<()>>,
        is_end: bool,
    ) -> Poll<io::Result<()>> {
        if result.is_pending() {
            return result;
        }
        let has_read_before = !self.counted.is_unread;
        self.note_read();
        if is_end && has_read_before && !self.has_deferred_end {
            self.has_deferred_end = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        result
    }
}

/// For an async layer between the descriptor and the application's first read, such as TLS.
#[cfg(feature = "tokio")]
impl<S> Stream<S> {
    /// Wraps the inner stream in a layer. The stream stays unread, and drops that note first.
    pub(crate) fn map<T>(self, layer: impl FnOnce(S) -> T) -> Stream<T> {
        Stream {
            counted: self.counted,
            blocking: self.blocking,
            has_deferred_end: self.has_deferred_end,
            io: layer(self.io),
        }
    }

    /// The layer waits for more bytes, and may have taken some from the descriptor.
    pub(crate) fn note_partial_read(&self) {
        if self.counted.is_unread {
            self.counted.tracker.note_partial_read(self.counted.fd);
        }
    }

    /// The layer has sent something that the client waits for.
    pub(crate) fn note_answered(&self) {
        if self.counted.is_unread {
            let now = std::time::Instant::now();
            self.counted.tracker.stream_answered(self.counted.fd, now);
        }
    }

    /// The layer holds bytes that the application can read.
    pub(crate) fn note_holds_bytes(&self) {
        if self.counted.is_unread {
            self.counted.tracker.stream_holds_bytes(self.counted.fd);
        }
    }
}

impl Read for Stream {
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

impl Stream {
    /// Creates a stream whose reads block. A drain ends them if the client is silent.
    pub(super) fn blocking(io: Socket, tracker: &Arc<ConnTracker>) -> Self {
        let blocking = BlockingStreamGuard::new(io.as_fd().as_raw_fd(), &tracker.silent_reads);
        Self {
            blocking: Some(blocking),
            ..Self::new(io, tracker)
        }
    }

    fn note_result(&mut self, result: &io::Result<usize>) {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            _ => self.note_read(),
        }
        if let (Some(blocking), Ok(1..)) = (&self.blocking, result) {
            blocking.note(LastIo::Read);
        }
    }

    fn note_written(&self, result: io::Result<usize>) -> io::Result<usize> {
        if let (Some(blocking), Ok(1..)) = (&self.blocking, &result) {
            blocking.note(LastIo::Answered);
        }
        result
    }
}

impl Write for Stream {
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

/// Counts the stream in the tracker: as unread until the first read, and until it is dropped.
#[derive(Debug)]
struct CountedStream {
    fd: RawFd,
    tracker: Arc<ConnTracker>,
    is_unread: bool,
}

impl CountedStream {
    fn new(fd: RawFd, tracker: &Arc<ConnTracker>) -> Self {
        tracker.stream_accepted(fd);
        Self {
            fd,
            tracker: Arc::clone(tracker),
            is_unread: true,
        }
    }

    fn note_read(&mut self) {
        if std::mem::take(&mut self.is_unread) {
            self.tracker.stream_read(self.fd);
        }
    }
}

impl Drop for CountedStream {
    fn drop(&mut self) {
        self.note_read();
        self.tracker.stream_ended();
    }
}
