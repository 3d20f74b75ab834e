//! Resolves the listeners of the options into addresses that can be bound.
//!
//! It checks that the resolved addresses do not overlap. Overlaps that the text of the option shows
//! were rejected earlier.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::os::fd::RawFd;

use nix::net::if_::{if_indextoname, if_nametoindex};
use nix::unistd::{Group, User};
use prefork_options::overlap::{self, HostAddr, Overlap};
use prefork_options::{Addr, Endpoint, Network, Transport, host, network};

use super::activation::{PassedSocket, passed_sockets};
use super::open_socket::{address_of_open, canonical_ip};
use super::unix_file::{self, FileOwner};
use crate::config::ListenSpec;
use crate::error::{Error, OptionError};

/// A listener, resolved and ready to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvedTarget {
    /// At least one. Either all are open descriptors, or none.
    pub(super) sockets: Vec<ResolvedSocket>,
    pub(super) owner: FileOwner,
}

/// One socket of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvedSocket {
    pub(super) address: Addr,
    /// The open descriptor that is used instead of a new socket: the option names it, or socket
    /// activation passed it.
    pub(super) fd: Option<RawFd>,
    /// Whether an IPv6 socket rejects IPv4 (`IPV6_V6ONLY`, ipv6(7)). `None` keeps the default of
    /// the system.
    pub(super) only_v6: Option<bool>,
}

impl ResolvedTarget {
    /// Whether it can have one socket per slot: only new TCP sockets can.
    pub(crate) fn has_slots(&self, spec: &ListenSpec) -> bool {
        let is_new_ip =
            |socket: &ResolvedSocket| socket.fd.is_none() && socket.address.socket_addr().is_some();
        !is_datagram(spec) && self.sockets.iter().all(is_new_ip)
    }

    /// Writes the addresses and the options.
    pub(crate) fn display(&self, spec: &ListenSpec) -> String {
        let sockets = self.sockets.iter().map(|socket| socket.display(spec));
        sockets.collect::<Vec<_>>().join(", ")
    }
}

impl ResolvedSocket {
    /// Writes the address and the options. If it means all interfaces, writes also which families it
    /// accepts.
    fn display(&self, spec: &ListenSpec) -> String {
        if let (Some(fd), false) = (self.fd, spec.endpoint.number().is_some()) {
            return format!("{} (fd {fd} of socket activation)", self.address);
        }
        let address = match (&spec.endpoint, self.address.endpoint()) {
            (Endpoint::Fd(_), _) => format!("{} ({})", spec.address(), self.address),
            (_, Some(endpoint)) => format!("{}{endpoint}", spec.transport.scheme(&endpoint)),
            (_, None) => spec.address(),
        };
        let addr = self.address.socket_addr();
        let is_everywhere = addr.is_some_and(|addr| addr.ip().is_unspecified());
        let family = match self.only_v6 {
            Some(true) if is_everywhere => ", IPv6 only",
            Some(false) if is_everywhere => ", IPv6 and IPv4",
            _ => "",
        };
        format!("{address}{}{family}", spec.options)
    }
}

/// Resolves every listener and binds none.
///
/// `v6only` is that option for all listeners. `label` names what set the list of listeners: a
/// variable or the option.
///
/// # Errors
/// The first listener whose host has no address in the network, whose path cannot be bound or whose
/// descriptor is no such socket; or all listeners that overlap an earlier one, that have several
/// addresses and must have one, or whose owner or group does not exist. Or the variables of socket
/// activation are wrong, or one of its sockets does not fit its listener.
pub(crate) fn resolve_targets(
    specs: &[ListenSpec],
    network: Option<Network>,
    v6only: Option<bool>,
    label: &str,
) -> Result<Vec<ResolvedTarget>, Error> {
    resolve_with(specs, network, v6only, label, &look_up)
}

/// Looks up the addresses of a host name.
type LookUp<'a> = &'a dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

