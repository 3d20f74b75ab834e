//! A reserved port, for a server that needs its address before it binds.
//!
//! A test that asks the kernel for a port and closes the socket leaves a gap: another test may get
//! the same port. So the socket of a reservation stays open. It is bound, so the kernel gives the
//! port to no other process, and it does not listen, so it gets no connection. It has
//! `SO_REUSEADDR` and `SO_REUSEPORT`, so a server that sets one of them can bind the same address
//! (socket(7)).

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Reserves a free port of 127.0.0.1.
///
/// A [`Server`](crate::Server) does not need it: it listens on port 0, and the test asks it for its
/// address.
///
/// # Panics
/// If no descriptor or no port is left.
///
/// # Examples
/// ```
/// use std::net::TcpStream;
///
/// use prefork::Prefork;
/// use prefork_testkit::{Behavior, ScriptedChildren, reserve_addr};
///
/// let children = ScriptedChildren::new(Behavior::Live);
/// let free = reserve_addr();
/// let master = Prefork::new()
///     .listen(free.to_string())
///     .workers(1)
///     .child_producer(children.producer())
///     .start()
///     .expect("the address is free");
/// // The server has bound the address, so the reservation is no longer needed.
/// let addr = free.addr();
/// drop(free);
/// TcpStream::connect(addr).expect("the master listens");
/// # master.stop();
/// # master.wait().expect("a requested stop is not an error");
/// ```
#[track_caller]
pub fn reserve_addr() -> Reservation {
    Reservation::new(Ipv4Addr::LOCALHOST)
}

/// Reserves a port that is free on every IPv4 address of this machine.
///
/// Use it for a server that listens on `0.0.0.0` or on an address other than 127.0.0.1, or that
/// takes only a port number.
///
/// # Panics
/// If no descriptor or no port is left.
///
/// # Examples
/// ```
/// # use prefork_testkit::reserve_port;
/// let free = reserve_port();
/// assert_eq!(free.to_string(), format!("0.0.0.0:{}", free.port()));
/// ```
#[track_caller]
pub fn reserve_port() -> Reservation {
    Reservation::new(Ipv4Addr::UNSPECIFIED)
}

/// An unused address, reserved by [`reserve_addr`] or [`reserve_port`].
///
/// Keep it until the server has bound the address. It may be dropped then or later, since it takes
/// no connection. The server must set `SO_REUSEADDR` or `SO_REUSEPORT` before it binds; prefork and
/// the standard library's `TcpListener` do. `Display` writes the address as `127.0.0.1:8080`.
#[derive(Debug)]
#[must_use = "the address is reserved until it is dropped"]
pub struct Reservation {
    addr: SocketAddr,
    /// Bound, and does not listen.
    _socket: Socket,
}

impl Reservation {
    #[track_caller]
    fn new(ip: Ipv4Addr) -> Self {
        let reserve = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            // They must be set before bind, in which the kernel chooses the port.
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&SocketAddr::from((ip, 0)).into())?;
            let addr = socket.local_addr()?.as_socket();
            let addr = addr.expect("the socket was bound to an IP address");
            Ok(Self {
                addr,
                _socket: socket,
            })
        };
        reserve().unwrap_or_else(|error: std::io::Error| panic!("cannot reserve a port: {error}"))
    }

    /// Returns the reserved address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the port of the reserved address.
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
    fn reservations_differ_and_do_not_listen() {
        let reservations: Vec<Reservation> = (0..50).map(|_| reserve_addr()).collect();
        let addrs: HashSet<SocketAddr> = reservations.iter().map(Reservation::addr).collect();
        assert_eq!(addrs.len(), 50);
        assert!(TcpStream::connect(reservations[0].addr()).is_err());
    }

    #[test]
    fn the_kernel_does_not_choose_a_reserved_port_again() {
        let reservations: Vec<Reservation> = (0..50).map(|_| reserve_port()).collect();
        let listeners = (0..50).map(|_| TcpListener::bind("0.0.0.0:0").expect("a free port"));
        for listener in listeners.collect::<Vec<_>>() {
            let port = listener.local_addr().expect("bound").port();
            assert!(reservations.iter().all(|reserved| reserved.port() != port));
        }
    }

    #[test]
    fn a_server_that_sets_one_of_the_options_can_bind_a_reserved_port() {
        let reserved = reserve_addr();
        let listener = TcpListener::bind(reserved.addr()).expect("std sets SO_REUSEADDR");
        TcpStream::connect(reserved.addr()).expect("the socket listens");
        drop(listener);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a free descriptor");
        socket.set_reuse_port(true).expect("the option exists");
        let addr = reserved.addr().into();
        socket.bind(&addr).expect("SO_REUSEPORT is enough");
    }
}
