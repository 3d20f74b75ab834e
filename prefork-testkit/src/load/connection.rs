//! One client connection. Its socket does not block: every wait is a poll(2) that ends at the
//! deadline of the request.

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
        let mut detail = String::new();
        if let Some(error) = error.filter(|_| is_open) {
            detail = error.to_string();
            if error.raw_os_error() == Some(libc::EMFILE) {
                detail += "; raise the limit of open files (`ulimit -n`)";
            }
        }
        Self {
            failure,
            phase,
            detail,
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
    /// Whether the server has not got all of the last request. The connection cannot carry another
    /// one.
    pub(super) has_unsent: bool,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "load-tls")]
    Tls(Box<TlsStream>),
}

#[cfg(feature = "load-tls")]
type TlsStream = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

impl Connection {
    /// Connects, with the TLS handshake if there is one.
    pub(super) fn open(target: &Target, deadline: Instant) -> Result<Self, (Fault, Usage)> {
        let connect = || {
            let left = time_left(deadline)?;
            let tcp = TcpStream::connect_timeout(&target.addr, left)?;
            tcp.set_nodelay(true)?;
            tcp.set_nonblocking(true)?;
            let port = tcp.local_addr()?.port();
            Ok((tcp, port))
        };
        let (tcp, port) =
            connect().map_err(|error| (of_connect(&error, Phase::Connecting), Usage::default()))?;
        let usage = Usage {
            local_port: Some(port),
            ..Usage::default()
        };
        #[cfg(feature = "load-tls")]
        let stream = match &target.tls {
            None => Stream::Plain(tcp),
            Some(client) => handshake(client, tcp, deadline)
                .map_err(|error| (of_connect(&error, Phase::Handshake), usage))
                .map(|stream| Stream::Tls(Box::new(stream)))?,
        };
        #[cfg(not(feature = "load-tls"))]
        let stream = Stream::Plain(tcp);
        Ok(Self {
            stream,
            usage,
            has_unsent: false,
        })
    }

    /// Returns what happened since the last response. Does not wait.
    pub(super) fn idle_state(&mut self) -> IdleState {
        match &mut self.stream {
            Stream::Plain(tcp) => peek(tcp),
            #[cfg(feature = "load-tls")]
            Stream::Tls(stream) => idle_state_of_tls(stream),
        }
    }

