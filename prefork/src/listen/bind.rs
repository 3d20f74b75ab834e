//! Binding the listeners of the options.
//!
//! The process that binds owns the sockets for as long as it serves: the queue of a socket must
//! outlive the worker that a connection waits for.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use prefork_options::{Addr, Network, Transport};
use socket2::Socket;

use super::activation::close_unused;
use super::bind_target::{BindTarget, OnSocket, SocketDefaults};
use super::resolve::{ResolvedTarget, resolve_targets};
use super::unix_file::BindFailure;
use super::{ListenerInfo, SocketFile};
use crate::config::{Config, ListenSpec};
use crate::error::{Error, OwnSocketError};
use crate::sys;
use crate::sys::addr::from_sock_addr;
use crate::sys::fds::{OwnListener, own_listeners};

/// The listening sockets of one listener.
#[derive(Debug)]
pub(crate) struct BoundListener {
    pub(crate) info: ListenerInfo,
    /// Whether workers wait in `accept(2)` itself.
    is_blocking: bool,
    /// One for each address of the info.
    addresses: Vec<BoundAddress>,
    /// The addresses of its host name that this machine does not have.
    left_out: Vec<(Addr, io::Error)>,
}

/// The listening sockets of one address: one that all slots share, or one per slot.
#[derive(Debug)]
struct BoundAddress {
    /// How the sockets were bound, with the real port.
    target: BindTarget,
    /// The file of a unix socket. It is removed before the socket is closed, so that no other
    /// master takes it for a stale one meanwhile.
    file: Option<SocketFile>,
    sockets: Vec<Socket>,
    /// Why the slots share one socket, although each should have its own.
    shared_because: Option<io::Error>,
}

/// How to bind the addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BindOptions<'a> {
    pub(crate) network: Option<Network>,
    /// What set the list of addresses: a variable or the option.
    pub(crate) label: &'a str,
    /// For listeners whose slots can have sockets of their own.
    pub(crate) sharing: Sharing,
    /// How long to retry while an address is in use.
    pub(crate) timeout: Duration,
    /// The options of listeners that set no own.
    pub(crate) defaults: SocketDefaults,
    pub(crate) on_socket: Option<&'a OnSocket>,
}

