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
use super::target::{Target, targets};
use crate::config::{Config, Endpoint};
use crate::error::{Error, OwnSocket};
use crate::sys::fds::{FIRST_FD, OwnListener, own_listeners};

/// An address with the sockets that listen there: one that all slots share, or one per slot.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) place: Place,
    /// Workers wait in `accept(2)` itself.
    is_blocking: bool,
    sockets: Vec<Socket>,
}

/// How the addresses are to be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding<'a> {
    pub(crate) network: Option<Network>,
    /// What set the list of addresses: a variable or the option.
    pub(crate) place: &'a str,
    pub(crate) sharing: Sharing,
    /// How long an address may be in use before it counts as taken.
    pub(crate) patience: Duration,
}

impl<'a> Binding<'a> {
    pub(crate) fn of(config: &'a Config) -> Self {
        let sharing = match (config.reuseport, config.workers) {
            // In single mode there is nobody to share with.
            (_, 0) | (false, _) => Sharing::Shared,
            (true, workers) => Sharing::PerSlot(workers),
        };
        Self {
            network: config.network,
            place: &config.places.listen,
            sharing,
            patience: PATIENCE,
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
/// The first that cannot be resolved or bound, by its name; before anything is bound, all that overlap.
pub(crate) fn bind_all(endpoints: &[Endpoint], binding: Binding<'_>) -> Result<Vec<Bound>, Error> {
    let targets = targets(endpoints, binding.network, binding.place)?;
    let give_up_at = Instant::now() + binding.patience;
    let mut open: Vec<_> = endpoints.iter().zip(targets).enumerate().collect();
    // For port 0 the system must not choose a port that another entry of the list names.
    open.sort_by_key(|(_, (_, target))| target.addr.port() == 0);
    let bound = open.into_iter().map(|(place, (endpoint, target))| {
        let bound = bind_patiently(endpoint, target, binding.sharing, give_up_at)?;
        Ok((place, bound))
    });
    let mut bound = bound.collect::<Result<Vec<_>, Error>>()?;
    bound.sort_by_key(|(place, _)| *place);
    Ok(bound.into_iter().map(|(_, bound)| bound).collect())
}

fn bind_patiently(
    endpoint: &Endpoint,
    target: Target,
    sharing: Sharing,
    give_up_at: Instant,
) -> Result<Bound, Error> {
    let bound = while_in_use(give_up_at, || bind(target, sharing, give_up_at));
    let (sockets, addr) = bound.map_err(|(call, source)| Error::Listen {
        listener: endpoint.name.clone(),
        address: target.addr.to_string(),
        call,
        source: name_own_socket(source, target.addr),
    })?;
    let place = Place {
        name: endpoint.name.clone(),
        addr,
        is_tls: endpoint.is_tls,
    };
    Ok(Bound {
        place,
        is_blocking: false,
        sockets,
    })
}

/// An error with the call that failed.
type Failure = (&'static str, io::Error);

/// Repeats a call for as long as the address is in use, up to the deadline.
fn while_in_use<T>(
    give_up_at: Instant,
    mut call: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    loop {
        match call() {
            Err((_, source))
                if source.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up_at =>
            {
                thread::sleep(RETRY_EVERY);
            }
            done => return done,
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

/// Whether others may bind the same address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Alone,
    Reused,
}

/// Binds and listens, with a socket for each slot where these do not share one.
///
/// The first socket decides who owns the port. It is bound without `SO_REUSEPORT`, since with it another process of the
/// same user would get a share of the connections. Two sockets with `SO_REUSEADDR` may both be bound to one address, but only
/// one of them can listen: so the address is owned from the first `listen` on, also when two masters start together. The
/// kernel asks for `SO_REUSEPORT` when further sockets are bound, not when the first one was (`inet_csk_get_port`), so it is
/// set on the socket that listens already, and the port is never free in between.
fn bind(
    target: Target,
    sharing: Sharing,
    give_up_at: Instant,
) -> Result<(Vec<Socket>, SocketAddr), Failure> {
    let first = bind_one(target, Port::Alone)?;
    let addr = listen(&first, target.addr)?;
    let mut sockets = vec![first];
    let Sharing::PerSlot(slots @ 2..) = sharing else {
        return Ok((sockets, addr));
    };
    sockets[0]
        .set_reuse_port(true)
        .map_err(|source| ("set SO_REUSEPORT for", source))?;
    // With the port that the system chose for 0.
    let target = Target { addr, ..target };
    // Listening in slot order: the kernel numbers the members of a group by that (socket(7)).
    while sockets.len() < slots {
        // A socket of another master's that is refused in its `listen` is in the way for that moment.
        let socket = while_in_use(give_up_at, || {
            let socket = bind_one(target, Port::Reused)?;
            listen(&socket, addr)?;
            Ok(socket)
        })?;
        sockets.push(socket);
    }
    Ok((sockets, addr))
}

fn bind_one(target: Target, port: Port) -> Result<Socket, Failure> {
    let at = |call| move |source| (call, source);
    let Target { addr, only_v6 } = target;
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
    if let Some(only_v6) = only_v6 {
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
pub(crate) fn set_modes(listeners: &mut [Bound], blocking: &[usize]) -> io::Result<()> {
    for (place, bound) in listeners.iter_mut().enumerate() {
        bound.is_blocking = blocking.contains(&place);
        for socket in &bound.sockets {
            socket.set_nonblocking(!bound.is_blocking)?;
        }
    }
    Ok(())
}

impl Bound {
    /// All sockets, in slot order; one if all slots share it.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Binds a socket anew that a process which shares it has shut down (`shutdown(2)`); returns the old one, which is to
    /// be released. Its address is free although copies of it are open.
    ///
    /// # Errors
    /// The socket cannot be bound again; the old one stays.
    pub(crate) fn bind_again(&mut self, index: usize) -> Result<Self, Error> {
        let old = &self.sockets[index];
        let target = Target {
            addr: self.place.addr,
            only_v6: self
                .place
                .addr
                .is_ipv6()
                .then(|| old.only_v6().unwrap_or(false)),
        };
        let port = match self.sockets.len() {
            1 => Port::Alone,
            _ => Port::Reused,
        };
        let bound = bind_one(target, port).and_then(|socket| {
            listen(&socket, target.addr)?;
            let mode = socket.set_nonblocking(!self.is_blocking);
            mode.map_err(|source| ("set the mode of", source))?;
            Ok(socket)
        });
        let socket = bound.map_err(|(call, source)| Error::Listen {
            listener: self.place.name.clone(),
            address: target.addr.to_string(),
            call,
            source: name_own_socket(source, target.addr),
        })?;
        Ok(Self {
            place: self.place.clone(),
            is_blocking: self.is_blocking,
            sockets: vec![std::mem::replace(&mut self.sockets[index], socket)],
        })
    }

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

    const SHARED: Binding<'_> = Binding {
        network: None,
        place: "listen",
        sharing: Sharing::Shared,
        patience: PATIENCE,
    };

    const PER_SLOT: Binding<'_> = Binding {
        network: None,
        place: "listen",
        sharing: Sharing::PerSlot(3),
        patience: PATIENCE,
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

    /// Binds these addresses, with a free port of both families for each P.
    fn bound_at(list: &str, binding: Binding<'_>) -> Vec<Bound> {
        // Bound, and never listening: the system gives the port to no other test.
        let dual = Target {
            addr: "[::]:0".parse().expect("good"),
            only_v6: Some(false),
        };
        let reserved = bind_one(dual, Port::Alone).expect("a free port");
        let port = local_addr(&reserved, dual.addr).expect("bound").port();
        let list = list.split(',').enumerate();
        let list = list.map(|(place, text)| Endpoint {
            name: format!("l{place}"),
            ..Endpoint::of(&text.replace('P', &port.to_string()))
        });
        bind_all(&list.collect::<Vec<_>>(), binding).expect("they fit beside each other")
    }

    #[test]
    fn both_families_are_bound_at_one_port_in_either_order() {
        for list in [
            "0.0.0.0:P,[::]:P",
            "[::]:P,0.0.0.0:P",
            ":P,[::]:P",
            "[::]:P,127.0.0.1:P",
            "127.0.0.1:P,[::1]:P",
            "[::ffff:127.0.0.1]:P,[::]:P",
        ] {
            for sharing in [Sharing::Shared, Sharing::PerSlot(3)] {
                let binding = Binding { sharing, ..SHARED };
                let bound = bound_at(list, binding);
                let addrs: Vec<SocketAddr> = bound.iter().map(|bound| bound.place.addr).collect();
                assert_eq!(addrs[0].port(), addrs[1].port());
                assert_ne!(addrs[0].is_ipv4(), addrs[1].is_ipv4(), "{list}");
                for to in ["127.0.0.1", "::1"] {
                    let to = (to, addrs[0].port());
                    assert!(std::net::TcpStream::connect(to).is_ok(), "{list} {to:?}");
                }
            }
        }
    }

    #[test]
    fn with_network_tcp_a_missing_host_takes_ipv4_as_well_unless_it_stands_beside_it() {
        let binding = Binding {
            network: Some(Network::Tcp),
            ..SHARED
        };
        for list in [":P", "[::]:P", ":P,127.0.0.1:P"] {
            let bound = bound_at(list, binding);
            let to = ("127.0.0.1", bound[0].place.addr.port());
            assert!(std::net::TcpStream::connect(to).is_ok(), "{list}");
        }
    }

    #[test]
    fn the_bound_addresses_are_in_the_order_of_the_list() {
        let bound = bound_at("127.0.0.1:0,127.0.0.1:P", SHARED);
        let names: Vec<_> = bound.iter().map(|bound| &bound.place.name).collect();
        assert_eq!(names, ["l0", "l1"]);
        assert_ne!(bound[0].place.addr, bound[1].place.addr);
    }

    #[test]
    fn addresses_that_overlap_are_refused_before_one_is_bound() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = holder.local_addr().expect("bound").port();
        let list = [format!("localhost:{taken}"), format!("a=127.0.0.1:{taken}")];
        let list = list.map(|text| Endpoint::of(&text));
        let error = bind_all(&list, SHARED).expect_err("they are one address");
        // Binding would say that the port is taken.
        assert_eq!(error.exit_code(), 78, "{error}");
    }

    #[test]
    fn an_owner_is_alone_from_its_first_socket_on() {
        let reserved = bind_all(&[address("127.0.0.1:0")], SHARED).expect("a free port");
        let target = Target {
            addr: reserved[0].place.addr,
            only_v6: None,
        };
        // As the second of two masters that start together: bound before the first one listens.
        drop(reserved);
        let late = bind_one(target, Port::Alone).expect("the port is free");
        let (sockets, _) =
            bind(target, Sharing::PerSlot(2), Instant::now()).expect("it is the first");
        let (call, refused) = listen(&late, target.addr).expect_err("the port has an owner");
        assert_eq!(call, "listen on");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(sockets.len(), 2);
    }

    #[test]
    fn every_socket_of_a_group_gets_connections() {
        let bound = bind_all(&[address("127.0.0.1:0")], PER_SLOT).expect("a free port");
        let connect =
            || std::net::TcpStream::connect(bound[0].place.addr).expect("the queue takes it");
        let _clients: Vec<_> = (0..200).map(|_| connect()).collect();
        for socket in &bound[0].sockets {
            socket.set_nonblocking(true).expect("it is ours");
            assert!(
                socket.accept().is_ok(),
                "of 200 connections each socket has some"
            );
        }
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
        let other = bind_one(
            Target {
                addr,
                only_v6: None,
            },
            Port::Reused,
        )
        .expect("the port is shared");
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
