//! A listening socket that knows when to stop.

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::drained::Rest;
use super::intake::Intake;
use super::stream::Stream;
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
            intake: Arc::clone(intake),
        }
    }

    /// One that came too late: the worker goes already.
    pub(crate) fn ended(addr: SocketAddr, intake: &Arc<Intake>) -> Self {
        Self {
            addr,
            state: Mutex::new(State::Ended),
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
    /// What `accept(2)` lists. Running out of descriptors (`EMFILE`) leaves the connection waiting:
    /// close some before the next call.
    pub fn blocking_accept(&self) -> Option<io::Result<(Stream, SocketAddr)>> {
        self.intake.note_accept();
        loop {
            let socket = match self.step(Mode::Blocking) {
                Ok(Step::Wait(socket)) => socket,
                Ok(Step::Drained(fd, peer, _socket)) => return Some(Ok(self.stream(fd, peer))),
                Ok(Step::Ended) => return None,
                Err(error) => return Some(Err(error)),
            };
            match accept_one(&socket, Mode::Blocking) {
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

    fn stream(&self, fd: OwnedFd, peer: SocketAddr) -> (Stream, SocketAddr) {
        (Stream::new(fd.into(), &self.intake), peer)
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
                if !rest.is_over(Instant::now())
                    && let Some((fd, peer)) = accept_one(socket, mode)?
                {
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` when nobody waits. Clients that gave up while they waited are passed over.
fn accept_one(socket: &Socket, mode: Mode) -> io::Result<Option<(OwnedFd, SocketAddr)>> {
    loop {
        match accept(socket.as_fd(), mode) {
            Ok(connection) => return Ok(Some(connection)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
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
        let intake = Intake::new(|| {}, || {})?;
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
        // First it is closed, then it is said to be.
        #[cfg(feature = "tokio")]
        drop(self.on_tokio.take());
        drop(self.fd.take());
        self.intake.listener_ended();
    }
}