impl<'a> BindOptions<'a> {
    pub(crate) fn of(config: &'a Config, on_socket: Option<&'a OnSocket>) -> Self {
        let sharing = match config.workers {
            // In single-process mode nothing shares the socket.
            0 => Sharing::Shared,
            workers => Sharing::PerSlot(workers),
        };
        Self {
            network: config.network,
            label: &config.labels.listen,
            sharing,
            timeout: IN_USE_TIMEOUT,
            defaults: SocketDefaults {
                backlog: config.backlog,
                v6only: config.v6only,
                nodelay: config.nodelay,
            },
            on_socket,
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

/// How long to retry.
///
/// If a master was killed, its draining workers close their listeners at once, but possibly after
/// the next master has started.
const IN_USE_TIMEOUT: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// As [`RETRY_INTERVAL`], for unix sockets: each attempt connects to the server that owns the path.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(100);

/// Binds all addresses, or none.
///
/// # Errors
/// The first address that cannot be resolved or bound. Overlapping addresses are reported before
/// any is bound.
pub(crate) fn bind_all(
    specs: &[ListenSpec],
    binding: BindOptions<'_>,
) -> Result<Vec<BoundListener>, Error> {
    let v6only = binding.defaults.v6only;
    let targets = resolve_targets(specs, binding.network, v6only, binding.label)?;
    let give_up_at = Instant::now() + binding.timeout;
    let mut bound: Vec<Option<BoundListener>> = specs.iter().map(|_| None).collect();
    // Port 0 comes last: the kernel must not choose a port that another entry of the list names.
    for is_any_port in [false, true] {
        for ((spec, target), bound) in specs.iter().zip(&targets).zip(&mut bound) {
            // All addresses of a listener have one port.
            let mut addrs = target.sockets.iter().map(|one| one.address.socket_addr());
            if addrs.any(|addr| addr.is_some_and(|addr| addr.port() == 0)) == is_any_port {
                *bound = Some(bind_with_retry(spec, target, binding, give_up_at)?);
            }
        }
    }
    Ok(bound.into_iter().flatten().collect())
}

fn bind_with_retry(
    spec: &ListenSpec,
    resolved: &ResolvedTarget,
    binding: BindOptions<'_>,
    give_up_at: Instant,
) -> Result<BoundListener, Error> {
    let target = |socket| {
        let (owner, hook) = (resolved.owner, binding.on_socket);
        BindTarget::new(spec, socket, owner, binding.defaults, hook)
    };
    let targets: Vec<BindTarget> = resolved.sockets.iter().map(target).collect();
    let sharing = if spec.ring_width > 0 && resolved.has_slots(spec) {
        binding.sharing
    } else {
        Sharing::Shared
    };
    let interval = match targets[0].info.address() {
        Addr::UnixPath(_) => RECONNECT_INTERVAL,
        _ => RETRY_INTERVAL,
    };
    let mut last = 0;
    let opened = retry_while_in_use(give_up_at, interval, || {
        open_all(&targets, sharing, give_up_at, &mut last)
    });
    opened.map_err(listen_error(&targets[last].info))
}

/// Opens the sockets of all addresses of a listener, or of none.
///
/// With port 0, the kernel chooses the port of the first address. If it is in use at another one,
/// the error is that of a port in use, and the next call gets another port. IPv6 addresses that this
/// machine does not have are left out if there is another address. `last` becomes the index of the
/// address with the error.
fn open_all(
    targets: &[BindTarget],
    sharing: Sharing,
    give_up_at: Instant,
    last: &mut usize,
) -> Result<BoundListener, BindFailure> {
    let mut addresses: Vec<BoundAddress> = Vec::new();
    let mut left_out = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        *last = index;
        let mut target = target.clone();
        if let Some(first) = addresses.first() {
            target.use_port_of(&first.target);
        }
        match open(&mut target, sharing, give_up_at) {
            Ok(opened) => addresses.push(BoundAddress {
                target,
                file: opened.file,
                sockets: opened.sockets,
                shared_because: opened.shared_because,
            }),
            Err((_, error)) if target.is_absent(&error) && targets.len() > 1 => {
                left_out.push((target.info.address().clone(), error));
            }
            Err(failure) => return Err(failure),
        }
    }
    let infos = addresses.iter().map(|bound| bound.target.info.clone());
    let info = infos.reduce(|mut info, other| {
        info.merge(other);
        info
    });
    let Some(info) = info else {
        let last = left_out.pop().map(|(_, error)| error);
        let last = last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
        return Err(("bind", last));
    };
    Ok(BoundListener {
        info,
        is_blocking: false,
        addresses,
        left_out,
    })
}

fn listen_error(info: &ListenerInfo) -> impl FnOnce(BindFailure) -> Error {
    move |(call, source)| Error::Listen {
        listener: info.name.clone(),
        address: info.address().to_string(),
        call,
        source: name_own_socket(source, info.address()),
    }
}

/// Repeats a call while the address is in use, until the deadline.
fn retry_while_in_use<T>(
    give_up_at: Instant,
    interval: Duration,
    mut call: impl FnMut() -> Result<T, BindFailure>,
) -> Result<T, BindFailure> {
    loop {
        match call() {
            Err((_, source))
                if source.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up_at =>
            {
                thread::sleep(interval);
            }
            done => return done,
        }
    }
}

/// Replaces the error if this process itself holds the address.
///
/// The program opened the socket, or inherited it.
fn name_own_socket(source: io::Error, address: &Addr) -> io::Error {
    if source.kind() != io::ErrorKind::AddrInUse {
        return source;
    }
    let own = address
        .socket_addr()
        .and_then(|addr| own_listeners().find(|own| covers(*own, addr)));
    let Some(own) = own else {
        return source;
    };
    let cause = OwnSocketError { fd: own.number };
    io::Error::new(io::ErrorKind::AddrInUse, cause)
}

/// Whether a listening socket of this process prevents `addr` from being bound.
fn covers(own: OwnListener, addr: SocketAddr) -> bool {
    let is_wildcard = own.addr.ip().is_unspecified() || addr.ip().is_unspecified();
    let is_one_family = own.addr.is_ipv4() == addr.is_ipv4();
    own.addr.port() == addr.port()
        && (own.addr.ip() == addr.ip() || is_wildcard && (is_one_family || !own.is_only_v6))
}

/// Whether other sockets may bind the same address (`SO_REUSEPORT`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReusePort {
    Off,
    On,
}

/// The sockets of one address.
struct OpenedSockets {
    sockets: Vec<Socket>,
    /// The file of a unix socket.
    file: Option<SocketFile>,
    /// Why all slots share one socket, although each should have its own.
    shared_because: Option<io::Error>,
}

impl OpenedSockets {
    /// One socket, for all slots.
    fn one(socket: Socket, file: Option<SocketFile>) -> Self {
        Self {
            sockets: vec![socket],
            file,
            shared_because: None,
        }
    }
}

/// Opens the sockets of an address. Sets the address to the real one, if the port was 0.
fn open(
    target: &mut BindTarget,
    sharing: Sharing,
    give_up_at: Instant,
) -> Result<OpenedSockets, BindFailure> {
    if let Some(number) = target.fd {
        let fd = sys::fds::duplicate(number).map_err(|source| ("use", source))?;
        let socket = Socket::from(fd);
        target.set_nodelay(&socket)?;
        if target.relisten {
            target.listen(&socket)?;
        }
        return Ok(OpenedSockets::one(socket, None));
    }
    if let Addr::UnixPath(path) = target.info.address() {
        let socket = target.socket()?;
        let file = SocketFile::bind(&socket, path, target.owner, || target.listen(&socket))?;
        return Ok(OpenedSockets::one(socket, Some(file)));
    }
    bind(target, sharing, give_up_at)
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
///
/// If the system rejects `SO_REUSEPORT`, the slots share the first socket.
fn bind(
    target: &mut BindTarget,
    sharing: Sharing,
    give_up_at: Instant,
) -> Result<OpenedSockets, BindFailure> {
    let first = bind_one(target, ReusePort::Off)?;
    target.listen(&first)?;
    let local = first.local_addr();
    let local = local.map_err(|source| ("read the address of", source))?;
    if let Some(real) = from_sock_addr(&local) {
        target.set_address(real);
    }
    let mut opened = OpenedSockets::one(first, None);
    let Sharing::PerSlot(slots @ 2..) = sharing else {
        return Ok(opened);
    };
    if let Err(error) = opened.sockets[0].set_reuse_port(true) {
        opened.shared_because = Some(error);
        return Ok(opened);
    }
    // Listen in slot order: the kernel numbers the members of a group by that order (socket(7)).
    while opened.sockets.len() < slots {
        // Another master's socket that is rejected in its `listen` blocks the address for a moment.
        let socket = retry_while_in_use(give_up_at, RETRY_INTERVAL, || {
            let socket = bind_one(target, ReusePort::On)?;
            target.listen(&socket)?;
            Ok(socket)
        })?;
        opened.sockets.push(socket);
    }
    Ok(opened)
}

fn bind_one(target: &BindTarget, port: ReusePort) -> Result<Socket, BindFailure> {
    let at = |call| move |source| (call, source);
    let socket = target.socket()?;
    if port == ReusePort::On {
        socket
            .set_reuse_port(true)
            .map_err(at("set SO_REUSEPORT for"))?;
    }
    let addr = target.sock_addr()?;
    socket.bind(&addr).map_err(at("bind"))?;
    Ok(socket)
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
        for socket in bound.addresses.iter().flat_map(|one| &one.sockets) {
            socket.set_nonblocking(!bound.is_blocking)?;
        }
    }
    Ok(())
}

/// Closes the sockets of socket activation that no listener uses. Returns a warning that describes
/// them.
pub(crate) fn close_left_over(listeners: &[BoundListener]) -> Option<String> {
    close_unused(|number| {
        let mut addresses = listeners.iter().flat_map(|bound| &bound.addresses);
        addresses.any(|one| one.target.fd == Some(number))
    })
}

/// Returns a warning for each listener whose slots share a socket, although each should have its own.
pub(crate) fn shared_warnings(listeners: &[BoundListener]) -> impl Iterator<Item = String> {
    let warning = |bound: &BoundListener| {
        let mut addresses = bound.addresses.iter();
        let error = addresses.find_map(|one| one.shared_because.as_ref())?;
        let name = bound.info.name();
        Some(format!(
            "reuseport has no effect on listener '{name}': SO_REUSEPORT cannot be set \
             (setsockopt): {error}, so all workers share one socket"
        ))
    };
    listeners.iter().filter_map(warning)
}

/// Returns a warning for each listener some of whose addresses this machine does not have.
pub(crate) fn left_out_warnings(listeners: &[BoundListener]) -> impl Iterator<Item = String> {
    let warning = |bound: &BoundListener| {
        let (_, error) = bound.left_out.first()?;
        let left_out = bound
            .left_out
            .iter()
            .map(|(address, _)| address.to_string());
        let (name, left_out) = (bound.info.name(), left_out.collect::<Vec<_>>().join(", "));
        Some(format!(
            "listener '{name}' does not listen at {left_out}, an address of its host that this \
             machine does not have: {error}"
        ))
    };
    listeners.iter().filter_map(warning)
}

impl BoundListener {
    /// All sockets: those of each address in slot order; one per address if all slots share it.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let sockets = self.addresses.iter().flat_map(|one| &one.sockets);
        sockets.map(AsFd::as_fd)
    }