fn resolve_with(
    specs: &[ListenSpec],
    network: Option<Network>,
    v6only: Option<bool>,
    label: &str,
    look_up: LookUp<'_>,
) -> Result<Vec<ResolvedTarget>, Error> {
    let sources = sources(specs, network, &passed_sockets()?, look_up)?;
    let mut errors = overlaps(specs, &sources);
    let listeners = specs.iter().zip(&sources);
    errors.extend(listeners.filter_map(|(spec, sources)| not_one_address(spec, sources)));
    let mut owner = |spec| {
        let owner = file_owner(spec);
        owner
            .map_err(|reason| errors.push(reason))
            .unwrap_or_default()
    };
    let owners: Vec<FileOwner> = specs.iter().map(&mut owner).collect();
    if !errors.is_empty() {
        let bad = |reason| OptionError {
            label: label.to_owned(),
            reason,
        };
        return Err(Error::Options(errors.into_iter().map(bad).collect()));
    }
    let sockets = |index: usize| {
        let socket = |(address, fd): &Source| ResolvedSocket {
            only_v6: only_v6(index, address, specs, &sources, v6only, network),
            address: address.clone(),
            fd: *fd,
        };
        sources[index].iter().map(socket).collect()
    };
    let target = |(index, owner): (usize, FileOwner)| ResolvedTarget {
        sockets: sockets(index),
        owner,
    };
    Ok(owners.into_iter().enumerate().map(target).collect())
}

/// Returns an error for each listener that an earlier one overlaps.
///
/// Open descriptors are not compared: the sockets exist already.
fn overlaps(specs: &[ListenSpec], sources: &[Vec<Source>]) -> Vec<String> {
    let new = |index: usize| {
        let sources: &[Source] = &sources[index];
        let new = sources.iter().filter(|(_, fd)| fd.is_none());
        new.map(move |(address, _)| (&specs[index], address))
    };
    let mistake = |index: usize| {
        let earlier = (0..index).flat_map(new);
        let mut pairs = earlier.flat_map(|first| new(index).map(move |second| [first, second]));
        let (pair, overlap) = pairs.find_map(|pair| Some((pair, overlap_of(pair)?)))?;
        let [first, second] = pair.map(|(spec, address)| display_address(spec, address));
        Some(overlap.mistake(&first, &second).to_string())
    };
    (0..specs.len()).filter_map(mistake).collect()
}

/// Returns an error if a listener has several addresses and only one socket can be used.
fn not_one_address(spec: &ListenSpec, sources: &[Source]) -> Option<String> {
    let [(first, _), _, ..] = sources else {
        return None;
    };
    let (reason, other_way) = if is_datagram(spec) {
        ("a listener for datagrams has one socket", "")
    } else if spec.is_raw {
        (
            "main takes it as one socket of std or tokio",
            ", or take it as prefork::net::Listener",
        )
    } else {
        return None;
    };
    let addresses: Vec<String> = sources
        .iter()
        .map(|(address, _)| address.to_string())
        .collect();
    let (count, addresses) = (addresses.len(), addresses.join(", "));
    let example = first.endpoint().map_or_else(String::new, |endpoint| {
        let scheme = spec.transport.scheme(&endpoint);
        format!(", as in '{}={scheme}{endpoint}'", spec.name)
    });
    Some(format!(
        "'{spec}' has {count} addresses ({addresses}), but {reason}: set one of them{example}{other_way}"
    ))
}

/// Returns how two addresses overlap. Port 0 never overlaps.
fn overlap_of([first, second]: [(&ListenSpec, &Addr); 2]) -> Option<Overlap> {
    let (Addr::Ip(one), Addr::Ip(other)) = (first.1, second.1) else {
        // The text of the option shows whether two unix sockets overlap.
        return None;
    };
    let is_one_port = one.port() == other.port() && one.port() != 0;
    if !is_one_port || is_datagram(first.0) != is_datagram(second.0) {
        return None;
    }
    overlap::between(&host_addr(first.0, one), &host_addr(second.0, other))
}

fn is_datagram(spec: &ListenSpec) -> bool {
    spec.transport == Transport::Datagram
}

