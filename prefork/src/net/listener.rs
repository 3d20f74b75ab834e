//! The plain listener: listening sockets that drain when the worker is asked to stop.
//!
//! Knows how accepts wait and what they report; does not know why the worker drains or when the
//! process exits.

use std::io;
use std::iter::{self, FusedIterator};
use std::net;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use prefork_options::Addr;
use socket2::SockRef;

use super::accept_error::{AcceptError, RETRY, classify};
use super::listener_sockets::{AcceptStep, ListenerSockets};
use super::shared_socket::{SharedSocket, SlotSocket};
use super::socket_set::SocketSet;
use super::tracker::ConnTracker;
use super::{Socket, Stream};
use crate::sys::accept::AcceptMode;
use crate::sys::addr::from_sock_addr;

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
/// - A listener of a host name with several addresses has a socket for each. It accepts from all of
///   them in turn.
///
/// All methods take `&self`: threads or tasks may accept from one listener at the same time.
/// Cancelling an accept loses no connection.
#[derive(Debug)]
pub struct Listener {
    /// Its index among the listeners of the process, for what it reports.
    index: usize,
    addr: Addr,
    /// The descriptor that [`as_fd`](Self::as_fd) has returned.
    borrowed: OnceLock<Arc<OwnedFd>>,
    sockets: Arc<ListenerSockets>,
    /// The last accept failed because no descriptors or no memory were left.
    is_short: AtomicBool,
    pub(crate) tracker: Arc<ConnTracker>,
}

impl Listener {
    /// Creates a listener over sockets that are already bound and non-blocking.
    ///
    /// `addr` is the address of the first one. Without a list, the listener has already ended: the
    /// worker is shutting down. Sockets may [come later](ListenerSockets::adopt).
    pub(crate) fn new(
        index: usize,
        addr: Addr,
        sockets: Option<Vec<SlotSocket>>,
        tracker: &Arc<ConnTracker>,
    ) -> Self {
        Self {
            index,
            addr,
            borrowed: OnceLock::new(),
            sockets: Arc::new(ListenerSockets::new(sockets, tracker)),
            is_short: AtomicBool::new(false),
            tracker: Arc::clone(tracker),
        }
    }

    /// The sockets, for changes while the program holds the listener.
    pub(crate) fn sockets(&self) -> Weak<ListenerSockets> {
        Arc::downgrade(&self.sockets)
    }

    fn outside_of_a_worker(fd: OwnedFd) -> io::Result<Self> {
        let socket = SockRef::from(&fd);
        socket.set_nonblocking(true)?;
        let addr = from_sock_addr(&socket.local_addr()?).ok_or(io::ErrorKind::Unsupported)?;
        let tracker = ConnTracker::without_monitor()?;
        Ok(Self::new(
            0,
            addr,
            Some(vec![SlotSocket { slot: 0, fd }]),
            &Arc::new(tracker),
        ))
    }