    /// Replaces a socket on which another process has called `shutdown(2)`.
    ///
    /// `index` is its place among [`sockets`](Self::sockets).
    ///
    /// Returns the old socket, for `close_sockets`. Its address is free although copies of
    /// it are open.
    ///
    /// # Errors
    /// The address cannot be bound again. The old socket stays.
    pub(crate) fn rebind(&mut self, mut index: usize) -> Result<Self, Error> {
        let is_blocking = self.is_blocking;
        let has_it = |one: &&mut BoundAddress| {
            let count = one.sockets.len();
            let is_here = index < count;
            index -= if is_here { 0 } else { count };
            is_here
        };
        let found = self.addresses.iter_mut().find(has_it);
        let bound = found.expect("the index is that of a socket");
        let port = match bound.sockets.len() {
            1 => ReusePort::Off,
            _ => ReusePort::On,
        };
        let opened = match (bound.target.fd, bound.target.info.address()) {
            (Some(_), _) => {
                let reason = "another process has shut the socket down";
                Err(("use", io::Error::other(reason)))
            }
            (_, Addr::UnixPath(_)) => open(&mut bound.target, Sharing::Shared, Instant::now())
                .map(|mut opened| (opened.sockets.swap_remove(0), opened.file)),
            (_, _) => bind_one(&bound.target, port).and_then(|socket| {
                bound.target.listen(&socket)?;
                Ok((socket, None))
            }),
        };
        let opened = opened.and_then(|(socket, file)| {
            let mode = socket.set_nonblocking(!is_blocking);
            mode.map_err(|source| ("set O_NONBLOCK for", source))?;
            Ok((socket, file))
        });
        let (socket, file) = opened.map_err(listen_error(&bound.target.info))?;
        if let Some(replaced) = std::mem::replace(&mut bound.file, file) {
            replaced.leave();
        }
        Ok(Self {
            info: bound.target.info.clone(),
            is_blocking,
            addresses: vec![BoundAddress {
                target: bound.target.clone(),
                file: None,
                sockets: vec![std::mem::replace(&mut bound.sockets[index], socket)],
                shared_because: None,
            }],
            left_out: Vec::new(),
        })
    }

