//! Binding the listeners of the options.
//!
//! The process that binds owns the sockets for as long as it serves: the queue of a socket must
//! outlive the worker that a connection waits for.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use prefork_options::Network;
use socket2::{Socket, Type};

use super::resolve::{ResolvedTarget, resolve_targets};
use super::{ListenAddr, ListenerInfo};
use crate::config::{Config, ListenSpec};
use crate::error::{Error, OwnSocketError};
use crate::sys::fds::{FIRST_FD, OwnListener, own_listeners};

/// The listening sockets of one address: one that all slots share, or one per slot.
#[derive(Debug)]
pub(crate) struct BoundListener {
    pub(crate) info: ListenerInfo,
    /// Whether workers wait in `accept(2)` itself.
    is_blocking: bool,
    sockets: Vec<Socket>,
}

/// How to bind the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BindOptions<'a> {
    pub(crate) network: Option<Network>,
    /// What set the list of addresses: a variable or the option.
    pub(crate) label: &'a str,
    pub(crate) sharing: Sharing,
    /// How long to retry while an address is in use.
    pub(crate) timeout: Duration,
}

impl<'a> BindOptions<'a> {
    pub(crate) fn of(config: &'a Config) -> Self {
        let sharing = match (config.reuseport, config.workers) {
            // In single-process mode nothing shares the socket.
            (_, 0) | (false, _) => Sharing::Shared,
            (true, workers) => Sharing::PerSlot(workers),
        };
        Self {
            network: config.network,
            label: &config.labels.listen,
            sharing,
            timeout: IN_USE_TIMEOUT,
        }
    }
}

/// Which slots accept from a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// All slots.
    Shared,
    /// One socket per slot, for this number of slots.
    PerSlot(usize),
}

/// The kernel limits this to `net.core.somaxconn`, which the operator can set.
const BACKLOG: i32 = 65_535;

/// How long to retry.
///
/// If a master was killed, its draining workers close their listeners at once, but possibly after
/// the next master has started.
const IN_USE_TIMEOUT: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Binds all addresses, or none.
///
/// # Errors
/// The first address that cannot be resolved or bound. Overlapping addresses are reported before
/// any is bound.
pub(crate) fn bind_all(
    specs: &[ListenSpec],
    binding: BindOptions<'_>,
) -> Result<Vec<BoundListener>, Error> {
    let targets = resolve_targets(specs, binding.network, binding.label)?;
    let give_up_at = Instant::now() + binding.timeout;
    let mut bound: Vec<Option<BoundListener>> = specs.iter().map(|_| None).collect();
    // Port 0 comes last: the kernel must not choose a port that another entry of the list names.
    for is_any_port in [false, true] {
        for ((spec, target), bound) in specs.iter().zip(&targets).zip(&mut bound) {
            let addr = target.address.socket_addr();
            if addr.is_some_and(|addr| addr.port() == 0) == is_any_port {
                *bound = Some(bind_with_retry(spec, target, binding.sharing, give_up_at)?);
            }
        }
    }
    Ok(bound.into_iter().flatten().collect())
}

fn bind_with_retry(
    spec: &ListenSpec,
    target: &ResolvedTarget,
    sharing: Sharing,
    give_up_at: Instant,
) -> Result<BoundListener, Error> {
    let bound = retry_while_in_use(give_up_at, || bind(target, sharing, give_up_at));
    let (sockets, address) = bound.map_err(listen_error(&spec.name, &target.address))?;
    let info = ListenerInfo {
        name: spec.name.clone(),
        address,
        transport: spec.transport,
    };
    Ok(BoundListener {
        info,
        is_blocking: false,
        sockets,
    })
}

