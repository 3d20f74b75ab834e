//! The plain listener: a listening socket that drains when the worker is asked to stop.
//!
//! Knows the socket and the drain; does not know why the worker drains or when the process exits.

use std::io;
use std::iter::{self, FusedIterator};
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::accept_error::{AcceptError, FailedConnections, RETRY, classify};
use super::drain_quota::DrainQuota;
use super::stream::Stream;
use super::tracker::ConnTracker;
use crate::sys;
use crate::sys::accept::{AcceptMode, accept};

/// Accepts connections until the worker is asked to stop and the queue is empty.
///
/// - The first call of an accept method reports to the master that this worker is ready, even if
///   there is no connection yet.
/// - In a rollout, a new worker accepts nothing before the master lets it serve: until then its
///   accepts wait, and other workers accept the connections.
/// - When the worker is asked to stop, pending accepts wake up. The connections that are in the
///   accept queue at that time are still accepted, for at most half of the time that is left for
///   the stop. Then the socket is closed in this process.
/// - After that, [`blocking_accept`](Self::blocking_accept) returns `None`. The async `accept`
///   stays pending, so async code must also wait for [`shutdown`](crate::shutdown()).
/// - Dropping a listener closes its socket in this process.
///
/// All methods take `&self`: threads or tasks may accept from one listener at the same time.
/// Cancelling an accept loses no connection.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
    /// The descriptor that [`as_fd`](Self::as_fd) borrows. `None` if there never was a socket.
    fd: Option<Arc<OwnedFd>>,
    state: Mutex<ListenerState>,
    /// The last accept failed because no descriptors or no memory were left.
    is_short: AtomicBool,
    pub(crate) tracker: Arc<ConnTracker>,
}

#[derive(Debug)]
enum ListenerState {
    Open(Arc<SharedSocket>),
    Draining(Arc<SharedSocket>, DrainQuota),
    Ended,
}

/// What an accept does next.
pub(crate) enum AcceptStep {
    /// Wait until the gate opens or the drain begins.
    Gated,
    /// Wait for a connection or for the beginning of the drain.
    Wait(Arc<SharedSocket>),
    /// A connection that was queued when the drain began.
    ///
    /// The caller holds the socket until the stream is counted as unread. Otherwise the drain could
    /// see neither an open listener nor an unread stream, and end too early.
    Drained(OwnedFd, SocketAddr, Arc<SharedSocket>),
    /// The listener accepts nothing more.
    Ended,
}

impl Listener {
    /// Creates a listener over a socket that is already bound and non-blocking.
    pub(crate) fn new(fd: OwnedFd, addr: SocketAddr, tracker: &Arc<ConnTracker>) -> Self {
        tracker.listener_opened();
        let fd = Arc::new(fd);
        let socket = SharedSocket {
            fd: Arc::clone(&fd),
            #[cfg(feature = "tokio")]
            on_tokio: std::sync::OnceLock::new(),
            tracker: Arc::clone(tracker),
        };
        let state = ListenerState::Open(Arc::new(socket));
        Self {
            fd: Some(fd),
            state: Mutex::new(state),
            ..Self::ended(addr, tracker)
        }
    }

    /// Creates a listener that has already ended: the worker is shutting down.
    pub(crate) fn ended(addr: SocketAddr, tracker: &Arc<ConnTracker>) -> Self {
        Self {
            addr,
            fd: None,
            state: Mutex::new(ListenerState::Ended),
            is_short: AtomicBool::new(false),
            tracker: Arc::clone(tracker),
        }
    }

