//! A listening socket that knows when to stop.

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::accept_error::{AcceptError, FailedConnections, RETRY, classify};
use super::drained::Rest;
use super::intake::Intake;
use super::stream::Stream;
#[cfg(feature = "tls")]
use crate::sys;
use crate::sys::accept::{Mode, accept};

/// Accepts connections until the worker is asked to go, and then those that already wait.
///
/// - The first *call* of an accept tells the master that this worker serves.
/// - When the worker is asked to stop, pending accepts wake up. What waits in the queue at that
///   moment is still accepted (for at most half of the time that is left), then the socket is
///   closed in this process and [`blocking_accept`](Self::blocking_accept) returns `None`; the
///   async `accept` stays pending, since whoever awaits it is told by
///   [`shutdown`](crate::shutdown()).
/// - A listener that was dropped has ended.
///
/// All methods take `&self`: threads or tasks may accept from one listener at the same time, and
/// cancelling an accept loses no connection.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
    state: Mutex<State>,
    /// The last accept failed for lack of descriptors or memory.
    is_short: AtomicBool,
    pub(super) intake: Arc<Intake>,
}

#[derive(Debug)]
enum State {
    Open(Arc<Socket>),
    Draining(Arc<Socket>, Rest),
    Ended,
}

/// What an accept does next.
pub(super) enum Step {
    /// Wait for a connection, or for the drain to begin.
    Wait(Arc<Socket>),
    /// One that had waited when the drain began. The socket is held until the stream is counted: it
    /// must not seem that everything was accepted and read before.
    Drained(OwnedFd, SocketAddr, Arc<Socket>),
    /// Nothing will be accepted any more.
    Ended,
}

impl Listener {
    /// A listener over a socket that is already bound and non-blocking.
    pub(crate) fn new(fd: OwnedFd, addr: SocketAddr, intake: &Arc<Intake>) -> Self {
        intake.listener_opened();
        let socket = Socket {
            fd: Some(fd),
            #[cfg(feature = "tokio")]
            on_tokio: std::sync::OnceLock::new(),
            intake: Arc::clone(intake),
        };
        Self {
            addr,
            state: Mutex::new(State::Open(Arc::new(socket))),
            is_short: AtomicBool::new(false),
            intake: Arc::clone(intake),
        }
    }

    /// One that came too late: the worker goes already.
    pub(crate) fn ended(addr: SocketAddr, intake: &Arc<Intake>) -> Self {
        Self {
            addr,
            state: Mutex::new(State::Ended),
            is_short: AtomicBool::new(false),
            intake: Arc::clone(intake),
        }
    }

    /// The address that it listens on, also after it has ended.
    ///
    /// # Errors
    /// None; the `Result` is what servers expect of a listener.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    /// Waits for a connection on this thread; `None` when the worker was asked to go and nothing
    /// waits any more.
    ///
    /// # Errors
    /// The socket cannot accept any more, for example because code of some worker has shut it down (`EINVAL`). The error
    /// stays, so the worker drains and ends with status 71, whatever the body does about it.
    ///
    /// Two kinds of errors that accept(2) lists are not returned:
    ///
    /// - Descriptors or memory have run out (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`). The connection waits, and accepting
    ///   goes on when some are free. The log has a line when such a shortage begins and one when it is over.
    /// - One connection failed (`ECONNABORTED` and others). The next one is accepted.
    pub fn blocking_accept(&self) -> Option<io::Result<(Stream, SocketAddr)>> {
        self.intake.note_accept();
        loop {
            match self.blocking_accept_once()? {
                Err(error) if classify(&error) == AcceptError::Shortage => self.rest(),
                accepted => return Some(accepted),
            }
        }
    }