/// The system call that failed, as a verb, and its error.
type BindFailure = (&'static str, io::Error);

fn listen_error(listener: &str, address: &ListenAddr) -> impl FnOnce(BindFailure) -> Error {
    move |(call, source)| Error::Listen {
        listener: listener.to_owned(),
        address: address.to_string(),
        call,
        source: name_own_socket(source, address),
    }
}

/// Repeats a call while the address is in use, until the deadline.
fn retry_while_in_use<T>(
    give_up_at: Instant,
    mut call: impl FnMut() -> Result<T, BindFailure>,
) -> Result<T, BindFailure> {
    loop {
        match call() {
            Err((_, source))
                if source.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up_at =>
            {
                thread::sleep(RETRY_INTERVAL);
            }
            done => return done,
        }
    }
}

/// Replaces the error if this process itself holds the address.
///
/// The socket is from socket activation, or the program opened it.
fn name_own_socket(source: io::Error, address: &ListenAddr) -> io::Error {
    if source.kind() != io::ErrorKind::AddrInUse {
        return source;
    }
    let own = address
        .socket_addr()
        .and_then(|addr| own_listeners().find(|own| covers(*own, addr)));
    let Some(own) = own else {
        return source;
    };
    let cause = OwnSocketError {
        fd: own.number,
        is_activation: is_activation(own.number),
    };
    io::Error::new(io::ErrorKind::AddrInUse, cause)
}

/// Whether a listening socket of this process prevents `addr` from being bound.
fn covers(own: OwnListener, addr: SocketAddr) -> bool {
    let is_wildcard = own.addr.ip().is_unspecified() || addr.ip().is_unspecified();
    let is_one_family = own.addr.is_ipv4() == addr.is_ipv4();
    own.addr.port() == addr.port()
        && (own.addr.ip() == addr.ip() || is_wildcard && (is_one_family || !own.is_only_v6))
}

/// Whether the descriptor is from socket activation (`sd_listen_fds(3)`).
fn is_activation(fd: RawFd) -> bool {
    let number = |name| std::env::var(name).ok()?.parse::<i64>().ok();
    let is_for_us = number("LISTEN_PID") == Some(i64::from(std::process::id()));
    let first = i64::from(FIRST_FD);
    let end = number("LISTEN_FDS").map_or(first, |count| first.saturating_add(count));
    is_for_us && (first..end).contains(&i64::from(fd))
}

/// Whether other sockets may bind the same address (`SO_REUSEPORT`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReusePort {
    Off,
    On,
}

/// Binds and listens, with one socket per slot if the slots do not share one.
///
/// The first socket decides who owns the port. It is bound without `SO_REUSEPORT`: with that flag,
/// another process of the same user would get a share of the connections. Two sockets with
/// `SO_REUSEADDR` may both be bound to one address, but only one of them can listen. So the address
/// has an owner from the first `listen` on, even if two masters start at the same time. The kernel
/// requires `SO_REUSEPORT` when further sockets are bound, not when the first one was bound
/// (`inet_csk_get_port`). So the flag is set on the listening socket, and the port is never free in
/// between.
fn bind(
    target: &ResolvedTarget,
    sharing: Sharing,
    give_up_at: Instant,
) -> Result<(Vec<Socket>, ListenAddr), BindFailure> {
    let first = bind_one(target, ReusePort::Off)?;
    let address = listen(&first, &target.address)?;
    let mut sockets = vec![first];
    let Sharing::PerSlot(slots @ 2..) = sharing else {
        return Ok((sockets, address));
    };
    sockets[0]
        .set_reuse_port(true)
        .map_err(|source| ("set SO_REUSEPORT for", source))?;
    // If the port was 0, this address has the port that the kernel chose.
    let target = ResolvedTarget {
        address,
        only_v6: target.only_v6,
    };
    // Listen in slot order: the kernel numbers the members of a group by that order (socket(7)).
    while sockets.len() < slots {
        // Another master's socket that is rejected in its `listen` blocks the address for a moment.
        let socket = retry_while_in_use(give_up_at, || {
            let socket = bind_one(&target, ReusePort::On)?;
            listen(&socket, &target.address)?;
            Ok(socket)
        })?;
        sockets.push(socket);
    }
    Ok((sockets, target.address))
}

