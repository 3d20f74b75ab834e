//! A client that sends requests at planned times, each on a new connection.
//!
//! It does not wait for a response before it sends the next request, and a time begins when the
//! request was due. So a stall of the server is in the times of all requests that were due
//! meanwhile. The client is one thread with one epoll instance and a timer of nanoseconds: a timer
//! of tokio has milliseconds, and the client shares its processors with the server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::Pid;
use socket2::{Domain, Protocol, Socket, Type};

use crate::client;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";

/// Time after the last planned request. A request without a response is then lost.
const LIMIT: Duration = Duration::from_secs(10);

/// The value of the timer in the epoll instance. The other values are indexes of requests.
const TIMER: u64 = u64::MAX;

/// One request.
pub(super) struct Request {
    /// When it was due, since the beginning.
    due: Duration,
    /// How much later the client began to connect.
    pub(super) late: Duration,
    /// `None` if there was no response.
    pub(super) response: Option<Response>,
}

/// A complete response.
pub(super) struct Response {
    pub(super) worker: Pid,
    /// How often the worker has waited for events.
    pub(super) wake_ups: u64,
    /// Time from when the request was due.
    pub(super) took: Duration,
}

/// Sends requests at these times, which are in order, and waits for the responses.
pub(super) fn send(addr: SocketAddr, arrivals: &[Duration]) -> Vec<Request> {
    let mut client = OpenLoop::new(addr, arrivals.len());
    let end = arrivals.last().map_or(LIMIT, |last| *last + LIMIT);
    let mut timer_at = None;
    while client.requests.len() < arrivals.len() || client.open > 0 {
        let next = arrivals.get(client.requests.len()).copied();
        let due = next.unwrap_or(end);
        let now = client.begin.elapsed();
        if now < due {
            if timer_at != Some(due) {
                client.set_timer(due.saturating_sub(now));
                timer_at = Some(due);
            }
            client.handle_events(EpollTimeout::NONE);
        } else if next.is_some() {
            client.start(due);
            // Responses must not wait until all requests of a burst have started.
            client.handle_events(EpollTimeout::ZERO);
        } else {
            break;
        }
    }
    client.requests
}

struct OpenLoop {
    addr: SocketAddr,
    begin: Instant,
    epoll: Epoll,
    timer: TimerFd,
    /// The requests that have started.
    requests: Vec<Request>,
    /// The connection of each request, until it has ended.
    connections: Vec<Option<Connection>>,
    /// Number of connections that have not ended.
    open: usize,
}

struct Connection {
    socket: Socket,
    state: State,
}

/// What a connection waits for.
#[derive(Clone, Copy)]
enum State {
    Connecting,
    /// The request was sent. The server closes the connection after its response.
    Requested,
}

impl OpenLoop {
    fn new(addr: SocketAddr, count: usize) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("a descriptor is free");
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).expect("a descriptor is free");
        let event = EpollEvent::new(EpollFlags::EPOLLIN, TIMER);
        epoll.add(&timer, event).expect("epoll can watch a timer");
        Self {
            addr,
            begin: Instant::now(),
            epoll,
            timer,
            requests: Vec::with_capacity(count),
            connections: Vec::with_capacity(count),
            open: 0,
        }
    }

    /// Sets the timer, which also resets it if it has expired.
    fn set_timer(&self, after: Duration) {
        let after = Expiration::OneShot(TimeSpec::from_duration(after));
        let set = self.timer.set(after, TimerSetTimeFlags::empty());
        set.expect("the time is not negative");
    }

    /// Connects and sends a request. On loopback both usually succeed at once.
    fn start(&mut self, due: Duration) {
        let index = self.requests.len();
        self.requests.push(Request {
            due,
            late: self.begin.elapsed().saturating_sub(due),
            response: None,
        });
        let connection = self.connect(index).ok();
        self.open += usize::from(connection.is_some());
        self.connections.push(connection);
    }

    fn connect(&self, index: usize) -> io::Result<Connection> {
        let socket = connecting_socket(self.addr, index)?;
        let state = match socket.send(REQUEST) {
            Ok(_) => State::Requested,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => State::Connecting,
            Err(error) => return Err(error),
        };
        self.epoll.add(&socket, interest(state, index))?;
        Ok(Connection { socket, state })
    }

    fn handle_events(&mut self, timeout: EpollTimeout) {
        let mut events = [EpollEvent::empty(); 64];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => panic!("epoll_wait: {errno}"),
        };
        // The responses had ended by now. Reading them all takes time.
        let now = self.begin.elapsed();
        for event in &events[..count] {
            // The loop compares the clock with the next time, so it needs no event of the timer.
            if event.data() != TIMER {
                let index = usize::try_from(event.data()).expect("the value is an index");
                self.handle_event(index, now);
            }
        }
    }

    fn handle_event(&mut self, index: usize, now: Duration) {
        let connection = self.connections[index].as_mut();
        let connection = connection.expect("a closed socket has no events");
        let response = match connection.state {
            State::Connecting => match connection.socket.send(REQUEST) {
                Ok(_) => {
                    connection.state = State::Requested;
                    let event = &mut interest(connection.state, index);
                    let modified = self.epoll.modify(&connection.socket, event);
                    return modified.expect("the socket is in the epoll instance");
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => None,
            },
            State::Requested => read_worker(&connection.socket),
        };
        let request = &mut self.requests[index];
        request.response = response.map(|(worker, wake_ups)| Response {
            worker,
            wake_ups,
            took: now.saturating_sub(request.due),
        });
        self.connections[index] = None;
        self.open -= 1;
    }
}

/// A socket that connects, from another address of this machine for each request in turn.
///
/// The server closes first, and the client then resets the connection. So neither side waits in
/// `TIME_WAIT`, and the ports are free again at once. If an address has no free port, the next one
/// is tried.
fn connecting_socket(addr: SocketAddr, index: usize) -> io::Result<Socket> {
    const SOURCES: usize = 8;
    let socket = Socket::new(
        Domain::IPV4,
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    socket.set_linger(Some(Duration::ZERO))?;
    let bound = (0..SOURCES).find(|attempt| {
        let last = 2 + (index + attempt) % SOURCES;
        let last = u8::try_from(last).expect("there are few sources");
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
        socket.bind(&source.into()).is_ok()
    });
    // This is an error of the client. It must not count as one of the server.
    bound.expect("a port of 127.0.0.x is free");
    match socket.connect(&addr.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => Ok(socket),
        connected => connected.map(|()| socket),
    }
}

/// The events that a connection waits for: one for a whole response, at its end.
fn interest(state: State, index: usize) -> EpollEvent {
    let flags = match state {
        State::Connecting => EpollFlags::EPOLLOUT,
        State::Requested => EpollFlags::EPOLLRDHUP,
    };
    EpollEvent::new(flags, index as u64)
}

/// Reads a response, which has ended. Returns the process id in it, and the number of wake-ups.
fn read_worker(socket: &Socket) -> Option<(Pid, u64)> {
    let mut buffer = [0; 512];
    let length = io::Read::read(&mut &*socket, &mut buffer).ok()?;
    let response = str::from_utf8(&buffer[..length]).ok()?;
    let is_complete = response.starts_with("HTTP/1.1 200");
    let mut lines = response.lines();
    let wake_ups = lines.find_map(|line| line.strip_prefix("wake-ups: "))?;
    let worker = client::pid_in(response).filter(|_| is_complete)?;
    Some((worker, wake_ups.parse().ok()?))
}
