//! One client connection. Every wait on it ends at the deadline of the request.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use super::failure::{Failure, Phase};
use super::response::ResponseParser;
#[cfg(feature = "load-tls")]
use super::tls::TlsClient;

/// Where a load connects to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    #[cfg(feature = "load-tls")]
    pub(super) tls: Option<TlsClient>,
}

/// Why a request has no response.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) failure: Failure,
    pub(super) phase: Phase,
    pub(super) detail: String,
    pub(super) at: Instant,
}

impl Fault {
    /// Creates a fault. The text of the error is kept if the kind of the failure does not imply it.
    pub(super) fn new(failure: Failure, phase: Phase, error: Option<&io::Error>) -> Self {
        let is_open = matches!(failure, Failure::TlsHandshake | Failure::Other(_));
        let detail = error.filter(|_| is_open).map(io::Error::to_string);
        Self {
            failure,
            phase,
            detail: detail.unwrap_or_default(),
            at: Instant::now(),
        }
    }
}

/// What a connection was used for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) local_port: Option<u16>,
    /// The number of complete responses.
    pub(super) served: u64,
    /// The pid in the last response.
    pub(super) pid: Option<i32>,
}

/// What a kept connection did since the last response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdleState {
    Open,
    Closed,
    /// The server has sent bytes that no request asked for.
    HasData,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    pub(super) usage: Usage,
}

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    #[cfg(feature = "load-tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, Socket>>),
}

/// A TCP socket whose reads and writes end at a deadline.
#[derive(Debug)]
struct Socket {
    tcp: TcpStream,
    deadline: Instant,
}

impl Connection {
    /// Connects, with the TLS handshake if there is one.
    pub(super) fn open(target: &Target, deadline: Instant) -> Result<Self, (Fault, Usage)> {
        let connect = || {
            let left = time_left(deadline)?;
            let tcp = TcpStream::connect_timeout(&target.addr, left)?;
            tcp.set_nodelay(true)?;
            let port = tcp.local_addr()?.port();
            Ok((tcp, port))
        };
        let (tcp, port) =
            connect().map_err(|error| (of_connect(&error, Phase::Connecting), Usage::default()))?;
        let usage = Usage {
            local_port: Some(port),
            ..Usage::default()
        };
        let socket = Socket { tcp, deadline };
        #[cfg(feature = "load-tls")]
        let stream = match &target.tls {
            None => Stream::Plain(socket),
            Some(client) => handshake(client, socket)
                .map_err(|error| (of_connect(&error, Phase::Handshake), usage))
                .map(|stream| Stream::Tls(Box::new(stream)))?,
        };
        #[cfg(not(feature = "load-tls"))]
        let stream = Stream::Plain(socket);
        Ok(Self { stream, usage })
    }

    /// Returns what happened since the last response. Does not wait.
    pub(super) fn idle_state(&mut self) -> IdleState {
        match &mut self.stream {
            Stream::Plain(socket) => socket.peek(),
            #[cfg(feature = "load-tls")]
            Stream::Tls(stream) => idle_state_of_tls(stream),
        }
    }

