//! Blocking streams, and the end of their reads in a drain.
//!
//! A thread that waits in read(2) does not learn that its worker drains. `shutdown(2)` with
//! `SHUT_RD` makes the read return 0, as if the client had closed the connection, which every
//! server handles. Bytes that have arrived stay readable.
//!
//! Knows how long each client has been silent. Does not know how long it may be: the worker decides
//! that.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::sys;

/// All blocking streams of a process.
pub(super) struct BlockingStreams {
    streams: Mutex<HashMap<RawFd, WatchedStream>>,
    is_draining: Arc<AtomicBool>,
    /// Called when a stream is used during a drain.
    on_change: Arc<dyn Fn() + Send + Sync>,
}

#[derive(Debug)]
struct WatchedStream {
    is_mid_request: Arc<AtomicBool>,
    /// The last read or write during the drain, or the accept if that was during the drain.
    last_used: Option<Instant>,
    is_ended: bool,
}

/// The last use of a blocking stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastIo {
    /// None yet, or a write: the client sends next.
    Answered,
    /// A read: a request may be incomplete.
    Read,
}

/// Registers one blocking stream. Dropping it removes the stream.
#[derive(Debug)]
pub(super) struct BlockingStreamGuard {
    fd: RawFd,
    is_mid_request: Arc<AtomicBool>,
    all: Arc<BlockingStreams>,
}

impl BlockingStreamGuard {
    pub(super) fn new(fd: RawFd, all: &Arc<BlockingStreams>) -> Self {
        let is_mid_request = Arc::<AtomicBool>::default();
        let watched = WatchedStream {
            is_mid_request: Arc::clone(&is_mid_request),
            last_used: all.is_draining().then(Instant::now),
            is_ended: false,
        };
        all.streams().insert(fd, watched);
        let note = Self {
            fd,
            is_mid_request,
            all: Arc::clone(all),
        };
        note.report();
        note
    }

    pub(super) fn note(&self, last_use: LastIo) {
        let is_mid_request = last_use == LastIo::Read;
        self.is_mid_request.store(is_mid_request, Ordering::Release);
        self.report();
    }

    /// Notes the time of a use. It counts only in a drain.
    fn report(&self) {
        if !self.all.is_draining() {
            return;
        }
        if let Some(watched) = self.all.streams().get_mut(&self.fd) {
            watched.last_used = Some(Instant::now());
        }
        (self.all.on_change)();
    }
}

impl Drop for BlockingStreamGuard {
    fn drop(&mut self) {
        self.all.streams().remove(&self.fd);
    }
}

impl BlockingStreams {
    pub(super) fn new(
        is_draining: Arc<AtomicBool>,
        on_change: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            streams: Mutex::default(),
            is_draining,
            on_change,
        }
    }

    /// Ends the reads of clients that have been silent for too long.
    ///
    /// `silent_until` returns until when a client may be silent. Returns when to call this again if
    /// nothing changes before.
    pub(super) fn end_silent_reads(
        &self,
        now: Instant,
        silent_until: impl Fn(LastIo, Option<Instant>) -> Instant,
    ) -> Option<Instant> {
        // No descriptor is closed while the lock is held.
        let mut streams = self.streams();
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for (&fd, watched) in streams.iter().filter(|(_, watched)| !watched.is_ended) {
            let until = silent_until(watched.last_use(), watched.last_used);
            if now >= until {
                due.push(fd);
            } else {
                next = Some(next.map_or(until, |next| next.min(until)));
            }
        }
        // A client with unread bytes is not silent. The read of these bytes will be reported.
        for fd in sys::fds::unreadable(&due) {
            sys::fds::end_reads(fd);
            if let Some(watched) = streams.get_mut(&fd) {
                watched.is_ended = true;
            }
        }
        next
    }

    pub(super) fn has_ended(&self, fd: RawFd) -> bool {
        let streams = self.streams();
        streams.get(&fd).is_some_and(|watched| watched.is_ended)
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<RawFd, WatchedStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BlockingStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingStreams").finish_non_exhaustive()
    }
}

impl WatchedStream {
    fn last_use(&self) -> LastIo {
        if self.is_mid_request.load(Ordering::Acquire) {
            LastIo::Read
        } else {
            LastIo::Answered
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::net::tracker::ConnTracker;
    use crate::net::{Socket, Stream};

    #[test]
    fn a_stream_whose_reads_were_ended_has_nothing_to_read() {
        let bound = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let _client = TcpStream::connect(bound.local_addr().expect("bound")).expect("it listens");
        let (io, _) = bound.accept().expect("a client waits");
        let tracker = Arc::new(ConnTracker::new(|| {}, || {}).expect("descriptors"));
        let (unix, _other) = UnixStream::pair().expect("descriptors");
        let streams = [Socket::Tcp(io), Socket::Unix(unix)];
        let streams = streams.map(|socket| Stream::blocking(socket, &tracker));
        let now = Instant::now();
        assert_eq!(tracker.end_silent_reads(now, |_, _| now), None);
        assert!(!tracker.has_readable());
        for mut stream in streams {
            assert_eq!(stream.read(&mut [0]).expect("a connection"), 0);
        }
    }
}
