//! Binding what the options ask for. The process that binds owns the sockets for as long as it
//! serves: a queue must outlive the worker that it waits for.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use prefork_options::Network;
use socket2::{Domain, Protocol, Socket, Type};

use super::Place;
use super::resolve::resolve_one;
use crate::config::{Config, Endpoint};
use crate::error::{Error, OwnSocket};
use crate::sys::fds::{FIRST_FD, OwnListener, own_listeners};

/// An address with the sockets that listen there: one that all slots share, or one per slot.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) place: Place,
    sockets: Vec<Socket>,
}

/// How the addresses are to be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) network: Option<Network>,
    pub(crate) sharing: Sharing,
}

impl Binding {
    pub(crate) fn of(config: &Config) -> Self {
        let sharing = match (config.reuseport, config.workers) {
            // In single mode there is nobody to share with.
            (_, 0) | (false, _) => Sharing::Shared,
            (true, workers) => Sharing::PerSlot(workers),
        };
        Self {
            network: config.network,
            sharing,
        }
    }
}

/// Who accepts from a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Every slot.
    Shared,
    /// One slot each, so many of them.
    PerSlot(usize),
}

/// The kernel cuts this to `net.core.somaxconn`: the operator's word.
const BACKLOG: i32 = 65_535;

/// A leaver of a master that was killed closes its listener at once, but not before the next
/// master is there.
const PATIENCE: Duration = Duration::from_secs(1);
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// Binds all addresses, or none.
///
/// # Errors
/// The first that cannot be resolved or bound, by its name.
pub(crate) fn bind_all(endpoints: &[Endpoint], binding: Binding) -> Result<Vec<Bound>, Error> {
    let give_up_at = Instant::now() + PATIENCE;
    endpoints
        .iter()
        .map(|endpoint| bind_patiently(endpoint, binding, give_up_at))
        .collect()
}

fn bind_patiently(
    endpoint: &Endpoint,
    binding: Binding,
    give_up_at: Instant,
) -> Result<Bound, Error> {
    let listener = endpoint.name.clone();
    let addr = resolve_one(endpoint, binding.network)?;
    loop {
        match bind(addr, binding) {
            Ok((sockets, addr)) => {
                let place = Place {
                    name: listener,
                    addr,
                    is_tls: endpoint.is_tls,
                };
                return Ok(Bound { place, sockets });
            }
            Err((_, source))
                if source.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up_at =>
            {
                thread::sleep(RETRY_EVERY);
            }
            Err((call, source)) => {
                let source = name_own_socket(source, addr);
                return Err(Error::Listen {
                    listener,
                    address: addr.to_string(),
                    call,
                    source,
                });
            }
        }
    }
}

/// The cause, if this process holds the address itself: by socket activation, or a socket that the program opened.
fn name_own_socket(source: io::Error, addr: SocketAddr) -> io::Error {
    if source.kind() != io::ErrorKind::AddrInUse {
        return source;
    }
    let Some(own) = own_listeners().find(|own| covers(*own, addr)) else {
        return source;
    };
    let cause = OwnSocket {
        fd: own.number,
        is_activation: is_activation(own.number),
    };
    io::Error::new(io::ErrorKind::AddrInUse, cause)
}

/// Whether a socket of this process keeps `addr` from being bound.
fn covers(own: OwnListener, addr: SocketAddr) -> bool {
    let is_wildcard = own.addr.ip().is_unspecified() || addr.ip().is_unspecified();
    let is_one_family = own.addr.is_ipv4() == addr.is_ipv4();
    own.addr.port() == addr.port()
        && (own.addr.ip() == addr.ip() || is_wildcard && (is_one_family || !own.is_only_v6))
}

/// Whether `LISTEN_FDS` announces this descriptor to this process (`sd_listen_fds(3)`).
fn is_activation(fd: RawFd) -> bool {
    let number = |name| std::env::var(name).ok()?.parse::<i64>().ok();
    let is_for_us = number("LISTEN_PID") == Some(i64::from(std::process::id()));
    let first = i64::from(FIRST_FD);
    let end = number("LISTEN_FDS").map_or(first, |count| first.saturating_add(count));
    is_for_us && (first..end).contains(&i64::from(fd))
}

/// An error with the call that failed.
type Failure = (&'static str, io::Error);

/// Whether others may bind the same address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Alone,
    Reused,
}