    /// Returns the address of the socket, also after the listener has ended.
    ///
    /// # Errors
    /// Never fails; returns a `Result` like the listeners of the standard library and tokio.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    /// Blocks this thread until there is a connection.
    ///
    /// Returns `None` when the worker was asked to stop and the queue is empty.
    ///
    /// # Errors
    /// The socket can no longer accept, for example because code in one of the workers called
    /// shutdown(2) on it (`EINVAL`). The error is permanent: the worker drains and exits with
    /// status 71, even if `main` ignores the error.
    ///
    /// Two kinds of errors of accept(2) are not returned:
    ///
    /// - No descriptors or no memory are left (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`).
    ///   Connections wait in the queue, and the listener retries every 100 ms. One log line reports
    ///   the beginning of such a shortage, and one its end.
    /// - One connection failed (`ECONNABORTED` and others). The next one is accepted.
    pub fn blocking_accept(&self) -> Option<io::Result<(Stream, SocketAddr)>> {
        self.tracker.note_accept();
        loop {
            match self.blocking_accept_once()? {
                Err(error) if classify(&error) == AcceptError::Shortage => self.pause(),
                accepted => return Some(accepted),
            }
        }
    }

    /// Returns an iterator over the connections that this thread accepts.
    ///
    /// It blocks like [`blocking_accept`](Self::blocking_accept), and ends when that returns
    /// `None`. [`Stream::peer_addr`] returns the address of a client.
    ///
    /// # Errors
    /// Those of [`blocking_accept`](Self::blocking_accept). An error is the last item, and the
    /// listener has ended.
    ///
    /// # Examples
    /// ```no_run
    /// # use std::io::Write;
    /// # fn serve(listener: prefork::net::Listener) -> std::io::Result<()> {
    /// for stream in listener.blocking_incoming() {
    ///     // An error of one client must not end the worker.
    ///     let _ = stream?.write_all(b"hello\n");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn blocking_incoming(&self) -> impl FusedIterator<Item = io::Result<Stream>> + '_ {
        iter::from_fn(|| Some(self.incoming_item(self.blocking_accept()?))).fuse()
    }

    /// The stream of an accepted connection, as an item of `incoming`. An error ends the listener.
    pub(super) fn incoming_item<S>(&self, accepted: io::Result<(S, SocketAddr)>) -> io::Result<S> {
        let accepted = accepted.inspect_err(|_| self.end());
        accepted.map(|(stream, _peer)| stream)
    }

    /// Waits in a shortage. The beginning of a drain ends the wait.
    fn pause(&self) {
        if self.tracker.is_draining() {
            // The descriptor of the drain is readable already, so poll would not wait.
            return std::thread::sleep(RETRY);
        }
        let mut polled = [PollFd::new(self.tracker.drain_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(RETRY).unwrap_or(PollTimeout::MAX);
        // A signal only shortens the wait.
        let _ = poll(&mut polled, timeout);
    }

    fn blocking_accept_once(&self) -> Option<io::Result<(Stream, SocketAddr)>> {
        loop {
            let socket = match self.accept_step(AcceptMode::Blocking) {
                Ok(AcceptStep::Wait(socket)) => socket,
                Ok(AcceptStep::Gated) => {
                    self.tracker.wait_for_gate();
                    continue;
                }
                Ok(AcceptStep::Drained(fd, peer, _socket)) => {
                    return Some(Ok((Stream::blocking(fd.into(), &self.tracker), peer)));
                }
                Ok(AcceptStep::Ended) => return None,
                Err(error) => return Some(Err(error)),
            };
            let accepted = accept_one(&socket, AcceptMode::Blocking);
            if let Err(error) = &accepted
                && self.ends_with_master(error)
            {
                drop(socket);
                self.await_drain();
                return None;
            }
            match self.note(accepted) {
                Ok(Some((fd, peer))) => {
                    return Some(Ok((Stream::blocking(fd.into(), &self.tracker), peer)));
                }
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
            let readable = PollFlags::POLLIN;
            let mut polled = [
                PollFd::new(socket.as_fd(), readable),
                PollFd::new(self.tracker.drain_fd(), readable),
            ];
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(errno) => return Some(Err(errno.into())),
            }
        }
    }

    /// Waits, for at most 1 s, until the monitor thread sees the master's death and begins the
    /// drain.
    ///
    /// The monitor has work to do before `main` returns.
    fn await_drain(&self) {
        const LIMIT: u16 = 1_000;
        let mut polled = [PollFd::new(self.tracker.drain_fd(), PollFlags::POLLIN)];
        // A signal only shortens the wait.
        let _ = poll(&mut polled, PollTimeout::from(LIMIT));
    }

    /// Returns what an accept does next. Begins the drain of this listener, if there is one. Never
    /// waits.
    pub(crate) fn accept_step(&self, mode: AcceptMode) -> io::Result<AcceptStep> {
        let mut state = self.state();
        if let (ListenerState::Open(socket), Some(drain)) = (&*state, self.tracker.drain()) {
            let rest = DrainQuota::of(socket.as_fd(), drain);
            *state = ListenerState::Draining(Arc::clone(socket), rest);
        }
        match &mut *state {
            ListenerState::Open(_) if self.tracker.is_gated() => Ok(AcceptStep::Gated),
            ListenerState::Open(socket) => Ok(AcceptStep::Wait(Arc::clone(socket))),
            ListenerState::Draining(socket, rest) => {
                let accepted = if rest.is_over(Instant::now()) {
                    Ok(None)
                } else {
                    self.note(accept_one(socket, mode))
                };
                if let Err(error) = &accepted
                    && classify(error) == AcceptError::Permanent
                {
                    // No queued connection can be accepted any more, and the worker is draining
                    // anyway.
                    *state = ListenerState::Ended;
                    return Ok(AcceptStep::Ended);
                }
                if let Some((fd, peer)) = accepted? {
                    rest.accepted_one();
                    let socket = Arc::clone(socket);
                    if rest.is_over(Instant::now()) {
                        // End now, not at the next call: it may come late or never.
                        *state = ListenerState::Ended;
                    }
                    return Ok(AcceptStep::Drained(fd, peer, socket));
                }
                *state = ListenerState::Ended;
                Ok(AcceptStep::Ended)
            }
            ListenerState::Ended => Ok(AcceptStep::Ended),
        }
    }

    /// Ends the listener: it accepts nothing more.
    pub(super) fn end(&self) {
        *self.state() = ListenerState::Ended;
    }

    /// Ends the listener and returns true if accept failed because the master is dead.
    ///
    /// After the master's death, a worker that has drained calls shutdown(2) on the shared socket.
    pub(super) fn ends_with_master(&self, error: &io::Error) -> bool {
        let is_over = classify(error) == AcceptError::Permanent && self.tracker.is_orphan();
        if is_over {
            *self.state() = ListenerState::Ended;
        }
        is_over
    }

    /// Notes whether accept works, for the log.
    fn note<C>(&self, accepted: io::Result<Option<C>>) -> io::Result<Option<C>> {
        match &accepted {
            Err(error) => self.note_error(error),
            Ok(None) => self.note_queue_empty(),
            Ok(Some(_)) => self.note_accepted(),
        }
        accepted
    }

    pub(super) fn note_error(&self, error: &io::Error) {
        match classify(error) {
            AcceptError::Shortage => {
                self.is_short.store(true, Ordering::Relaxed);
                self.tracker.health.note_shortage(self.addr, error);
            }
            // The worker is draining already.
            _ if self.tracker.is_draining() => {}
            // `OfConnection` arrives here only after too many failures in a row.
            AcceptError::Permanent | AcceptError::OfConnection => {
                self.tracker.health.fail(self.addr, error);
            }
        }
    }

    /// The accept queue is empty. Then no shortage exists: accept4(2) allocates a descriptor before
    /// it looks at the queue.
    pub(super) fn note_queue_empty(&self) {
        self.note_works(|| true);
    }

    pub(super) fn note_accepted(&self) {
        self.note_works(|| self.tracker.health.is_shortage_old(self.addr));
    }

    fn note_works(&self, is_over: impl FnOnce() -> bool) {
        if self.is_short.load(Ordering::Relaxed) && is_over() {
            self.is_short.store(false, Ordering::Relaxed);
            self.tracker.health.note_accept_works(self.addr);
        }
    }

    fn state(&self) -> MutexGuard<'_, ListenerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the options of the socket, for example with `socket2::SockRef`.
///
/// When the listener ends, the descriptor stays open but no longer refers to the socket.
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let fd = self.fd.as_ref();
        fd.map_or_else(|| self.tracker.drain_fd(), |fd| fd.as_fd())
    }
}