/// Returns the listener as written, and after a host name also its address.
fn display_address(spec: &ListenSpec, address: &Addr) -> String {
    if spec.endpoint.is_literal() {
        return spec.to_string();
    }
    format!("{spec} ({address})")
}

fn host_addr(spec: &ListenSpec, addr: &SocketAddr) -> HostAddr<u32> {
    HostAddr {
        ip: addr.ip(),
        zone: match addr {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(addr) => addr.scope_id(),
        },
        is_dual_stack: spec.options.v6only == Some(false),
    }
}

/// Decides whether an IPv6 socket accepts IPv6 only.
///
/// A socket at `[::]` that also accepts IPv4 cannot be bound together with an IPv4 listener of the
/// same port. So next to such a listener the socket accepts IPv6 only, unless its own option decides.
/// Otherwise the option for all listeners decides, or the network.
fn only_v6(
    index: usize,
    address: &Addr,
    specs: &[ListenSpec],
    sources: &[Vec<Source>],
    default: Option<bool>,
    network: Option<Network>,
) -> Option<bool> {
    let spec = &specs[index];
    let addr = address.socket_addr().filter(SocketAddr::is_ipv6)?;
    if spec.options.v6only.is_some() {
        return spec.options.v6only;
    }
    let is_ipv4_on_the_port = |(other, source): (usize, &Source)| {
        let other_addr = source.0.socket_addr().filter(SocketAddr::is_ipv4);
        // With port 0, only the addresses of one listener get the same port.
        (addr.port() != 0 || other == index)
            && is_datagram(&specs[other]) == is_datagram(spec)
            && other_addr.is_some_and(|other| other.port() == addr.port())
    };
    let mut all = sources.iter().enumerate();
    if all.any(|(other, all)| {
        all.iter()
            .any(|source| is_ipv4_on_the_port((other, source)))
    }) {
        return Some(true);
    }
    let network = family(spec).or(network);
    default.or_else(|| network.map(|network| network == Network::Tcp6))
}

/// The address family that the scheme of an address requires.
fn family(spec: &ListenSpec) -> Option<Network> {
    match spec.endpoint {
        Endpoint::HostPort { family, .. } => family,
        Endpoint::Unix(_) | Endpoint::Fd(_) => None,
    }
}

/// Looks up the owner and the group of a unix socket. The error is a reason.
fn file_owner(spec: &ListenSpec) -> Result<FileOwner, String> {
    let number = |name: &str| name.parse::<u32>().ok();
    let unknown = |what: &str, name: &str| format!("'{spec}': this machine has no {what} {name}");
    let options = &spec.options;
    let user = options.owner.as_ref().map(|name| {
        let known = User::from_name(name).ok().flatten();
        let user = known.map(|user| user.uid.as_raw()).or_else(|| number(name));
        user.ok_or_else(|| unknown("user", name))
    });
    let group = options.group.as_ref().map(|name| {
        let known = Group::from_name(name).ok().flatten();
        let group = known
            .map(|group| group.gid.as_raw())
            .or_else(|| number(name));
        group.ok_or_else(|| unknown("group", name))
    });
    Ok(FileOwner {
        mode: options.mode,
        user: user.transpose()?,
        group: group.transpose()?,
    })
}

/// The address of a listener, and the open descriptor that it uses instead of a new socket.
type Source = (Addr, Option<RawFd>);