    /// Each address whose slots have sockets of their own, with one of these sockets.
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Addr, BorrowedFd<'_>)> {
        let groups = self.addresses.iter().filter(|one| one.sockets.len() > 1);
        groups.map(|one| (one.target.info.address(), one.sockets[0].as_fd()))
    }

    /// Whether its sockets accept connections. A datagram socket does not listen.
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(crate) fn is_listening(&self) -> bool {
        self.info.transport != Transport::Datagram
    }

    /// Whether each slot has sockets of its own.
    pub(crate) fn has_slots(&self) -> bool {
        self.addresses.iter().any(|one| one.sockets.len() > 1)
    }

    /// The sockets that belong to this slot alone.
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(crate) fn own_sockets_of(&self, slot: usize) -> impl Iterator<Item = BorrowedFd<'_>> {
        let several = self.addresses.iter().filter(|one| one.sockets.len() > 1);
        several.filter_map(move |one| one.sockets.get(slot).map(AsFd::as_fd))
    }

    /// The sockets that a child of this slot has from its start on: one for each address.
    ///
    /// A standby, which has no slot, has those of any slot, so that it knows the addresses.
    pub(crate) fn sockets_of(&self, slot: usize) -> impl Iterator<Item = BorrowedFd<'_>> {
        let all = self.addresses.iter().map(|one| &one.sockets);
        all.map(move |sockets| sockets[slot % sockets.len()].as_fd())
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
        for one in self.addresses {
            one.close_sockets();
        }
    }

    /// Returns the descriptors of the first slot and the files, and drops the rest.
    pub(crate) fn into_parts(self) -> (Vec<OwnedFd>, Vec<SocketFile>) {
        let part = |mut one: BoundAddress| (OwnedFd::from(one.sockets.swap_remove(0)), one.file);
        let (fds, files): (_, Vec<_>) = self.addresses.into_iter().map(part).unzip();
        (fds, files.into_iter().flatten().collect())
    }
}