    /// Waits for some of what is lacking; a drain ends the wait.
    fn rest(&self) {
        if self.intake.is_draining() {
            // It would not wait for a drain that has begun.
            return std::thread::sleep(RETRY);
        }
        let mut polled = [PollFd::new(self.intake.drain_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(RETRY).unwrap_or(PollTimeout::MAX);
        // An interrupted wait is a short one.
        let _ = poll(&mut polled, timeout);
    }

    fn blocking_accept_once(&self) -> Option<io::Result<(Stream, SocketAddr)>> {
        loop {
            let socket = match self.step(Mode::Blocking) {
                Ok(Step::Wait(socket)) => socket,
                Ok(Step::Drained(fd, peer, _socket)) => return Some(Ok(self.stream(fd, peer))),
                Ok(Step::Ended) => return None,
                Err(error) => return Some(Err(error)),
            };
            let accepted = accept_one(&socket, Mode::Blocking);
            if let Err(error) = &accepted
                && self.ends_with_master(error)
            {
                drop(socket);
                self.await_drain();
                return None;
            }
            match self.note(accepted) {
                Ok(Some((fd, peer))) => return Some(Ok(self.stream(fd, peer))),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
            let readable = PollFlags::POLLIN;
            let mut polled = [
                PollFd::new(socket.as_fd(), readable),
                PollFd::new(self.intake.drain_fd(), readable),
            ];
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(errno) => return Some(Err(errno.into())),
            }
        }
    }

    /// The thread that watches the master hears of its death at any moment, and has its part to do before the body ends.
    fn await_drain(&self) {
        const LIMIT: u16 = 1_000;
        let mut polled = [PollFd::new(self.intake.drain_fd(), PollFlags::POLLIN)];
        // An interrupted wait only brings the end of the body forward.
        let _ = poll(&mut polled, PollTimeout::from(LIMIT));
    }

    fn stream(&self, fd: OwnedFd, peer: SocketAddr) -> (Stream, SocketAddr) {
        (Stream::blocking(fd.into(), &self.intake), peer)
    }

    /// By the rules of the moment. Never waits.
    pub(super) fn step(&self, mode: Mode) -> io::Result<Step> {
        let mut state = self.state();
        if let (State::Open(socket), Some(drain)) = (&*state, self.intake.drain()) {
            let rest = Rest::of(socket.as_fd(), drain);
            *state = State::Draining(Arc::clone(socket), rest);
        }
        match &mut *state {
            State::Open(socket) => Ok(Step::Wait(Arc::clone(socket))),
            State::Draining(socket, rest) => {
                let accepted = if rest.is_over(Instant::now()) {
                    Ok(None)
                } else {
                    self.note(accept_one(socket, mode))
                };
                if let Err(error) = &accepted
                    && classify(error) == AcceptError::Permanent
                {
                    // Nothing is left to accept, and the worker ends anyway.
                    *state = State::Ended;
                    return Ok(Step::Ended);
                }
                if let Some((fd, peer)) = accepted? {
                    rest.took_one();
                    let socket = Arc::clone(socket);
                    if rest.is_over(Instant::now()) {
                        // Not at the next call, which may come late or never.
                        *state = State::Ended;
                    }
                    return Ok(Step::Drained(fd, peer, socket));
                }
                *state = State::Ended;
                Ok(Step::Ended)
            }
            State::Ended => Ok(Step::Ended),
        }
    }

    /// Nothing will be accepted any more.
    #[cfg(feature = "axum")]
    pub(super) fn end(&self) {
        *self.state() = State::Ended;
    }

    /// Whether accepting failed because the master is dead: a worker that has drained ends listening for all. Then this
    /// listener has ended as well.
    pub(super) fn ends_with_master(&self, error: &io::Error) -> bool {
        let is_over = classify(error) == AcceptError::Permanent && self.intake.is_orphan();
        if is_over {
            *self.state() = State::Ended;
        }
        is_over
    }

    /// Notes for the log whether accepting fails for lack of something, or works again.
    fn note<C>(&self, accepted: io::Result<Option<C>>) -> io::Result<Option<C>> {
        match &accepted {
            Err(error) => self.note_error(error),
            Ok(None) => self.note_nobody_waits(),
            Ok(Some(_)) => self.note_accepted(),
        }
        accepted
    }

    pub(super) fn note_error(&self, error: &io::Error) {
        match classify(error) {
            AcceptError::Shortage => {
                self.is_short.store(true, Ordering::Relaxed);
                self.intake.note_shortage(self.addr, error);
            }
            // The worker ends already.
            _ if self.intake.is_draining() => {}
            // Of connections only where too many failed in a row.
            AcceptError::Permanent | AcceptError::OfConnection => {
                self.intake.fail(self.addr, error);
            }
        }
    }

    /// Nothing is lacking then: accept4(2) takes a descriptor before it looks at the queue.
    pub(super) fn note_nobody_waits(&self) {
        self.note_works(|| true);
    }

    pub(super) fn note_accepted(&self) {
        self.note_works(|| self.intake.is_shortage_old(self.addr));
    }

    fn note_works(&self, is_over: impl FnOnce() -> bool) {
        if self.is_short.load(Ordering::Relaxed) && is_over() {
            self.is_short.store(false, Ordering::Relaxed);
            self.intake.note_accept_works(self.addr);
        }
    }

    /// How many connections wait in the accept queue; 0 where the system does not say.
    #[cfg(feature = "tls")]
    pub(super) fn queue_length(&self) -> usize {
        match &*self.state() {
            State::Open(socket) | State::Draining(socket, _) => {
                sys::accept::queue_length(socket.as_fd()).unwrap_or(0)
            }
            State::Ended => 0,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` when nobody waits. Connections that failed while they waited are passed over.
fn accept_one(socket: &Socket, mode: Mode) -> io::Result<Option<(OwnedFd, SocketAddr)>> {
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

/// Makes a listener of its own, outside of any worker: for tests of the code that serves.
impl TryFrom<net::TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let intake = Intake::unwatched()?;
        Ok(Self::new(listener.into(), addr, &Arc::new(intake)))
    }
}

/// The descriptor, until the listener and everybody who waits on it have let go.
#[derive(Debug)]
pub(super) struct Socket {
    /// `Some` until it is dropped.
    fd: Option<OwnedFd>,
    /// The same socket, on the runtime that asked first.
    #[cfg(feature = "tokio")]
    pub(super) on_tokio: std::sync::OnceLock<tokio::net::TcpListener>,
    intake: Arc<Intake>,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let fd = self.fd.as_ref();
        fd.expect("only drop takes the descriptor").as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.intake.drain().is_some_and(|drain| drain.frees_address) {
            free_address(self.as_fd());
        }
        // First it is closed, then it is said to be.
        #[cfg(feature = "tokio")]
        drop(self.on_tokio.take());
        drop(self.fd.take());
        self.intake.listener_ended();
    }
}

/// Ends listening for all who have a copy of the socket: workers that drain took what waited when the master died, and a
/// process that was forked from the master would keep the address for as long as it lives.
fn free_address(socket: BorrowedFd<'_>) {
    use nix::sys::socket::{Shutdown, shutdown};

    // It fails where another worker has done so.
    let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{Shutdown, shutdown};

    use super::*;

    #[test]
    fn an_error_that_stays_is_returned_by_every_accept() {
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
    fn in_a_drain_a_listener_that_cannot_accept_has_ended() {
        let bound = net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = bound.local_addr().expect("bound");
        let _waits = net::TcpStream::connect(addr).expect("it listens");
        let copy = bound.try_clone().expect("descriptors");
        bound.set_nonblocking(true).expect("a socket");
        let intake = Arc::new(Intake::new(|| {}, || {}).expect("descriptors"));
        let listener = Listener::new(bound.into(), addr, &intake);
        shutdown(copy.as_raw_fd(), Shutdown::Both).expect("it listens");
        intake.begin_drain(super::super::DrainOrder {
            until: Instant::now() + std::time::Duration::from_secs(30),
            leaves_queue: false,
            frees_address: false,
        });
        assert!(listener.blocking_accept().is_none());
        assert_eq!(intake.census().listeners, 0);
    }
}