    /// Sends a request and reads the response, until the parser has all of it.
    ///
    /// Both at once: a server may answer while it reads the request, and wait until the client has
    /// read a part of the answer.
    pub(super) fn exchange(
        &mut self,
        request: &[u8],
        deadline: Instant,
        parser: &mut ResponseParser,
    ) -> Result<(), Fault> {
        let mut phase = Phase::Sending;
        let mut unsent = Some(request);
        let mut error = None;
        let mut has_ended = false;
        let mut buffer = [0; 16 * 1024];
        self.has_unsent = true;
        loop {
            if let Some(rest) = &mut unsent {
                match self.stream.send(rest) {
                    Err(blocked) if is_blocked(&blocked) => {}
                    // The server may have answered and closed before it read the whole request.
                    Err(failed) => {
                        unsent = None;
                        error = Some(failed);
                    }
                    Ok(()) => {
                        unsent = None;
                        self.has_unsent = false;
                        if phase == Phase::Sending {
                            phase = Phase::Waiting;
                        }
                    }
                }
            }
            let received = if has_ended {
                Ok(0)
            } else {
                self.stream.receive(&mut buffer)
            };
            match received {
                Ok(0) if parser.is_complete_at_end() => return Ok(()),
                Ok(0) if unsent.is_none() => return Err(self.of_end(phase, error.as_ref())),
                // Whether the server has closed the connection decides the next write.
                Ok(0) => has_ended = true,
                Ok(count) => {
                    if parse(parser, &buffer[..count], &mut phase)? {
                        return Ok(());
                    }
                    // More may have arrived.
                    if Instant::now() < deadline {
                        continue;
                    }
                }
                Err(blocked) if is_blocked(&blocked) => {}
                Err(failed) => return Err(self.of_end(phase, error.as_ref().or(Some(&failed)))),
            }
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, !has_ended);
            events.set(PollFlags::POLLOUT, unsent.is_some());
            wait(self.tcp(), events, deadline)
                .map_err(|failed| self.of_end(phase, Some(&failed)))?;
        }
    }

    /// Classifies the end of the connection, or of the time, before the end of the response.
    fn of_end(&self, phase: Phase, error: Option<&io::Error>) -> Fault {
        let is_kept = self.usage.served > 0;
        let is_reset = error.is_some_and(is_reset);
        let failure = match error.map(io::Error::kind) {
            Some(ErrorKind::TimedOut) => Failure::TimedOut { phase },
            _ if matches!(phase, Phase::Head | Phase::Body) => Failure::Short,
            _ if is_reset && is_kept => Failure::StaleConnection,
            _ if is_reset => Failure::ResetBeforeResponse,
            None | Some(ErrorKind::UnexpectedEof) => Failure::Empty,
            Some(kind) => Failure::Other(kind),
        };
        Fault::new(failure, phase, error)
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            #[cfg(feature = "load-tls")]
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Returns whether the server has reset the connection. The end of one direction is no reset.
    pub(super) fn is_reset(&self) -> bool {
        // poll(2) always reports POLLHUP and POLLERR.
        let mut fds = [PollFd::new(self.tcp().as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    /// Closes the connection as a client that needs it no longer. Does not wait.
    pub(super) fn close(self) {
        match self.stream {
            Stream::Plain(_) => {}
            #[cfg(feature = "load-tls")]
            Stream::Tls(mut stream) => {
                stream.conn.send_close_notify();
                // The server may have closed the connection, or may not read.
                let _ = stream.flush();
            }
        }
    }
}

/// These do not wait: they fail with [`WouldBlock`](ErrorKind::WouldBlock).
impl Stream {
    /// Sends as much as possible, and removes it from `rest`. Succeeds when nothing is left.
    fn send(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        if !rest.is_empty() {
            let count = match self {
                Self::Plain(tcp) => tcp.write(rest)?,
                #[cfg(feature = "load-tls")]
                Self::Tls(stream) => stream.write(rest)?,
            };
            *rest = &rest[count..];
        }
        match self {
            _ if !rest.is_empty() => Err(ErrorKind::WouldBlock.into()),
            Self::Plain(_) => Ok(()),
            #[cfg(feature = "load-tls")]
            Self::Tls(stream) => stream.flush(),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            #[cfg(feature = "load-tls")]
            Self::Tls(stream) => receive_tls(stream, buffer),
        }
    }
}

fn peek(tcp: &TcpStream) -> IdleState {
    match recv(tcp.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK) {
        Ok(0) => IdleState::Closed,
        Ok(_) => IdleState::HasData,
        Err(nix::Error::EAGAIN) => IdleState::Open,
        Err(_) => IdleState::Closed,
    }
}

#[cfg(feature = "load-tls")]
fn handshake(client: &TlsClient, tcp: TcpStream, deadline: Instant) -> io::Result<TlsStream> {
    let mut stream = rustls::StreamOwned::new(client.connection()?, tcp);
    while stream.conn.is_handshaking() {
        match stream.conn.complete_io(&mut stream.sock) {
            Err(blocked) if is_blocked(&blocked) => {
                let events = if stream.conn.wants_write() {
                    PollFlags::POLLOUT
                } else {
                    PollFlags::POLLIN
                };
                wait(&stream.sock, events, deadline)?;
            }
            result => drop(result?),
        }
    }
    Ok(stream)
}

/// Reads like [`StreamOwned`](rustls::StreamOwned), which would first send all that is unsent.
#[cfg(feature = "load-tls")]
fn receive_tls(stream: &mut TlsStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.conn.reader().read(buffer) {
            Err(empty) if is_blocked(&empty) => read_records(stream)?,
            result => return result,
        };
    }
}

/// Reads the records that have arrived.
#[cfg(feature = "load-tls")]
fn read_records(stream: &mut TlsStream) -> io::Result<rustls::IoState> {
    stream.conn.read_tls(&mut stream.sock)?;
    let state = stream.conn.process_new_packets();
    state.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// A server may send session tickets at any time.
#[cfg(feature = "load-tls")]
fn idle_state_of_tls(stream: &mut TlsStream) -> IdleState {
    loop {
        match peek(&stream.sock) {
            IdleState::HasData => {}
            state => return state,
        }
        match read_records(stream) {
            Ok(state) if state.plaintext_bytes_to_read() > 0 => return IdleState::HasData,
            Ok(state) if !state.peer_has_closed() => {}
            Ok(_) | Err(_) => return IdleState::Closed,
        }
    }
}

/// Returns whether the response is complete.
fn parse(parser: &mut ResponseParser, bytes: &[u8], phase: &mut Phase) -> Result<bool, Fault> {
    let result = parser.push(bytes);
    *phase = if parser.has_head() {
        Phase::Body
    } else {
        Phase::Head
    };
    result.map_err(|error| Fault {
        detail: error.0,
        ..Fault::new(Failure::Malformed, *phase, None)
    })
}

/// Waits until one of these is possible, or the connection has failed.
///
/// # Errors
/// `TimedOut`: the deadline has passed.
fn wait(tcp: &TcpStream, events: PollFlags, deadline: Instant) -> io::Result<()> {
    loop {
        let left = time_left(deadline)?;
        // The kernel has milliseconds.
        let rounded = PollTimeout::try_from(left + Duration::from_nanos(999_999));
        let mut fds = [PollFd::new(tcp.as_fd(), events)];
        match poll(&mut fds, rounded.unwrap_or(PollTimeout::MAX)) {
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn of_connect(error: &io::Error, phase: Phase) -> Fault {
    let failure = match error.kind() {
        ErrorKind::TimedOut => Failure::TimedOut { phase },
        ErrorKind::ConnectionRefused => Failure::Refused,
        _ if is_reset(error) => Failure::ResetWhileConnecting,
        _ if phase == Phase::Handshake => Failure::TlsHandshake,
        kind => Failure::Other(kind),
    };
    Fault::new(failure, phase, Some(error))
}

fn is_reset(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected
    )
}

fn is_blocked(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// # Errors
/// `TimedOut`: none is left.
fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(left)
}