fn bind_one(target: &ResolvedTarget, port: ReusePort) -> Result<Socket, BindFailure> {
    let at = |call| move |source| (call, source);
    let addr = target.address.to_sock_addr();
    // The default protocol of a stream socket with an IP address is TCP.
    let socket = Socket::new(addr.domain(), Type::STREAM, None).map_err(at("open a socket for"))?;
    // Connections of an earlier run in TIME_WAIT do not block the port (socket(7)).
    socket
        .set_reuse_address(true)
        .map_err(at("set SO_REUSEADDR for"))?;
    if port == ReusePort::On {
        socket
            .set_reuse_port(true)
            .map_err(at("set SO_REUSEPORT for"))?;
    }
    if let Some(only_v6) = target.only_v6 {
        socket
            .set_only_v6(only_v6)
            .map_err(at("set IPV6_V6ONLY for"))?;
    }
    socket.bind(&addr).map_err(at("bind"))?;
    Ok(socket)
}

/// Returns the address of the socket.
fn listen(socket: &Socket, address: &ListenAddr) -> Result<ListenAddr, BindFailure> {
    socket
        .listen(BACKLOG)
        .map_err(|source| ("listen on", source))?;
    let local = socket.local_addr();
    let local = local.map_err(|source| ("read the address of", source))?;
    Ok(ListenAddr::from_sock_addr(&local).unwrap_or_else(|| address.clone()))
}

/// Sets the sockets of all listeners to blocking or non-blocking mode.
///
/// `blocking` has the indexes of the listeners to set to blocking mode.
///
/// The flag belongs to the socket, not to the descriptor: all processes that share it see the
/// change.
///
/// # Errors
/// None that a listening socket can have.
pub(crate) fn set_blocking_modes(
    listeners: &mut [BoundListener],
    blocking: &[usize],
) -> io::Result<()> {
    for (index, bound) in listeners.iter_mut().enumerate() {
        bound.is_blocking = blocking.contains(&index);
        for socket in &bound.sockets {
            socket.set_nonblocking(!bound.is_blocking)?;
        }
    }
    Ok(())
}

impl BoundListener {
    /// All sockets, in slot order; one if all slots share it.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Replaces a socket on which another process has called `shutdown(2)`.
    ///
    /// Returns the old socket, for `close_sockets`. Its address is free although copies of
    /// it are open.
    ///
    /// # Errors
    /// The address cannot be bound again. The old socket stays.
    pub(crate) fn rebind(&mut self, index: usize) -> Result<Self, Error> {
        let old = &self.sockets[index];
        let target = ResolvedTarget {
            address: self.info.address.clone(),
            // Other sockets than those of IPv6 do not have the option.
            only_v6: old.only_v6().ok(),
        };
        let port = match self.sockets.len() {
            1 => ReusePort::Off,
            _ => ReusePort::On,
        };
        let bound = bind_one(&target, port).and_then(|socket| {
            listen(&socket, &target.address)?;
            let mode = socket.set_nonblocking(!self.is_blocking);
            mode.map_err(|source| ("set O_NONBLOCK for", source))?;
            Ok(socket)
        });
        let socket = bound.map_err(listen_error(&self.info.name, &target.address))?;
        Ok(Self {
            info: self.info.clone(),
            is_blocking: self.is_blocking,
            sockets: vec![std::mem::replace(&mut self.sockets[index], socket)],
        })
    }

