//! A port that nobody else gets, for a server that has to be told its address before it binds.
//!
//! Asking the system for a port and closing the socket leaves a gap in which another test may be
//! given the same one. Here the socket stays: bound, so that the system gives the port to nobody
//! else, and not listening, so that it gets no connection. With `SO_REUSEADDR` and
//! `SO_REUSEPORT` on it, a server that sets either may bind beside it (socket(7)).

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// A free port of 127.0.0.1 that stays reserved; a real server under test needs none, it listens on
/// port 0 and is asked (see [`Server`](crate::Server)).
///
/// # Panics
/// If the system has no descriptor or no port left.
///
/// # Examples
/// ```
/// use std::net::TcpStream;
///
/// use prefork::Prefork;
/// use prefork_testkit::{Behaviour, Children, free_addr};
///
/// let children = Children::new(Behaviour::Live);
/// let free = free_addr();
/// let master = Prefork::new()
///     .listen(free.to_string())
///     .workers(1)
///     .child_producer(children.producer())
///     .start()
///     .expect("the address is free");
/// // The server has bound: from here on the address is its own.
/// let addr = free.addr();
/// drop(free);
/// TcpStream::connect(addr).expect("the server's queue takes it");
/// # master.stop();
/// # master.wait().expect("it was asked to stop");
/// ```
#[track_caller]
pub fn free_addr() -> Reservation {
    Reservation::new(Ipv4Addr::LOCALHOST)
}

/// A port that is free and stays reserved on every IPv4 address of this machine, for a server that
/// listens on `0.0.0.0`, on an address that is not 127.0.0.1, or is only told the port.
///
/// # Panics
/// If the system has no descriptor or no port left.
///
/// # Examples
/// ```
/// # use prefork_testkit::free_port;
/// let free = free_port();
/// assert_eq!(free.to_string(), format!("0.0.0.0:{}", free.port()));
/// ```
#[track_caller]
pub fn free_port() -> Reservation {
    Reservation::new(Ipv4Addr::UNSPECIFIED)
}

/// An address that is nobody's, made by [`free_addr`] or [`free_port`]; `Display` writes it as
/// `127.0.0.1:8080`.
///
/// It is kept until the server has bound, and dropped when the server is ready, or later: it takes
/// no connection. The server must set `SO_REUSEADDR` or `SO_REUSEPORT` before it binds, as
/// one with prefork does, and as the standard library's `TcpListener` does.
#[derive(Debug)]
pub struct Reservation {
    addr: SocketAddr,
    /// Bound, and never listening.
    _socket: Socket,
}

impl Reservation {
    #[track_caller]
    fn new(ip: Ipv4Addr) -> Self {
        let reserve = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            // After bind they would come too late: the port is the system's choice then.
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&SocketAddr::from((ip, 0)).into())?;
            let addr = socket.local_addr()?.as_socket();
            let addr = addr.expect("it was bound to an IP address");
            Ok(Self {
                addr,
                _socket: socket,
            })
        };
        reserve().unwrap_or_else(|error: std::io::Error| panic!("cannot reserve a port: {error}"))
    }

    /// The reserved address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }
}

impl fmt::Display for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn no_two_are_the_same_and_nobody_listens_there() {
        let reservations: Vec<Reservation> = (0..50).map(|_| free_addr()).collect();
        let addrs: HashSet<SocketAddr> = reservations.iter().map(Reservation::addr).collect();
        assert_eq!(addrs.len(), 50);
        assert!(TcpStream::connect(reservations[0].addr()).is_err());
    }

    #[test]
    fn the_system_gives_it_to_nobody_who_asks_for_any() {
        let reservations: Vec<Reservation> = (0..50).map(|_| free_port()).collect();
        let listeners = (0..50).map(|_| TcpListener::bind("0.0.0.0:0").expect("a free port"));
        for listener in listeners.collect::<Vec<_>>() {
            let port = listener.local_addr().expect("bound").port();
            assert!(reservations.iter().all(|reserved| reserved.port() != port));
        }
    }

    #[test]
    fn a_server_that_sets_one_of_the_options_may_bind_it() {
        let reserved = free_addr();
        let listener = TcpListener::bind(reserved.addr()).expect("std sets SO_REUSEADDR");
        TcpStream::connect(reserved.addr()).expect("the listener's queue takes it");
        drop(listener);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("descriptors");
        socket.set_reuse_port(true).expect("an option");
        let addr = reserved.addr().into();
        socket.bind(&addr).expect("the other option will do");
    }
}