    /// Returns the address of the socket, also after the listener has ended.
    ///
    /// If the listener has several, it is the first one;
    /// [`ListenerInfo::addresses`](crate::ListenerInfo::addresses) returns all.
    ///
    /// # Errors
    /// Never fails; returns a `Result` like the listeners of the standard library and tokio.
    pub fn local_addr(&self) -> io::Result<Addr> {
        Ok(self.addr.clone())
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
    pub fn blocking_accept(&self) -> Option<io::Result<(Stream, Addr)>> {
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
    pub(super) fn incoming_item<S>(&self, accepted: io::Result<(S, Addr)>) -> io::Result<S> {
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

    fn blocking_accept_once(&self) -> Option<io::Result<(Stream, Addr)>> {
        // The descriptor of the socket that has woken this thread.
        let mut woken_by = None;
        loop {
            let set = match self.accept_step(AcceptMode::Blocking) {
                Ok(AcceptStep::Wait(set)) => set,
                Ok(AcceptStep::Gated) => {
                    if let Some(fd) = woken_by.take() {
                        self.sockets.pass_on(fd);
                    }
                    self.tracker.wait_for_gate();
                    continue;
                }
                Ok(AcceptStep::Drained(io, peer, _socket)) => {
                    return Some(Ok((Stream::blocking(io, &self.tracker), peer)));
                }
                Ok(AcceptStep::Ended) => return None,
                Err(error) => return Some(Err(error)),
            };
            let accepted = accept_from(&set, woken_by);
            if let Err(error) = &accepted
                && self.ends_with_master(error)
            {
                drop(set);
                self.await_drain();
                return None;
            }
            match (woken_by.take(), &accepted) {
                (Some(fd), Ok(Some(_))) => self.sockets.move_back(fd),
                (Some(fd), Err(_)) => self.sockets.pass_on(fd),
                (Some(_), Ok(None)) | (None, _) => {}
            }
            match self.note(accepted) {
                Ok(Some((io, peer))) => {
                    return Some(Ok((Stream::blocking(io, &self.tracker), peer)));
                }
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
            match self.sockets.wait(set) {
                Ok(fd) => woken_by = fd,
                Err(nix::Error::EINTR) => {}
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
        let accept = |socket: &SharedSocket| self.note(socket.accept_one(mode));
        self.sockets.accept_step(accept)
    }

    /// The number of connections in the queues; 0 if it is unknown.
    pub(crate) fn queue_length(&self) -> usize {
        self.sockets.queue_length()
    }

    /// Ends the listener: it accepts nothing more.
    pub(super) fn end(&self) {
        self.sockets.end();
    }

    /// Ends the listener and returns true if accept failed because the master is dead.
    ///
    /// After the master's death, a worker that has drained calls shutdown(2) on the shared socket.
    pub(super) fn ends_with_master(&self, error: &io::Error) -> bool {
        let is_over = classify(error) == AcceptError::Permanent && self.tracker.is_orphan();
        if is_over {
            self.end();
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
                self.tracker.health.note_shortage(self.index, error);
            }
            // The worker is draining already.
            _ if self.tracker.is_draining() => {}
            // `OfConnection` arrives here only after too many failures in a row.
            AcceptError::Permanent | AcceptError::OfConnection => {
                self.tracker.health.fail(self.index, error);
            }
        }
    }

    /// The accept queue is empty. Then no shortage exists: accept4(2) allocates a descriptor before
    /// it looks at the queue.
    pub(super) fn note_queue_empty(&self) {
        self.note_works(|| true);
    }

    pub(super) fn note_accepted(&self) {
        self.note_works(|| self.tracker.health.is_shortage_old(self.index));
    }

    fn note_works(&self, is_over: impl FnOnce() -> bool) {
        if self.is_short.load(Ordering::Relaxed) && is_over() {
            self.is_short.store(false, Ordering::Relaxed);
            self.tracker.health.note_accept_works(self.index);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The monitor thread may hold the sockets at this time.
        self.end();
    }
}

/// For the options of the socket, for example with `socket2::SockRef`; of the first one if there are
/// several.
///
/// When the listener closes the socket, the descriptor stays open but no longer refers to it.
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        if let Some(fd) = self.borrowed.get() {
            return fd.as_fd();
        }
        match self.sockets.first() {
            Some(fd) => self.borrowed.get_or_init(|| fd).as_fd(),
            None => self.tracker.drain_fd(),
        }
    }
}

/// Accepts one connection; `None` if all queues are empty. Begins with the socket that has woken
/// this thread.
fn accept_from(set: &SocketSet, woken_by: Option<RawFd>) -> io::Result<Option<(Socket, Addr)>> {
    let attempt = |socket: &Arc<SharedSocket>| socket.accept_one(AcceptMode::Blocking).transpose();
    let accepted = match woken_by {
        Some(fd) => set.beginning_with(fd).find_map(attempt),
        None => set.in_turn().find_map(attempt),
    };
    accepted.transpose()
}

/// Creates a listener outside of a worker, for tests of server code.
impl TryFrom<net::TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: net::TcpListener) -> io::Result<Self> {
        Self::outside_of_a_worker(listener.into())
    }
}

/// Creates a listener outside of a worker, for tests of server code.
impl TryFrom<UnixListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: UnixListener) -> io::Result<Self> {
        Self::outside_of_a_worker(listener.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    use nix::fcntl::{FcntlArg, fcntl};
    use nix::sys::socket::{Shutdown, shutdown};

    use super::*;
    use crate::net::{AcceptGate, DrainPolicy};

    fn of_slot_0(fd: impl Into<OwnedFd>) -> SlotSocket {
        let fd = fd.into();
        SlotSocket { slot: 0, fd }
    }

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
        listener.tracker.close_gate(AcceptGate::Master);
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
            listener.tracker.open_gate(AcceptGate::Master);
            for accept in accepts {
                drop(accept.join().expect("it only accepts").expect("a client"));
            }
        });
    }

    #[test]
    fn both_gates_must_be_open() {
        let (listener, _copy, _clients) = gated(1);
        listener.tracker.close_gate(AcceptGate::Readiness);
        for gate in [AcceptGate::Master, AcceptGate::Readiness] {
            let step = listener.accept_step(AcceptMode::Blocking);
            assert!(matches!(step, Ok(AcceptStep::Gated)), "{gate:?}");
            listener.tracker.open_gate(gate);
        }
        let step = listener.accept_step(AcceptMode::Blocking);
        assert!(matches!(step, Ok(AcceptStep::Wait(_))));
    }

    #[test]
    fn a_blocking_accept_that_waits_takes_nothing_after_the_gate_has_closed() {
        let (listener, copy, _clients) = gated(0);
        listener.tracker.open_gate(AcceptGate::Master);
        let addr = copy.local_addr().expect("bound");
        std::thread::scope(|scope| {
            let accept = scope.spawn(|| listener.blocking_accept().expect("no drain"));
            // Most likely it waits by now. The test passes in every order.
            std::thread::sleep(Duration::from_millis(20));
            listener.tracker.close_gate(AcceptGate::Readiness);
            let _client = net::TcpStream::connect(addr).expect("it listens");
            accept_in_other_worker(&copy);
            assert_eq!(listener.tracker.progress().unread, 0);
            listener.tracker.open_gate(AcceptGate::Readiness);
            let _client = net::TcpStream::connect(addr).expect("it listens");
            drop(accept.join().expect("it only accepts").expect("a client"));
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
        listener.tracker.open_gate(AcceptGate::Master);
        assert!(listener.blocking_accept().is_none());
    }

    #[test]
    fn a_unix_listener_accepts_its_queue_in_a_drain_and_frees_the_path() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("app.sock");
        let bound = UnixListener::bind(&path).expect("a free path");
        let tracker = Arc::new(ConnTracker::new(|| {}, || {}).expect("descriptors"));
        bound.set_nonblocking(true).expect("a socket");
        let copy = bound.try_clone().expect("descriptors");
        let addr = Addr::UnixPath(path.clone());
        let listener = Listener::new(0, addr.clone(), Some(vec![of_slot_0(bound)]), &tracker);
        assert_eq!(listener.local_addr().ok(), Some(addr));
        let connect = || std::os::unix::net::UnixStream::connect(&path);
        let mut clients = [(); 3].map(|()| connect().expect("it listens"));
        for client in &mut clients {
            client.write_all(b"a").expect("there is space");
        }
        let accept = || {
            listener
                .blocking_accept()
                .map(|accepted| accepted.expect("a client"))
        };
        let (first, peer) = accept().expect("a client");
        assert_eq!(peer, Addr::UnixUnnamed);
        assert_eq!(first.peer_addr().ok(), Some(peer));
        first.set_nodelay(true).expect("it has no effect");
        tracker.begin_drain(DrainPolicy {
            frees_address: true,
            ..drain_policy()
        });
        for _ in 0..2 {
            let (mut stream, _) = accept().expect("a client that was in the queue");
            assert_eq!(stream.read(&mut [0]).ok(), Some(1));
        }
        assert!(accept().is_none());
        connect().expect_err("the socket is shut down, also in other processes");
        drop(copy);
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

    /// Two workers without a master that share a listening socket, and its address.
    fn orphans() -> ([(Listener, Arc<ConnTracker>); 2], net::SocketAddr) {
        let bound = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = bound.local_addr().expect("bound");
        bound.set_nonblocking(true).expect("a socket");
        let copy = bound.try_clone().expect("descriptors");
        let orphans = [bound, copy].map(|socket| {
            let tracker = Arc::new(ConnTracker::new(|| {}, || {}).expect("descriptors"));
            let listener = Listener::new(0, addr.into(), Some(vec![of_slot_0(socket)]), &tracker);
            (listener, tracker)
        });
        (orphans, addr)
    }

    fn accept_from(listener: &Listener, client: &net::TcpStream) -> Stream {
        let accepted = listener.blocking_accept().expect("a connection waits");
        let (stream, peer) = accepted.expect("the socket is open");
        assert_eq!(peer, client.local_addr().expect("connected"));
        stream
    }

    fn is_free(addr: net::SocketAddr) -> bool {
        net::TcpListener::bind(addr).is_ok()
    }

    #[test]
    fn without_a_master_late_clients_are_accepted_and_an_empty_queue_frees_the_address() {
        let ([(first, of_first), (_second, of_second)], addr) = orphans();
        let policy = DrainPolicy {
            frees_address: true,
            ..drain_policy()
        };
        let early = net::TcpStream::connect(addr).expect("it listens");
        of_first.begin_drain(policy);
        of_second.begin_drain(policy);
        let earlier = accept_from(&first, &early);
        let late = net::TcpStream::connect(addr).expect("it listens");
        let later = accept_from(&first, &late);
        assert!(!is_free(addr));
        assert!(first.blocking_accept().is_none());
        drop((earlier, later, early, late));
        net::TcpStream::connect(addr).expect_err("the socket is shut down");
        assert!(is_free(addr), "although another worker holds a copy");
    }

    /// On other systems, the length of the queue is unknown, and there is no master.
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    #[test]
    fn without_a_master_a_queue_that_another_worker_will_accept_is_not_shut_down() {
        for (is_dropped, leaves_backlog) in [(true, false), (false, true)] {
            let ([(first, of_first), (second, of_second)], addr) = orphans();
            let client = net::TcpStream::connect(addr).expect("it listens");
            let policy = DrainPolicy {
                frees_address: true,
                ..drain_policy()
            };
            of_first.begin_drain(DrainPolicy {
                leaves_backlog,
                ..policy
            });
            if is_dropped {
                drop(first);
            } else {
                assert!(first.blocking_accept().is_none());
            }
            of_second.begin_drain(policy);
            let _stream = accept_from(&second, &client);
            assert!(second.blocking_accept().is_none());
            net::TcpStream::connect(addr).expect_err("the socket is shut down");
        }
    }

    #[test]
    fn without_a_master_the_address_is_free_when_the_time_is_over() {
        let ([(first, of_first), _second], addr) = orphans();
        let _client = net::TcpStream::connect(addr).expect("it listens");
        of_first.begin_drain(DrainPolicy {
            frees_address: true,
            ..drain_policy()
        });
        of_first.shorten_drain(Instant::now());
        assert!(first.blocking_accept().is_none());
        net::TcpStream::connect(addr).expect_err("the socket is shut down");
    }

    #[test]
    fn in_a_drain_a_listener_that_cannot_accept_has_ended() {
        let bound = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = bound.local_addr().expect("bound");
        let _client = net::TcpStream::connect(addr).expect("it listens");
        let copy = bound.try_clone().expect("descriptors");
        bound.set_nonblocking(true).expect("a socket");
        let tracker = Arc::new(ConnTracker::new(|| {}, || {}).expect("descriptors"));
        let listener = Listener::new(0, addr.into(), Some(vec![of_slot_0(bound)]), &tracker);
        shutdown(copy.as_raw_fd(), Shutdown::Both).expect("it listens");
        tracker.begin_drain(drain_policy());
        assert!(listener.blocking_accept().is_none());
        assert_eq!(tracker.progress().listeners, 0);
    }

    /// A listener with two sockets, and their addresses.
    fn with_two_sockets() -> (Listener, [net::SocketAddr; 2]) {
        let bound = [(); 2].map(|()| net::TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let addrs = bound.each_ref().map(|one| one.local_addr().expect("bound"));
        for one in &bound {
            one.set_nonblocking(true).expect("a socket");
        }
        let tracker = Arc::new(ConnTracker::new(|| {}, || {}).expect("descriptors"));
        let sockets = bound.map(of_slot_0).into();
        let listener = Listener::new(0, addrs[0].into(), Some(sockets), &tracker);
        (listener, addrs)
    }

    fn connect(addr: net::SocketAddr) -> net::TcpStream {
        net::TcpStream::connect(addr).expect("it listens")
    }

    /// Accepts connections, and returns to which of the addresses each client has connected.
    fn accept_each(listener: &Listener, addrs: [net::SocketAddr; 2], count: usize) -> Vec<usize> {
        let accept = |_| {
            let (stream, _) = listener.blocking_accept()?.expect("a client");
            let socket = SockRef::from(&stream).local_addr().expect("a connection");
            let local = socket.as_socket().expect("an IP address");
            addrs.iter().position(|addr| *addr == local)
        };
        (0..count).filter_map(accept).collect()
    }

    #[test]
    fn all_sockets_are_accepted_from_in_turn() {
        let (listener, addrs) = with_two_sockets();
        let _clients = [0, 0, 0, 0, 1, 1].map(|index| connect(addrs[index]));
        let mut first = accept_each(&listener, addrs, 4);
        first.sort_unstable();
        assert_eq!(
            first,
            [0, 0, 1, 1],
            "a busy socket does not delay the other one"
        );
        assert_eq!(accept_each(&listener, addrs, 2), [0, 0]);
        assert_eq!(listener.local_addr().ok(), Some(addrs[0].into()));
    }

    #[test]
    fn a_blocking_accept_waits_for_each_socket() {
        let (listener, addrs) = with_two_sockets();
        for (index, addr) in addrs.into_iter().enumerate().cycle().take(4) {
            std::thread::scope(|scope| {
                let accept = scope.spawn(|| accept_each(&listener, addrs, 1));
                // Most likely it waits by now. The test passes in every order.
                std::thread::sleep(Duration::from_millis(5));
                let _client = connect(addr);
                assert_eq!(accept.join().expect("it only accepts"), [index]);
            });
        }
    }

    #[test]
    fn a_drain_empties_and_closes_every_socket() {
        for policy in [
            drain_policy(),
            DrainPolicy {
                frees_address: true,
                ..drain_policy()
            },
        ] {
            let (listener, addrs) = with_two_sockets();
            assert_eq!(listener.tracker.progress().listeners, 2);
            let _clients = [1, 1, 0, 1].map(|index| connect(addrs[index]));
            listener.tracker.begin_drain(policy);
            let mut accepted = accept_each(&listener, addrs, 4);
            accepted.sort_unstable();
            assert_eq!(accepted, [0, 1, 1, 1]);
            assert!(listener.blocking_accept().is_none());
            assert_eq!(listener.tracker.progress().listeners, 0);
            for addr in addrs {
                net::TcpStream::connect(addr).expect_err("the socket is closed");
            }
        }
    }

    #[test]
    fn a_drain_that_leaves_the_queue_closes_every_socket_at_once() {
        let (listener, addrs) = with_two_sockets();
        let _clients = addrs.map(connect);
        listener.tracker.begin_drain(DrainPolicy {
            leaves_backlog: true,
            ..drain_policy()
        });
        assert!(listener.blocking_accept().is_none());
        assert_eq!(listener.tracker.progress().listeners, 0);
    }

    #[test]
    fn in_a_drain_a_socket_that_cannot_accept_does_not_end_the_others() {
        let (listener, addrs) = with_two_sockets();
        let _clients = [0, 1].map(|index| connect(addrs[index]));
        shutdown(listener.as_fd().as_raw_fd(), Shutdown::Both).expect("it listens");
        listener.tracker.begin_drain(drain_policy());
        assert_eq!(accept_each(&listener, addrs, 2), [1]);
        assert_eq!(listener.tracker.progress().listeners, 0);
    }
}