/// Finds the addresses of each listener, and the sockets of socket activation that are used.
///
/// A passed socket belongs to the listener with its name. If no listener has its name, or other
/// sockets have it too, it belongs to the listener with its address. Sockets with one name whose
/// addresses no listener has belong all to the listener with their name.
///
/// A listener that has a passed socket has no others, even if its host name has more addresses.
///
/// # Errors
/// The errors of [`resolve_one`]; a socket with the name of a listener has another type; or a
/// listener has neither a passed socket nor one of its own, while a passed socket is left over.
fn sources(
    specs: &[ListenSpec],
    network: Option<Network>,
    passed: &[PassedSocket],
    look_up: LookUp<'_>,
) -> Result<Vec<Vec<Source>>, Error> {
    let mut sources: Vec<Vec<Source>> = Vec::new();
    for spec in specs {
        let named = passed.iter().filter(|socket| socket.has_name(&spec.name));
        sources.push(match named.collect::<Vec<_>>()[..] {
            // Several sockets of one unit have its name. Their addresses may distinguish them.
            [socket] if spec.endpoint.number().is_none() => vec![source_of(spec, socket)?],
            _ => Vec::new(),
        });
    }
    let free = |sources: &[Vec<Source>]| {
        let is_taken = |socket: &&PassedSocket| {
            let number = Some(socket.number());
            let is_chosen = sources.iter().flatten().any(|(_, fd)| *fd == number);
            is_chosen || specs.iter().any(|spec| spec.endpoint.number() == number)
        };
        let free = passed.iter().filter(|socket| !is_taken(socket));
        free.collect::<Vec<_>>()
    };
    for (index, spec) in specs.iter().enumerate() {
        if !sources[index].is_empty() {
            continue;
        }
        let own = resolve_one(spec, network, look_up)?;
        let free = free(&sources);
        let passed_at = |(address, number): &Source| {
            let at =
                |socket: &&&PassedSocket| socket.address(spec.transport).as_ref() == Ok(address);
            let socket = free.iter().find(at).filter(|_| number.is_none())?;
            Some((address.clone(), Some(socket.number())))
        };
        let passed: Vec<Source> = own.iter().filter_map(passed_at).collect();
        sources[index] = if passed.is_empty() { own } else { passed };
    }
    let is_alone = |sources: &[Source]| sources.iter().all(|(_, fd)| fd.is_none());
    for (index, spec) in specs.iter().enumerate() {
        let mut named = free(&sources);
        named.retain(|socket| socket.has_name(&spec.name));
        if is_alone(&sources[index]) && !named.is_empty() {
            let named = named.into_iter().map(|socket| source_of(spec, socket));
            sources[index] = named.collect::<Result<_, _>>()?;
        }
    }
    let alone = specs.iter().zip(&sources);
    let alone = alone.filter_map(|(spec, sources)| is_alone(sources).then_some(spec));
    check_left_over(&alone.collect::<Vec<_>>(), &free(&sources))?;
    for (spec, sources) in specs.iter().zip(&sources) {
        if let [(Addr::UnixPath(path), None)] = &sources[..] {
            unix_file::check(path).map_err(unusable(spec, "bind"))?;
        }
    }
    Ok(sources)
}

/// Uses a passed socket for a listener.
///
/// # Errors
/// It is another kind of socket.
fn source_of(spec: &ListenSpec, socket: &PassedSocket) -> Result<Source, Error> {
    let number = socket.number();
    let address = socket.address(spec.transport);
    let address = address.map_err(|reason| Error::Listen {
        listener: spec.name.clone(),
        address: format!("fd:{number}"),
        call: "use",
        source: io::Error::other(reason),
    })?;
    Ok((address, Some(number)))
}

/// A passed socket that no listener uses belongs to a listener that has no socket yet: its name or
/// its address is wrong. Its clients would wait for ever, because systemd keeps it open.
fn check_left_over(alone: &[&ListenSpec], left_over: &[&PassedSocket]) -> Result<(), Error> {
    let (Some(spec), Some(socket)) = (alone.first(), left_over.first()) else {
        return Ok(());
    };
    Err(Error::Activation {
        reason: format!(
            "listener '{spec}' has no passed socket, and no listener has the name or the address \
             of {socket}"
        ),
    })
}

fn unusable(spec: &ListenSpec, call: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Listen {
        listener: spec.name.clone(),
        address: spec.address(),
        call,
        source,
    }
}