impl BoundAddress {
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    fn close_sockets(self) {
        drop(self.file);
        if self.target.fd.is_some() {
            return;
        }
        for socket in self.sockets {
            // This fails if a worker has done the same: then the address is already free.
            let _ = socket.shutdown(std::net::Shutdown::Both);
            // The close of a listening socket does not wait, even if this call fails.
            let _ = socket.set_linger(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use socket2::Type;

    use super::super::open_socket::address_of;
    use super::super::resolve::ResolvedSocket;
    use super::super::unix_file::FileOwner;
    use super::*;

    const SHARED: BindOptions<'_> = BindOptions {
        network: None,
        label: "listen",
        sharing: Sharing::Shared,
        timeout: IN_USE_TIMEOUT,
        defaults: SocketDefaults {
            backlog: 65_535,
            v6only: None,
            nodelay: false,
        },
        on_socket: None,
    };

    const PER_SLOT: BindOptions<'_> = BindOptions {
        sharing: Sharing::PerSlot(3),
        ..SHARED
    };

    /// The sockets of a listener with one address.
    fn sockets_of(bound: &BoundListener) -> &[Socket] {
        let [one] = &bound.addresses[..] else {
            panic!("{:?}", bound.info);
        };
        &one.sockets
    }

    fn addr_of(bound: &BoundListener) -> SocketAddr {
        bound.info.socket_addr().expect("an IP address")
    }

    fn target(addr: SocketAddr, only_v6: Option<bool>) -> BindTarget {
        BindTarget {
            info: ListenerInfo::new("http".to_owned(), Addr::Ip(addr), Transport::Stream),
            fd: None,
            only_v6,
            owner: FileOwner::default(),
            backlog: 128,
            relisten: false,
            nodelay: None,
            on_socket: None,
        }
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
    fn an_empty_host_is_ipv4() {
        let bound = bind_all(&[address(":0")], SHARED).expect("a free port");
        assert!(addr_of(&bound[0]).is_ipv4());
    }

    /// Binds a listener whose host name has these addresses.
    fn bind_host(
        ips: &[&str],
        port: u16,
        binding: BindOptions<'_>,
    ) -> Result<BoundListener, Error> {
        let socket = |ip: &&str| ResolvedSocket {
            address: Addr::Ip(SocketAddr::new(ip.parse().expect("an IP address"), port)),
            fd: None,
            only_v6: None,
        };
        let resolved = ResolvedTarget {
            sockets: ips.iter().map(socket).collect(),
            owner: FileOwner::default(),
        };
        let give_up_at = Instant::now() + binding.timeout;
        bind_with_retry(&address("host:0"), &resolved, binding, give_up_at)
    }

    #[test]
    fn a_host_listens_at_all_its_addresses_at_one_port() {
        for binding in [SHARED, PER_SLOT] {
            let bound = bind_host(&["127.0.0.1", "::1", "127.0.0.2"], 0, binding).expect("free");
            let addrs: Vec<_> = bound
                .info
                .addresses()
                .iter()
                .map(Addr::socket_addr)
                .collect();
            let port = addr_of(&bound).port();
            let expected = ["127.0.0.1", "::1", "127.0.0.2"];
            let expected = expected.map(|ip| Some(SocketAddr::new(ip.parse().expect("IP"), port)));
            assert_eq!(addrs, expected);
            for addr in addrs.into_iter().flatten() {
                std::net::TcpStream::connect(addr).expect("it listens");
            }
            let locals = |slot| -> Vec<_> {
                let sockets = bound.sockets_of(slot);
                let local = |fd| socket2::SockRef::from(&fd).local_addr().expect("bound");
                sockets.map(|fd| local(fd).as_socket()).collect()
            };
            assert_eq!(
                (locals(0), locals(2)),
                (expected.to_vec(), expected.to_vec())
            );
            assert_eq!(left_out_warnings(&[bound]).count(), 0);
        }
    }

    #[test]
    fn a_port_that_is_in_use_at_another_address_of_the_host_is_replaced() {
        let taken = Arc::new(std::sync::Mutex::new(None));
        let note = Arc::clone(&taken);
        // Another process takes the port that the kernel chose for the first address.
        let hook = OnSocket::new(move |_, info| {
            let addr = info.socket_addr().expect("an IP address");
            let mut taken = note.lock().expect("no panic");
            if addr.port() != 0 && taken.is_none() {
                *taken = Some(std::net::TcpListener::bind(addr)?);
            }
            Ok(())
        });
        let options = BindOptions {
            on_socket: Some(&hook),
            ..SHARED
        };
        let bound = bind_host(&["127.0.0.1", "127.0.0.3"], 0, options).expect("another port");
        let taken = taken.lock().expect("no panic").take().expect("it was free");
        let taken = taken.local_addr().expect("bound");
        assert_ne!(addr_of(&bound).port(), taken.port());
        let ports = bound.info.addresses().iter().filter_map(Addr::socket_addr);
        assert!(
            ports
                .map(|addr| addr.port())
                .eq([addr_of(&bound).port(); 2])
        );
    }

    #[test]
    fn a_port_in_use_at_one_address_is_an_error_that_names_it_and_binds_nothing() {
        let holder = std::net::TcpListener::bind("127.0.0.4:0").expect("a free port");
        let port = holder.local_addr().expect("bound").port();
        let options = BindOptions {
            timeout: Duration::ZERO,
            ..SHARED
        };
        let error = bind_host(&["127.0.0.5", "127.0.0.4"], port, options).expect_err("in use");
        let text = error.report();
        assert!(text.contains(&format!("127.0.0.4:{port}")), "{text}");
        std::net::TcpListener::bind(("127.0.0.5", port)).expect("it is free");
    }

    #[test]
    fn an_ipv6_address_that_the_machine_does_not_have_is_left_out_with_a_warning() {
        // RFC 3849 reserves these addresses for documents.
        let absent = "2001:db8::1";
        let bound = bind_host(&[absent, "127.0.0.1", "fe80::1"], 0, SHARED).expect("a free port");
        assert_eq!(bound.info.addresses().len(), 1);
        assert!(addr_of(&bound).is_ipv4());
        let warnings: Vec<String> = left_out_warnings(&[bound]).collect();
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0]
                .starts_with("listener 'http' does not listen at [2001:db8::1]:0, [fe80::1]:"),
            "{warnings:?}"
        );
        let error = bind_host(&[absent, absent], 0, SHARED).expect_err("there is no other");
        assert!(error.to_string().contains(absent), "{error}");
        bind_host(&[absent], 0, SHARED).expect_err("there is no other");
        // An IPv4 address of another machine is a mistake.
        bind_host(&["127.0.0.1", "192.0.2.1"], 0, SHARED).expect_err("no such address");
    }

    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    #[test]
    fn each_socket_of_a_host_is_bound_again_at_its_address() {
        for binding in [SHARED, PER_SLOT] {
            let mut bound = bind_host(&["127.0.0.1", "127.0.0.2"], 0, binding).expect("free");
            let local = |bound: &BoundListener, index| {
                let fd = bound.sockets().nth(index).expect("a socket");
                let local = socket2::SockRef::from(&fd).local_addr().expect("bound");
                local.as_socket().expect("an IP address")
            };
            for index in 0..bound.sockets().count() {
                let before = local(&bound, index);
                let fd = bound.sockets().nth(index).expect("a socket");
                let down = socket2::SockRef::from(&fd).shutdown(std::net::Shutdown::Both);
                down.expect("it listens");
                let old = bound.rebind(index).expect("the address is free");
                assert_eq!(old.info.socket_addr(), Some(before));
                old.close_sockets();
                assert_eq!(local(&bound, index), before);
                std::net::TcpStream::connect(before).expect("it listens");
            }
            let addrs: Vec<_> = bound.info.addresses().to_vec();
            bound.close_sockets();
            for addr in addrs.iter().filter_map(Addr::socket_addr) {
                std::net::TcpStream::connect(addr).expect_err("it is closed");
            }
        }
    }