    /// Sends a request and reads the response, until the parser has all of it.
    pub(super) fn exchange(
        &mut self,
        request: &[u8],
        deadline: Instant,
        parser: &mut ResponseParser,
    ) -> Result<(), Fault> {
        self.socket().deadline = deadline;
        let mut phase = Phase::Waiting;
        let mut unsent = None;
        if let Err(error) = self.send(request) {
            if is_timeout(&error) {
                return Err(timed_out(Phase::Sending));
            }
            // The server may have answered and closed before it read the whole request.
            phase = Phase::Sending;
            unsent = Some(error);
        }
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) if parser.is_complete_at_end() => return Ok(()),
                Ok(0) => return Err(self.of_end(phase, unsent.as_ref())),
                Ok(count) => count,
                Err(error) if is_timeout(&error) => return Err(timed_out(phase)),
                Err(error) => return Err(self.of_end(phase, unsent.as_ref().or(Some(&error)))),
            };
            let result = parser.push(&buffer[..count]);
            phase = if parser.has_head() {
                Phase::Body
            } else {
                Phase::Head
            };
            match result {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    return Err(Fault {
                        detail: error.0,
                        ..Fault::new(Failure::Malformed, phase, None)
                    });
                }
            }
        }
    }

    /// Classifies the end of the connection before the end of the response.
    fn of_end(&self, phase: Phase, error: Option<&io::Error>) -> Fault {
        let is_kept = self.usage.served > 0;
        let is_reset = error.is_some_and(is_reset);
        let failure = match error.map(io::Error::kind) {
            _ if matches!(phase, Phase::Head | Phase::Body) => Failure::Short,
            _ if is_reset && is_kept => Failure::StaleConnection,
            _ if is_reset => Failure::ResetBeforeResponse,
            None | Some(ErrorKind::UnexpectedEof) => Failure::Empty,
            Some(kind) => Failure::Other(kind),
        };
        Fault::new(failure, phase, error)
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)?;
        self.stream.flush()
    }

    fn socket(&mut self) -> &mut Socket {
        match &mut self.stream {
            Stream::Plain(socket) => socket,
            #[cfg(feature = "load-tls")]
            Stream::Tls(stream) => &mut stream.sock,
        }
    }

    /// Returns whether the server has reset the connection. The end of one direction is no reset.
    pub(super) fn is_reset(&mut self) -> bool {
        let tcp = &self.socket().tcp;
        // poll(2) always reports POLLHUP and POLLERR.
        let mut fds = [PollFd::new(tcp.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    /// Closes the connection as a client that needs it no longer.
    pub(super) fn close(self) {
        match self.stream {
            Stream::Plain(_) => {}
            #[cfg(feature = "load-tls")]
            Stream::Tls(mut stream) => {
                stream.conn.send_close_notify();
                // The server may have closed the connection.
                let _ = stream.flush();
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            #[cfg(feature = "load-tls")]
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "load-tls")]
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            #[cfg(feature = "load-tls")]
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Socket {
    fn peek(&self) -> IdleState {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        match recv(self.tcp.as_raw_fd(), &mut [0], flags) {
            Ok(0) => IdleState::Closed,
            Ok(_) => IdleState::HasData,
            Err(nix::Error::EAGAIN) => IdleState::Open,
            Err(_) => IdleState::Closed,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = time_left(self.deadline)?;
            self.tcp.set_read_timeout(Some(left))?;
            match self.tcp.read(buffer) {
                // Before the deadline only if a signal arrived. After it, no time is left.
                Err(error) if is_interrupted(&error) => {}
                result => return result,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let left = time_left(self.deadline)?;
            self.tcp.set_write_timeout(Some(left))?;
            match self.tcp.write(bytes) {
                Err(error) if is_interrupted(&error) => {}
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "load-tls")]
fn handshake(
    client: &TlsClient,
    socket: Socket,
) -> io::Result<rustls::StreamOwned<rustls::ClientConnection, Socket>> {
    let mut stream = rustls::StreamOwned::new(client.connection()?, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Reads the records that have arrived: a server may send session tickets at any time.
#[cfg(feature = "load-tls")]
fn idle_state_of_tls(
    stream: &mut rustls::StreamOwned<rustls::ClientConnection, Socket>,
) -> IdleState {
    loop {
        match stream.sock.peek() {
            IdleState::HasData => {}
            state => return state,
        }
        let received = stream.conn.read_tls(&mut stream.sock);
        let Ok(state) = received.and_then(|_| {
            let state = stream.conn.process_new_packets();
            state.map_err(io::Error::other)
        }) else {
            return IdleState::Closed;
        };
        if state.plaintext_bytes_to_read() > 0 {
            return IdleState::HasData;
        }
        if state.peer_has_closed() {
            return IdleState::Closed;
        }
    }
}

fn of_connect(error: &io::Error, phase: Phase) -> Fault {
    let failure = match error.kind() {
        _ if is_timeout(error) => Failure::TimedOut { phase },
        ErrorKind::ConnectionRefused => Failure::Refused,
        _ if is_reset(error) => Failure::ResetWhileConnecting,
        _ if phase == Phase::Handshake => Failure::TlsHandshake,
        kind => Failure::Other(kind),
    };
    Fault::new(failure, phase, Some(error))
}

fn timed_out(phase: Phase) -> Fault {
    Fault::new(Failure::TimedOut { phase }, phase, None)
}

fn is_reset(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected
    )
}

fn is_timeout(error: &io::Error) -> bool {
    error.kind() == ErrorKind::TimedOut
}

/// A read with a timeout fails with `WouldBlock` at the end of the time (socket(7)).
fn is_interrupted(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    // The kernel has microseconds. Zero would mean no limit.
    Ok(left.max(Duration::from_millis(1)))
}