/// Resolves the addresses of one listener, and returns the descriptor that its option names.
///
/// # Errors
/// The host has no address in the network, or the descriptor is not a socket that fits the
/// transport.
fn resolve_one(
    spec: &ListenSpec,
    network: Option<Network>,
    look_up: LookUp<'_>,
) -> Result<Vec<Source>, Error> {
    match &spec.endpoint {
        Endpoint::HostPort { host, port, family } => {
            let addrs = resolve(host, port.unwrap_or(0), family.or(network), look_up);
            let addrs = addrs.map_err(|source| Error::Resolve {
                listener: spec.name.clone(),
                address: host.clone(),
                source,
            })?;
            Ok(addrs
                .into_iter()
                .map(|addr| (Addr::Ip(addr), None))
                .collect())
        }
        Endpoint::Unix(_) => {
            let addr = Addr::of(&spec.endpoint).unwrap_or(Addr::UnixUnnamed);
            Ok(vec![(addr, None)])
        }
        Endpoint::Fd(number) => {
            let addr = address_of_open(*number, spec.transport);
            let addr = addr.map_err(|reason| unusable(spec, "use")(io::Error::other(reason)))?;
            Ok(vec![(addr, Some(*number))])
        }
    }
}

/// Resolves a host to at least one address.
///
/// A host name has all of its addresses in the network, without a network those of both families.
/// They are in the order of the name service, each once. Without a network, an empty host means all
/// IPv4 interfaces. A literal address of another family than the network was rejected with the
/// options before this call.
///
/// # Errors
/// The resolver failed, the name has no address in the network, or the zone is not an interface.
fn resolve(
    host: &str,
    port: u16,
    network: Option<Network>,
    look_up: LookUp<'_>,
) -> io::Result<Vec<SocketAddr>> {
    if host.is_empty() {
        return Ok(vec![SocketAddr::new(network::unspecified(network), port)]);
    }
    if let Some(literal) = host::literal(host) {
        return resolve_literal(literal, port).map(|addr| vec![addr]);
    }
    let mut addrs = Vec::new();
    for addr in look_up(host, port)?.into_iter().map(canonical_ip) {
        let is_in_network = network.is_none_or(|network| network.includes(addr.ip()));
        if is_in_network && !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    check_resolved(addrs, network)
}

/// Checks the addresses that a host name resolved to.
fn check_resolved(found: Vec<SocketAddr>, network: Option<Network>) -> io::Result<Vec<SocketAddr>> {
    let first = found.first().ok_or_else(|| not_in(network))?;
    if found.iter().all(lacks_zone) {
        let ip = first.ip();
        let reason = format!(
            "the host has the link-local address {ip}, which needs a zone such as [{ip}%eth0]"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    Ok(found)
}

/// Whether it is a link-local address that no socket can be bound to without a zone.
pub(super) fn lacks_zone(addr: &SocketAddr) -> bool {
    match addr {
        SocketAddr::V6(addr) => addr.ip().is_unicast_link_local() && addr.scope_id() == 0,
        SocketAddr::V4(_) => false,
    }
}

fn resolve_literal(literal: host::IpLiteral<'_>, port: u16) -> io::Result<SocketAddr> {
    match (literal.ip, literal.zone) {
        (IpAddr::V6(ip), Some(zone)) => {
            let interface = interface(zone)?;
            Ok(SocketAddrV6::new(ip, port, 0, interface).into())
        }
        (ip, _) => Ok(SocketAddr::new(ip, port)),
    }
}

/// The index of an interface. A name may consist of digits, so the name is tried before the index.
fn interface(zone: &str) -> io::Result<u32> {
    if let Ok(number) = if_nametoindex(zone) {
        return Ok(number);
    }
    // nix 0.31 returns an empty name if no interface has the index.
    let is_interface = |number| if_indextoname(number).is_ok_and(|name| !name.is_empty());
    let number = zone.parse().ok();
    let number = number.filter(|&number| is_interface(number));
    number.ok_or_else(|| {
        let reason = format!("no interface {zone} on this machine");
        io::Error::new(io::ErrorKind::NotFound, reason)
    })
}

fn not_in(network: Option<Network>) -> io::Error {
    let reason = match network {
        Some(Network::Tcp6) => "the host has no IPv6 address",
        Some(Network::Tcp4) => "the host has no IPv4 address",
        Some(Network::Tcp) | None => "the host has no address",
    };
    io::Error::new(io::ErrorKind::NotFound, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name service: `localhost` has an address of each family, `six` one address.
    fn fake(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let ips: &[&str] = match host {
            "localhost" => &["::1", "127.0.0.1", "::ffff:127.0.0.1", "::1"],
            "four" => &["127.0.0.1"],
            "six" => &["::1"],
            "far" => &["fe80::1"],
            "near" => &["fe80::1", "10.0.0.1"],
            _ => return Err(io::Error::other("unknown host")),
        };
        let addr = |ip: &&str| SocketAddr::new(ip.parse().expect("an IP address"), port);
        Ok(ips.iter().map(addr).collect())
    }

    /// The addresses, separated by spaces.
    fn ip(text: &str, network: Option<Network>) -> Option<String> {
        let sources = resolve_one(&ListenSpec::of(text), network, &fake).ok()?;
        let addresses = sources.iter().map(|(address, _)| address.to_string());
        Some(addresses.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_network_selects_the_address_family() {
        let (tcp, tcp4, tcp6) = (Some(Network::Tcp), Some(Network::Tcp4), Some(Network::Tcp6));
        for (text, network, expected) in [
            (":80", None, Some("0.0.0.0:80")),
            (":80", tcp4, Some("0.0.0.0:80")),
            (":80", tcp6, Some("[::]:80")),
            (":80", tcp, Some("[::]:80")),
            ("[::1]:80", None, Some("[::1]:80")),
            ("localhost:80", None, Some("[::1]:80 127.0.0.1:80")),
            ("localhost:80", tcp, Some("[::1]:80 127.0.0.1:80")),
            ("localhost:80", tcp4, Some("127.0.0.1:80")),
            ("localhost:80", tcp6, Some("[::1]:80")),
            ("tcp6://localhost:80", tcp4, Some("[::1]:80")),
            ("udp://localhost:0", None, Some("[::1]:0 127.0.0.1:0")),
            ("six:80", None, Some("[::1]:80")),
            ("six:80", tcp4, None),
            ("far:80", None, None),
            ("near:80", None, Some("[fe80::1]:80 10.0.0.1:80")),
            ("nowhere:80", None, None),
            ("[::ffff:127.0.0.1]:80", None, Some("127.0.0.1:80")),
            ("[::ffff:127.0.0.1]:80", tcp4, Some("127.0.0.1:80")),
            ("[::ffff:0.0.0.0]:80", tcp, Some("0.0.0.0:80")),
            ("tcp6://:80", None, Some("[::]:80")),
            ("tcp4://:80", tcp6, Some("0.0.0.0:80")),
            ("udp://:80", tcp6, Some("[::]:80")),
            ("unix:@app", tcp6, Some("unix:@app")),
        ] {
            assert_eq!(ip(text, network).as_deref(), expected, "{text} {network:?}");
        }
    }

    /// The first interface has index 1 in every network namespace of Linux, where it is `lo`.
    #[test]
    fn a_zone_is_a_name_or_an_index_and_stays_in_the_address() {
        let Ok(name) = if_indextoname(1) else {
            println!("skipped: needs an interface with index 1");
            return;
        };
        let name = name.to_str().expect("a plain name");
        for zone in [name, "1"] {
            let text = format!("[fe80::1%{zone}]:80");
            let expected = Some("[fe80::1%1]:80");
            assert_eq!(ip(&text, None).as_deref(), expected, "{text}");
            assert_eq!(
                ip(&text, Some(Network::Tcp6)).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_name_without_a_usable_address_is_an_error_with_the_reason() {
        let reason = |found: Option<&str>, network| {
            let found = found.map(|text| text.parse().expect(text));
            check_resolved(found.into_iter().collect(), network)
                .expect_err("the address cannot be bound")
                .to_string()
        };
        for (network, expected) in [
            (None, "the host has no address"),
            (Some(Network::Tcp4), "the host has no IPv4 address"),
            (Some(Network::Tcp6), "the host has no IPv6 address"),
        ] {
            assert_eq!(reason(None, network), expected);
        }
        assert_eq!(
            reason(Some("[fe80::1]:80"), Some(Network::Tcp6)),
            "the host has the link-local address fe80::1, which needs a zone such as [fe80::1%eth0]"
        );
        let with_zone = "[fe80::1%1]:80".parse().expect("a valid address");
        let found = vec![with_zone];
        assert_eq!(check_resolved(found.clone(), None).ok(), Some(found));
    }

    #[test]
    fn an_unknown_zone_is_an_error_that_names_it() {
        for zone in ["no-such-zone", "4294967295", "99999999999"] {
            let address = ListenSpec::of(&format!("http=[fe80::1%{zone}]:80"));
            let error = resolve_one(&address, None, &fake).expect_err(zone);
            assert_eq!(error.exit_code(), 68);
            let text = error.report();
            let expected = format!(
                "listener 'http': cannot resolve fe80::1%{zone}: no interface {zone} on this machine. "
            );
            assert!(text.starts_with(&expected), "{text}");
            assert!(text.contains("`ip link`"), "{text}");
        }
    }

    fn specs(text: &str) -> Vec<ListenSpec> {
        text.split(',').map(ListenSpec::of).collect()
    }

    fn only(text: &str, network: Option<Network>) -> Vec<Option<bool>> {
        let targets = resolve_with(&specs(text), network, None, "listen", &fake).expect(text);
        let sockets = targets.iter().flat_map(|target| &target.sockets);
        sockets.map(|socket| socket.only_v6).collect()
    }

    #[test]
    fn an_ipv4_listener_of_the_same_port_limits_all_interfaces_to_ipv6() {
        let (tcp, tcp6) = (Some(Network::Tcp), Some(Network::Tcp6));
        for (text, network, expected) in [
            ("[::]:80", None, [None].as_slice()),
            ("[::]:80", tcp, &[Some(false)]),
            ("[::]:80", tcp6, &[Some(true)]),
            (":80", tcp, &[Some(false)]),
            ("0.0.0.0:80,[::]:80", None, &[None, Some(true)]),
            ("[::]:80,0.0.0.0:80", None, &[Some(true), None]),
            ("a=[::]:80,b=:80", None, &[Some(true), None]),
            ("tls://[::]:80,127.0.0.1:80", None, &[Some(true), None]),
            ("[::]:80,four:80", None, &[Some(true), None]),
            ("localhost:80", None, &[Some(true), None]),
            ("localhost:0", tcp, &[Some(true), None]),
            ("[::]:80,[::ffff:127.0.0.1]:80", None, &[Some(true), None]),
            ("[::]:80,0.0.0.0:80", tcp, &[Some(true), None]),
            (":80,127.0.0.1:80", tcp, &[Some(true), None]),
            ("0.0.0.0:80,[::]:81", None, &[None, None]),
            ("0.0.0.0:0,[::]:0", tcp, &[None, Some(false)]),
            ("[::]:80,udp://0.0.0.0:80", None, &[None, None]),
            (":80?v6only=false", None, &[Some(false)]),
            ("[::]:80?v6only=true", tcp, &[Some(true)]),
            ("tcp6://:80", None, &[Some(true)]),
            ("tcp4://:80", tcp6, &[None]),
        ] {
            assert_eq!(only(text, network), expected, "{text} {network:?}");
        }
    }

    fn errors(text: &str, addrs: &[&str]) -> Vec<String> {
        let source = |text: &str| (Addr::Ip(text.parse().expect(text)), None);
        let sources = |texts: &&str| texts.split(' ').map(source).collect();
        overlaps(&specs(text), &addrs.iter().map(sources).collect::<Vec<_>>())
    }

    #[test]
    fn the_addresses_of_host_names_are_compared_too() {
        assert_eq!(
            errors(
                "a=localhost:80,b=127.0.0.1:80",
                &["127.0.0.1:80", "127.0.0.1:80"]
            ),
            ["'a=localhost:80 (127.0.0.1:80)' and 'b=127.0.0.1:80' are the same address"]
        );
        assert_eq!(
            errors("a=localhost:80,b=[::]:80", &["[::1]:80", "[::]:80"]),
            [
                "'b=[::]:80' covers 'a=localhost:80 ([::1]:80)', so only one of them can be bound; \
                 remove one or change its port"
            ]
        );
        assert_eq!(
            errors(
                "a=localhost:80,b=localhost.:80",
                &["[::1]:80 127.0.0.1:80", "10.0.0.1:80 127.0.0.1:80"]
            ),
            [
                "'a=localhost:80 (127.0.0.1:80)' and 'b=localhost.:80 (127.0.0.1:80)' are the \
                 same address"
            ]
        );
        for (text, addrs) in [
            ("a=localhost:80,b=[::1]:80", ["127.0.0.1:80", "[::1]:80"]),
            (
                "a=localhost:80,b=localhost:81",
                ["127.0.0.1:80", "127.0.0.1:81"],
            ),
            (
                "a=localhost:0,b=127.0.0.1:0",
                ["127.0.0.1:0", "127.0.0.1:0"],
            ),
        ] {
            assert_eq!(errors(text, &addrs), [""; 0], "{text}");
        }
    }

    #[test]
    fn the_name_and_the_index_of_an_interface_are_the_same_zone() {
        let text = "a=[fe80::1%lo]:80,b=[fe80::1%1]:80,c=[fe80::1%eth0]:80";
        let found = errors(
            text,
            &["[fe80::1%1]:80", "[fe80::1%1]:80", "[fe80::1%2]:80"],
        );
        assert_eq!(
            found,
            ["'a=[fe80::1%lo]:80' and 'b=[fe80::1%1]:80' are the same address"]
        );
    }

    #[test]
    fn overlapping_addresses_are_an_error_of_what_set_the_list() {
        let list = specs("a=localhost:80,b=:80");
        let error = resolve_with(&list, None, None, "PREFORK_LISTEN", &fake)
            .expect_err("the addresses overlap");
        assert_eq!(error.exit_code(), 78);
        assert!(
            error
                .to_string()
                .starts_with("PREFORK_LISTEN: 'b=:80' covers"),
            "{error}"
        );
    }

    #[test]
    fn what_is_one_socket_must_have_one_address() {
        let resolved = |text: &str, is_raw| {
            let mut list = specs(text);
            list[0].is_raw = is_raw;
            let resolved = resolve_with(&list, None, None, "listen", &fake);
            resolved.map(|targets| targets[0].sockets.len())
        };
        for (text, is_raw, expected) in [
            (
                "http=localhost:80?nodelay=true",
                true,
                "listen: 'http=localhost:80?nodelay=true' has 2 addresses ([::1]:80, \
                 127.0.0.1:80), but main takes it as one socket of std or tokio: set one of them, \
                 as in 'http=[::1]:80', or take it as prefork::net::Listener",
            ),
            (
                "dns=udp://localhost:53",
                false,
                "listen: 'dns=udp://localhost:53' has 2 addresses ([::1]:53, 127.0.0.1:53), but a \
                 listener for datagrams has one socket: set one of them, as in 'dns=udp://[::1]:53'",
            ),
        ] {
            let error = resolved(text, is_raw).expect_err(text);
            assert_eq!(error.to_string(), expected);
        }
        assert_eq!(resolved("http=localhost:80", false).ok(), Some(2));
        assert_eq!(resolved("http=six:80", true).ok(), Some(1));
        assert_eq!(resolved("http=tcp4://localhost:80", true).ok(), Some(1));
    }

    #[test]
    fn all_addresses_are_displayed() {
        let list = specs("http=localhost:80?nodelay=true");
        let targets = resolve_with(&list, None, None, "listen", &fake).expect("known hosts");
        let expected = "[::1]:80?nodelay=true, 127.0.0.1:80?nodelay=true";
        assert_eq!(targets[0].display(&list[0]), expected);
    }
}