    /// The socket that children of this slot accept from.
    pub(crate) fn socket_of(&self, slot: usize) -> BorrowedFd<'_> {
        self.sockets[slot % self.sockets.len()].as_fd()
    }

    /// Stops listening, also on copies of the sockets in other processes.
    ///
    /// Such a process is a program that a worker forked, or a worker that cannot be killed.
    ///
    /// Afterwards a process that sets `SO_REUSEADDR`, as every master does, can bind the address.
    /// Waiting connections are reset, as by the close of the last copy. Sockets of other masters
    /// that share the port by `SO_REUSEPORT` are not affected. Do not call this for a socket that
    /// another process passed to this one: that process continues to use it (`sd_listen_fds(3)`).
    ///
    /// This blocks if another process that shares the sockets delays the close: a worker can turn a
    /// listening socket that it inherited into a connection, and let its last close wait for unsent
    /// data (`SO_LINGER` in `socket(7)`).
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(crate) fn close_sockets(self) {
        for socket in self.sockets {
            // This fails if a worker has done the same: then the address is already free.
            let _ = socket.shutdown(std::net::Shutdown::Both);
            // The close of a listening socket does not wait, even if this call fails.
            let _ = socket.set_linger(None);
        }
    }

    /// Returns the descriptor of the first slot and drops the rest.
    pub(crate) fn into_fd(mut self) -> OwnedFd {
        self.sockets.swap_remove(0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: BindOptions<'_> = BindOptions {
        network: None,
        label: "listen",
        sharing: Sharing::Shared,
        timeout: IN_USE_TIMEOUT,
    };

    const PER_SLOT: BindOptions<'_> = BindOptions {
        network: None,
        label: "listen",
        sharing: Sharing::PerSlot(3),
        timeout: IN_USE_TIMEOUT,
    };

    fn addr_of(bound: &BoundListener) -> SocketAddr {
        bound.info.socket_addr().expect("an IP address")
    }

    fn target(addr: SocketAddr, only_v6: Option<bool>) -> ResolvedTarget {
        let address = ListenAddr::Ip(addr);
        ResolvedTarget { address, only_v6 }
    }

    fn address(text: &str) -> ListenSpec {
        ListenSpec {
            name: "http".to_owned(),
            ..ListenSpec::of(text)
        }
    }

    #[test]
    fn port_zero_gives_the_real_port() {
        let both = [address("127.0.0.1:0"), address("[::1]:0")];
        let bound = bind_all(&both, SHARED).expect("free ports");
        assert!(bound.iter().all(|listener| addr_of(listener).port() != 0));
        assert_ne!(bound[0].info, bound[1].info);
    }

    #[test]
    fn an_empty_host_and_a_host_name_are_ipv4() {
        let bound = bind_all(&[address(":0"), address("localhost:0")], SHARED).expect("free ports");
        assert!(bound.iter().all(|listener| addr_of(listener).is_ipv4()));
    }

    #[test]
    fn every_slot_has_its_own_socket_at_the_same_address() {
        let bound = bind_all(&[address("127.0.0.1:0")], PER_SLOT).expect("a free port");
        let local = |socket: &Socket| socket.local_addr().ok().and_then(|addr| addr.as_socket());
        assert_eq!(bound[0].sockets.len(), 3);
        assert!(
            bound[0]
                .sockets
                .iter()
                .all(|s| local(s) == Some(addr_of(&bound[0])))
        );
    }

    /// Binds these addresses. Each P stands for one port that is free in both families.
    fn bound_at(list: &str, binding: BindOptions<'_>) -> Vec<BoundListener> {
        // The socket is bound and never listens: the kernel gives the port to no other test.
        let dual = target("[::]:0".parse().expect("a valid address"), Some(false));
        let reserved = bind_one(&dual, ReusePort::Off).expect("a free port");
        let local = reserved.local_addr().expect("bound").as_socket();
        let port = local.expect("an IP address").port();
        let list = list.split(',').enumerate();
        let list = list.map(|(index, text)| ListenSpec {
            name: format!("l{index}"),
            ..ListenSpec::of(&text.replace('P', &port.to_string()))
        });
        bind_all(&list.collect::<Vec<_>>(), binding).expect("the addresses do not overlap")
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
                let binding = BindOptions { sharing, ..SHARED };
                let bound = bound_at(list, binding);
                let addrs: Vec<SocketAddr> = bound.iter().map(addr_of).collect();
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
    fn with_network_tcp_an_empty_host_accepts_ipv4_unless_another_listener_does() {
        let binding = BindOptions {
            network: Some(Network::Tcp),
            ..SHARED
        };
        for list in [":P", "[::]:P", ":P,127.0.0.1:P"] {
            let bound = bound_at(list, binding);
            let to = ("127.0.0.1", addr_of(&bound[0]).port());
            assert!(std::net::TcpStream::connect(to).is_ok(), "{list}");
        }
    }

    #[test]
    fn bound_addresses_are_in_the_order_of_the_list() {
        let bound = bound_at("127.0.0.1:0,127.0.0.1:P", SHARED);
        let names: Vec<_> = bound.iter().map(|bound| &bound.info.name).collect();
        assert_eq!(names, ["l0", "l1"]);
        assert_ne!(addr_of(&bound[0]), addr_of(&bound[1]));
    }

    #[test]
    fn overlapping_addresses_are_rejected_before_any_is_bound() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = holder.local_addr().expect("bound").port();
        let list = [format!("localhost:{taken}"), format!("a=127.0.0.1:{taken}")];
        let list = list.map(|text| ListenSpec::of(&text));
        let error = bind_all(&list, SHARED).expect_err("the addresses are the same");
        // A bind would fail with 'address in use' (status 69) instead.
        assert_eq!(error.exit_code(), 78, "{error}");
    }

    #[test]
    fn the_first_listening_socket_owns_the_port() {
        let reserved = bind_all(&[address("127.0.0.1:0")], SHARED).expect("a free port");
        let target = target(addr_of(&reserved[0]), None);
        // The second of two masters that start together binds before the first one listens.
        drop(reserved);
        let late = bind_one(&target, ReusePort::Off).expect("the port is free");
        let (sockets, _) =
            bind(&target, Sharing::PerSlot(2), Instant::now()).expect("it listens first");
        let (call, error) = listen(&late, &target.address).expect_err("the port has an owner");
        assert_eq!(call, "listen on");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(sockets.len(), 2);
    }

    #[test]
    fn every_socket_of_a_reuseport_group_gets_connections() {
        let bound = bind_all(&[address("127.0.0.1:0")], PER_SLOT).expect("a free port");
        let connect =
            || std::net::TcpStream::connect(addr_of(&bound[0])).expect("the queue has space");
        let _clients: Vec<_> = (0..200).map(|_| connect()).collect();
        for socket in &bound[0].sockets {
            socket.set_nonblocking(true).expect("the socket is open");
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
            let text = error.report();
            assert!(text.contains("'http'") && text.contains(&taken), "{text}");
            assert_eq!(error.exit_code(), 69);
        }
    }

    #[test]
    fn a_port_of_another_owner_with_reuseport_is_an_error() {
        let foreign = bind_all(&[address("127.0.0.1:0")], PER_SLOT).expect("a free port");
        let taken = address(&addr_of(&foreign[0]).to_string());
        assert!(bind_all(&[taken], PER_SLOT).is_err());
    }

    #[test]
    fn a_port_that_becomes_free_in_time_is_bound() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = holder.local_addr().expect("bound").to_string();
        let release = thread::spawn(move || {
            thread::sleep(RETRY_INTERVAL * 3);
            drop(holder);
        });
        assert!(bind_all(&[address(&taken)], SHARED).is_ok());
        release.join().expect("the thread only drops the listener");
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
            let again = address(&addr_of(&bound).to_string());
            bound.close_sockets();
            bind_all(&[again], binding).expect("the address is free");
            drop(copies);
        }
    }

    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    #[test]
    fn a_release_does_not_affect_sockets_of_other_processes_on_the_port() {
        let bound = bind_all(&[address("127.0.0.1:0")], PER_SLOT).expect("a free port");
        let bound = bound.into_iter().next().expect("one address");
        let addr = addr_of(&bound);
        // The socket of another process of the same user, with SO_REUSEPORT.
        let shared = target(addr, None);
        let other = bind_one(&shared, ReusePort::On).expect("the port is shared");
        listen(&other, &shared.address).expect("it can listen");
        bound.close_sockets();
        for _ in 0..8 {
            let client = std::net::TcpStream::connect(addr).expect("the other socket listens");
            other
                .accept()
                .expect("each connection goes to the other socket");
            drop(client);
        }
    }

    #[test]
    fn an_unknown_host_is_an_error_that_names_it() {
        let unknown = address("no-such-host.invalid:80");
        let error = bind_all(&[unknown], SHARED).expect_err("the host is unknown");
        assert!(
            error.to_string().contains("no-such-host.invalid"),
            "{error}"
        );
        assert_eq!(error.exit_code(), 68);
    }
}