fn bind(addr: SocketAddr, binding: Binding) -> Result<(Vec<Socket>, SocketAddr), Failure> {
    let network = binding.network;
    let Sharing::PerSlot(slots) = binding.sharing else {
        let socket = bind_one(addr, network, Port::Alone)?;
        let addr = listen(&socket, addr)?;
        return Ok((vec![socket], addr));
    };
    // With SO_REUSEPORT a stranger of the same user would simply get a share of the connections:
    // ask without it first. Port 0 has no owner yet.
    if addr.port() != 0 {
        bind_one(addr, network, Port::Alone)?;
    }
    // It holds a port that the system chose until the others are bound to it; it never listens,
    // and so gets no connection.
    let placeholder = bind_one(addr, network, Port::Reused)?;
    let addr = local_addr(&placeholder, addr)?;
    // Listening in slot order: the kernel numbers the members of a group by that (socket(7)).
    let sockets = (0..slots).map(|_| {
        let socket = bind_one(addr, network, Port::Reused)?;
        listen(&socket, addr)?;
        Ok(socket)
    });
    Ok((sockets.collect::<Result<_, Failure>>()?, addr))
}

fn bind_one(addr: SocketAddr, network: Option<Network>, port: Port) -> Result<Socket, Failure> {
    let at = |call| move |source| (call, source);
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))
        .map_err(at("open a socket for"))?;
    // Connections of an earlier run in TIME_WAIT do not keep the port (socket(7)).
    socket
        .set_reuse_address(true)
        .map_err(at("set SO_REUSEADDR for"))?;
    if port == Port::Reused {
        socket
            .set_reuse_port(true)
            .map_err(at("set SO_REUSEPORT for"))?;
    }
    if addr.is_ipv6()
        && let Some(network) = network
    {
        let only_v6 = network == Network::Tcp6;
        socket
            .set_only_v6(only_v6)
            .map_err(at("set IPV6_V6ONLY for"))?;
    }
    socket.bind(&addr.into()).map_err(at("bind"))?;
    Ok(socket)
}

fn listen(socket: &Socket, addr: SocketAddr) -> Result<SocketAddr, Failure> {
    socket
        .listen(BACKLOG)
        .map_err(|source| ("listen on", source))?;
    local_addr(socket, addr)
}

fn local_addr(socket: &Socket, addr: SocketAddr) -> Result<SocketAddr, Failure> {
    let local = socket.local_addr();
    let local = local.map_err(|source| ("read the address of", source))?;
    Ok(local.as_socket().unwrap_or(addr))
}

/// Gives each listener the mode in which it is accepted from: without waiting, but for those in `blocking`, by their
/// places. The flag belongs to the socket, not to the process: whoever shares the socket shares it.
///
/// # Errors
/// None that a socket of ours can have.
pub(crate) fn set_modes(listeners: &[Bound], blocking: &[usize]) -> io::Result<()> {
    for (place, bound) in listeners.iter().enumerate() {
        for socket in &bound.sockets {
            socket.set_nonblocking(!blocking.contains(&place))?;
        }
    }
    Ok(())
}