/// Accepts one connection; `None` if the queue is empty. Skips connections that failed in the
/// queue.
fn accept_one(
    socket: &SharedSocket,
    mode: AcceptMode,
) -> io::Result<Option<(OwnedFd, SocketAddr)>> {
    let mut failed = FailedConnections::default();
    loop {
        match accept(socket.as_fd(), mode) {
            Ok(connection) => return Ok(Some(connection)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted => {}
                _ if failed.allows_retry(&error) => {}
                _ => return Err(error),
            },
        }
    }
}

/// Creates a listener outside of a worker, for tests of server code.
impl TryFrom<net::TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let tracker = ConnTracker::without_monitor()?;
        Ok(Self::new(listener.into(), addr, &Arc::new(tracker)))
    }
}

/// The listening socket, shared by the listener and by accepts that wait on it.
///
/// It is closed when the last of them drops it. The number of its descriptor stays open until the
/// listener is dropped, because users may have borrowed it.
#[derive(Debug)]
pub(crate) struct SharedSocket {
    fd: Arc<OwnedFd>,
    /// A copy of the socket, registered with the runtime that called accept first.
    #[cfg(feature = "tokio")]
    pub(super) on_tokio: std::sync::OnceLock<tokio::net::TcpListener>,
    tracker: Arc<ConnTracker>,
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
            .is_some_and(|drain| drain.frees_address)
        {
            free_address(self.as_fd());
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

/// Ends listening in all processes that hold a copy of the socket, which frees the address.
///
/// The workers have accepted by then what was queued when the master died. Without this call, a
/// process that was forked from the master would keep the address for as long as it lives.
fn free_address(socket: BorrowedFd<'_>) {
    use nix::sys::socket::{Shutdown, shutdown};

    // Fails if another worker has done it before.
    let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::fcntl::{FcntlArg, fcntl};
    use nix::sys::socket::{Shutdown, shutdown};
    use socket2::SockRef;

    use super::*;
    use crate::net::DrainPolicy;

    fn drain_policy() -> DrainPolicy {
        DrainPolicy {
            until: Instant::now() + Duration::from_secs(30),
            leaves_backlog: false,
            frees_address: false,
        }
    }

    /// A listener whose gate is closed, a copy of its socket as another worker has it, and clients
    /// that wait in the queue.
    fn gated(clients: usize) -> (Listener, net::TcpListener, Vec<net::TcpStream>) {
        let bound = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = bound.local_addr().expect("bound");
        let copy = bound.try_clone().expect("descriptors");
        let clients = (0..clients).map(|_| net::TcpStream::connect(addr).expect("it listens"));
        let clients = clients.collect();
        let listener = Listener::try_from(bound).expect("descriptors");
        listener.tracker.close_gate();
        (listener, copy, clients)
    }

    /// The other worker accepts, as soon as the kernel has put the client into the queue.
    fn accept_in_other_worker(copy: &net::TcpListener) -> net::TcpStream {
        loop {
            match copy.accept() {
                Ok((stream, _)) => return stream,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_closed_gate_leaves_connections_in_the_queue() {
        let (listener, copy, _clients) = gated(2);
        let step = listener.accept_step(AcceptMode::Blocking);
        assert!(matches!(step, Ok(AcceptStep::Gated)));
        for _ in 0..2 {
            accept_in_other_worker(&copy);
        }
    }

    #[test]
    fn opening_the_gate_wakes_every_blocking_accept() {
        let (listener, _copy, _clients) = gated(3);
        std::thread::scope(|scope| {
            let accept = || listener.blocking_accept().expect("no drain");
            let accepts = [(); 3].map(|()| scope.spawn(accept));
            // Most likely they wait by now. The test passes in every order.
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(listener.tracker.progress().unread, 0);
            listener.tracker.open_gate();
            for accept in accepts {
                drop(accept.join().expect("it only accepts").expect("a client"));
            }
        });
    }

    #[test]
    fn a_drain_ends_blocking_accepts_at_a_closed_gate_and_leaves_the_queue() {
        let (listener, copy, _clients) = gated(2);
        std::thread::scope(|scope| {
            let accepts = [(); 2].map(|()| scope.spawn(|| listener.blocking_accept().is_none()));
            listener.tracker.begin_drain(DrainPolicy {
                leaves_backlog: true,
                ..drain_policy()
            });
            for accept in accepts {
                assert!(accept.join().expect("it only accepts"));
            }
        });
        assert_eq!(listener.tracker.progress().listeners, 0);
        for _ in 0..2 {
            accept_in_other_worker(&copy);
        }
        let addr = copy.local_addr().expect("bound");
        net::TcpStream::connect(addr).expect("the other worker still listens");
        // The frame crosses the drain.
        listener.tracker.open_gate();
        assert!(listener.blocking_accept().is_none());
    }

    #[test]
    fn a_permanent_error_is_returned_by_every_accept() {
        let bound = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let copy = bound.try_clone().expect("descriptors");
        let listener = Listener::try_from(bound).expect("descriptors");
        shutdown(copy.as_raw_fd(), Shutdown::Both).expect("it listens");
        for _ in 0..3 {
            let accepted = listener.blocking_accept().expect("no drain");
            let error = accepted.expect_err("the socket is shut down");
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn an_error_is_the_last_incoming_item() {
        let bound = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listener = Listener::try_from(bound).expect("descriptors");
        shutdown(listener.as_fd().as_raw_fd(), Shutdown::Both).expect("it listens");
        let items: Vec<_> = listener.blocking_incoming().take(2).collect();
        assert!(matches!(&items[..], [Err(_)]), "{items:?}");
    }

    #[test]
    fn in_a_drain_incoming_ends_and_the_borrowed_descriptor_stays_open() {
        let bound = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = bound.local_addr().expect("bound");
        let _client = net::TcpStream::connect(addr).expect("it listens");
        let listener = Listener::try_from(bound).expect("descriptors");
        let fd = listener.as_fd();
        assert!(SockRef::from(&fd).is_listener().expect("a socket"));
        listener.tracker.begin_drain(drain_policy());
        assert_eq!(listener.blocking_incoming().count(), 1);

        net::TcpStream::connect(addr).expect_err("the socket is closed");
        let flags = fcntl(fd, FcntlArg::F_GETFD).expect("the descriptor is open");
        assert_eq!(flags, libc::FD_CLOEXEC);
    }

    #[test]
    fn in_a_drain_a_listener_that_cannot_accept_has_ended() {
        let bound = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = bound.local_addr().expect("bound");
        let _client = net::TcpStream::connect(addr).expect("it listens");
        let copy = bound.try_clone().expect("descriptors");
        bound.set_nonblocking(true).expect("a socket");
        let tracker = Arc::new(ConnTracker::new(|| {}, || {}).expect("descriptors"));
        let listener = Listener::new(bound.into(), addr, &tracker);
        shutdown(copy.as_raw_fd(), Shutdown::Both).expect("it listens");
        tracker.begin_drain(drain_policy());
        assert!(listener.blocking_accept().is_none());
        assert_eq!(tracker.progress().listeners, 0);
    }
}