    #[test]
    fn every_slot_has_its_own_socket_at_the_same_address() {
        let bound = bind_all(&[address("127.0.0.1:0")], PER_SLOT).expect("a free port");
        let local = |socket: &Socket| socket.local_addr().ok().and_then(|addr| addr.as_socket());
        assert_eq!(sockets_of(&bound[0]).len(), 3);
        assert!(
            sockets_of(&bound[0])
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
        let mut target = target(addr_of(&reserved[0]), None);
        // The second of two masters that start together binds before the first one listens.
        drop(reserved);
        let late = bind_one(&target, ReusePort::Off).expect("the port is free");
        let opened =
            bind(&mut target, Sharing::PerSlot(2), Instant::now()).expect("it listens first");
        let (call, error) = target.listen(&late).expect_err("the port has an owner");
        assert_eq!(call, "listen on");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(opened.sockets.len(), 2);
    }

    #[test]
    fn every_socket_of_a_reuseport_group_gets_connections() {
        let bound = bind_all(&[address("127.0.0.1:0")], PER_SLOT).expect("a free port");
        let connect =
            || std::net::TcpStream::connect(addr_of(&bound[0])).expect("the queue has space");
        let _clients: Vec<_> = (0..200).map(|_| connect()).collect();
        for socket in sockets_of(&bound[0]) {
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
            let copies: Vec<_> = sockets_of(&bound)
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
        shared.listen(&other).expect("it can listen");
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

    fn bound(text: &str) -> Result<BoundListener, Error> {
        let bound = bind_all(&[address(text)], PER_SLOT);
        bound.map(|mut bound| bound.swap_remove(0))
    }

    #[test]
    fn unix_and_datagram_sockets_are_shared_by_all_slots() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().display();
        let name = format!("prefork-test-{}", std::process::id());
        for (text, transport) in [
            (format!("unix:{path}/stream"), Transport::Stream),
            (format!("tls://unix:{path}/tls"), Transport::Tls),
            (format!("unixgram:{path}/datagram"), Transport::Datagram),
            (format!("unix:@{name}"), Transport::Stream),
            ("udp://127.0.0.1:0".to_owned(), Transport::Datagram),
        ] {
            let bound = bound(&text).expect(&text);
            assert_eq!(
                (sockets_of(&bound).len(), bound.info.transport()),
                (1, transport)
            );
            let fd = sockets_of(&bound)[0]
                .try_clone()
                .expect("descriptors")
                .into();
            let found = address_of(&fd, transport);
            assert_eq!(found.as_ref(), Ok(bound.info.address()), "{text}");
        }
        let left = std::fs::read_dir(directory.path()).expect("it exists");
        assert_eq!(left.count(), 0, "a listener that is dropped leaves no file");
    }

    #[test]
    fn an_abstract_name_has_one_owner() {
        let text = format!("unix:@prefork-test-owner-{}", std::process::id());
        let first = bound(&text).expect("a free name");
        let options = BindOptions {
            timeout: Duration::ZERO,
            ..SHARED
        };
        let error = bind_all(&[address(&text)], options).expect_err("the name has an owner");
        assert_eq!(error.exit_code(), 69);
        drop(first);
        bound(&text).expect("the name is free");
    }

    #[test]
    fn an_open_descriptor_is_used_and_not_shut_down() {
        use std::os::fd::AsRawFd;

        let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let text = format!("fd:{}?nodelay=true&backlog=5", holder.as_raw_fd());
        let bound = bound(&text).expect("it listens");
        let addr = addr_of(&bound);
        assert_eq!(Some(addr), holder.local_addr().ok());
        assert_eq!(sockets_of(&bound)[0].tcp_nodelay().ok(), Some(true));
        #[cfg(all(target_os = "linux", not(prefork_portable)))]
        bound.close_sockets();
        std::net::TcpStream::connect(addr).expect("the holder still listens");
    }

    #[test]
    fn a_descriptor_of_another_kind_is_an_error() {
        use std::os::fd::AsRawFd;

        let datagram = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let stream = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let file = std::fs::File::open("/dev/null").expect("the device exists");
        let client = Socket::new(socket2::Domain::IPV4, Type::STREAM, None).expect("descriptors");
        for (scheme, number, reason) in [
            ("", datagram.as_raw_fd(), "not a stream socket"),
            ("udp://", stream.as_raw_fd(), "not a datagram socket"),
            ("", file.as_raw_fd(), "not a socket"),
            ("tls://", client.as_raw_fd(), "not a listening socket"),
            ("", 1_000_000, "not open"),
        ] {
            let text = format!("{scheme}fd:{number}");
            let error = bound(&text).expect_err(reason).report();
            let expected = format!("listener 'http': cannot use {text}: {reason}. ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn the_options_of_a_listener_are_set() {
        let bound = bound("127.0.0.1:0?nodelay=true").expect("a free port");
        assert!(
            sockets_of(&bound)
                .iter()
                .all(|socket| socket.tcp_nodelay().unwrap_or(false))
        );
        let client = std::net::TcpStream::connect(addr_of(&bound)).expect("it listens");
        let accepted = sockets_of(&bound).iter().find_map(|socket| {
            socket.set_nonblocking(true).expect("a socket");
            socket.accept().ok()
        });
        let (accepted, _) = accepted.expect("a connection waits");
        assert_eq!(accepted.tcp_nodelay().ok(), Some(true), "it is inherited");
        drop(client);
    }

    #[test]
    fn the_hook_gets_every_socket_before_it_is_bound() {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = Arc::clone(&seen);
        let hook = OnSocket::new(move |socket, info| {
            let port = socket.local_addr()?.as_socket().map(|addr| addr.port());
            note.lock()
                .expect("no panic")
                .push((info.to_string(), port));
            socket.set_keepalive(true)
        });
        let options = BindOptions {
            on_socket: Some(&hook),
            ..PER_SLOT
        };
        let bound = bind_all(&[address("127.0.0.1:0")], options).expect("a free port");
        assert!(
            sockets_of(&bound[0])
                .iter()
                .all(|s| s.keepalive().unwrap_or(false))
        );
        let seen = seen.lock().expect("no panic");
        assert_eq!(seen[0], ("http=127.0.0.1:0".to_owned(), Some(0)));
        assert_eq!(seen.len(), 3);

        let hook = OnSocket::new(|_, _| Err(io::Error::other("not today")));
        let options = BindOptions {
            on_socket: Some(&hook),
            ..SHARED
        };
        let error = bind_all(&[address("127.0.0.1:0")], options).expect_err("the hook fails");
        let text = error.report();
        assert!(
            text.contains("cannot run on_socket for 127.0.0.1:0: not today"),
            "{text}"
        );
    }

    #[test]
    fn the_options_for_all_listeners_yield_to_those_of_one() {
        let options = BindOptions {
            defaults: SocketDefaults {
                nodelay: true,
                v6only: Some(true),
                ..SHARED.defaults
            },
            ..SHARED
        };
        let list = [
            "[::1]:0",
            "127.0.0.1:0?nodelay=false",
            "[::]:0?v6only=false",
        ];
        let list = list.map(address);
        let bound = bind_all(&list, options).expect("free ports");
        let nodelay = bound.iter().map(|b| sockets_of(b)[0].tcp_nodelay().ok());
        assert!(nodelay.eq([Some(true), Some(false), Some(true)]));
        assert_eq!(sockets_of(&bound[0])[0].only_v6().ok(), Some(true));
        assert_eq!(sockets_of(&bound[2])[0].only_v6().ok(), Some(false));
    }

    #[test]
    fn an_unknown_owner_or_group_is_an_error_before_a_bind() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("app.sock");
        for option in ["owner=no-such-user", "group=no-such-group"] {
            let text = format!("unix:{}?{option}", path.display());
            let error = bound(&text).expect_err(option);
            assert_eq!(error.exit_code(), 78);
            assert!(error.to_string().contains("this machine has no"), "{error}");
            assert!(!path.exists());
        }
    }

    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    #[test]
    fn a_unix_socket_that_was_shut_down_is_bound_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("app.sock");
        let mut bound = bound(&format!("unix:{}", path.display())).expect("a free path");
        let down = sockets_of(&bound)[0].shutdown(std::net::Shutdown::Both);
        down.expect("it listens");
        std::os::unix::net::UnixStream::connect(&path).expect_err("it is shut down");
        let old = bound.rebind(0).expect("the file is stale");
        old.close_sockets();
        std::os::unix::net::UnixStream::connect(&path).expect("it listens again");
        bound.close_sockets();
        assert!(!path.exists());
    }
}