impl Bound {
    /// The socket that the children of this slot accept from.
    pub(crate) fn socket_of(&self, slot: usize) -> BorrowedFd<'_> {
        self.sockets[slot % self.sockets.len()].as_fd()
    }

    /// Ends listening, also for copies of the sockets that other processes have: a program that a worker forked, a worker
    /// that cannot be killed. The address is free at once for who sets `SO_REUSEADDR`, as every master does.
    ///
    /// Connections that still wait are reset, as by the close of the last copy. Only these sockets are concerned, not those
    /// of other masters that share the port by `SO_REUSEPORT`. It must not be called for a socket that this process was
    /// given: the giver goes on with it (`sd_listen_fds(3)`).
    ///
    /// This blocks if a process that shares the sockets holds them up: a worker can make a connection out of a listening
    /// socket that it inherited, and have its last close wait for unsent data (`SO_LINGER` in `socket(7)`).
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(crate) fn release(self) {
        for socket in self.sockets {
            // It fails where a worker has done so: then the address is free already.
            let _ = socket.shutdown(std::net::Shutdown::Both);
            // A listening socket has nothing to wait for, whether this fails or not.
            let _ = socket.set_linger(None);
        }
    }

    /// The descriptor alone, of the first slot.
    pub(crate) fn into_fd(mut self) -> OwnedFd {
        self.sockets.swap_remove(0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Binding = Binding {
        network: None,
        sharing: Sharing::Shared,
    };

    const PER_SLOT: Binding = Binding {
        network: None,
        sharing: Sharing::PerSlot(3),
    };

    fn address(text: &str) -> Endpoint {
        Endpoint {
            name: "http".to_owned(),
            ..Endpoint::of(text)
        }
    }

    #[test]
    fn port_zero_gives_the_real_port() {
        let both = [address("127.0.0.1:0"), address("[::1]:0")];
        let bound = bind_all(&both, SHARED).expect("free ports");
        assert!(bound.iter().all(|listener| listener.place.addr.port() != 0));
        assert_ne!(bound[0].place, bound[1].place);
    }

    #[test]
    fn an_empty_host_and_a_host_name_are_ipv4() {
        let bound = bind_all(&[address(":0"), address("localhost:0")], SHARED).expect("free ports");
        assert!(bound.iter().all(|listener| listener.place.addr.is_ipv4()));
    }

    #[test]
    fn every_slot_has_a_socket_of_its_own_at_the_same_address() {
        let bound = bind_all(&[address("127.0.0.1:0")], PER_SLOT).expect("a free port");
        let local = |socket: &Socket| socket.local_addr().ok().and_then(|addr| addr.as_socket());
        assert_eq!(bound[0].sockets.len(), 3);
        assert!(
            bound[0]
                .sockets
                .iter()
                .all(|s| local(s) == Some(bound[0].place.addr))
        );
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_the_listener() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = holder.local_addr().expect("bound").to_string();
        for binding in [SHARED, PER_SLOT] {
            let error = bind_all(&[address(&taken)], binding).expect_err("the port is taken");
            let text = error.paragraph();
            assert!(text.contains("'http'") && text.contains(&taken), "{text}");
            assert_eq!(error.exit_code(), 69);
        }
    }

    #[test]
    fn a_foreign_owner_that_would_share_its_port_is_an_error_too() {
        let foreign = bind_all(&[address("127.0.0.1:0")], PER_SLOT).expect("a free port");
        let taken = address(&foreign[0].place.addr.to_string());
        assert!(bind_all(&[taken], PER_SLOT).is_err());
    }

    #[test]
    fn a_port_that_gets_free_in_time_is_bound() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = holder.local_addr().expect("bound").to_string();
        let release = thread::spawn(move || {
            thread::sleep(RETRY_EVERY * 3);
            drop(holder);
        });
        assert!(bind_all(&[address(&taken)], SHARED).is_ok());
        release.join().expect("it only drops");
    }

    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    #[test]
    fn a_released_address_is_free_although_copies_are_open() {
        for binding in [SHARED, PER_SLOT] {
            let bound = bind_all(&[address("127.0.0.1:0")], binding).expect("a free port");
            let bound = bound.into_iter().next().expect("one address");
            let copies: Vec<_> = bound
                .sockets
                .iter()
                .map(|socket| socket.try_clone().expect("descriptors"))
                .collect();
            let again = address(&bound.place.addr.to_string());
            bound.release();
            bind_all(&[again], binding).expect("it is free");
            drop(copies);
        }
    }

    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    #[test]
    fn a_release_leaves_the_sockets_of_others_on_the_same_port_alone() {
        let bound = bind_all(&[address("127.0.0.1:0")], PER_SLOT).expect("a free port");
        let bound = bound.into_iter().next().expect("one address");
        let addr = bound.place.addr;
        // Another process of the same user that asks for its share.
        let other = bind_one(addr, None, Port::Reused).expect("the port is shared");
        listen(&other, addr).expect("it can listen");
        bound.release();
        for _ in 0..8 {
            let client = std::net::TcpStream::connect(addr).expect("the other one listens");
            other.accept().expect("each connection is its own");
            drop(client);
        }
    }

    #[test]
    fn an_unknown_host_is_an_error_that_names_it() {
        let unknown = address("no-such-host.invalid:80");
        let error = bind_all(&[unknown], SHARED).expect_err("unknown");
        assert!(
            error.to_string().contains("no-such-host.invalid"),
            "{error}"
        );
        assert_eq!(error.exit_code(), 68);
    }
}
