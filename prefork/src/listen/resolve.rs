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

/// The address of a listener, resolved and ready to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvedTarget {
    pub(super) address: Addr,
    /// The open descriptor that is used instead of a new socket: the option names it, or socket
    /// activation passed it.
    pub(super) fd: Option<RawFd>,
    /// Whether an IPv6 socket rejects IPv4 (`IPV6_V6ONLY`, ipv6(7)). `None` keeps the default of
    /// the system.
    pub(super) only_v6: Option<bool>,
    pub(super) owner: FileOwner,
}

impl ResolvedTarget {
    /// Whether it can have one socket per slot: only new TCP sockets can.
    pub(crate) fn has_slots(&self, spec: &ListenSpec) -> bool {
        self.fd.is_none() && !is_datagram(spec) && matches!(self.address, Addr::Ip(_))
    }

    /// Writes the address and the options. If it means all interfaces, writes also which families it
    /// accepts.
    pub(crate) fn display(&self, spec: &ListenSpec) -> String {
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
/// descriptor is no such socket; or all listeners that overlap an earlier one, or whose owner or
/// group does not exist. Or the variables of socket activation are wrong, or one of its sockets does
/// not fit its listener.
pub(crate) fn resolve_targets(
    specs: &[ListenSpec],
    network: Option<Network>,
    v6only: Option<bool>,
    label: &str,
) -> Result<Vec<ResolvedTarget>, Error> {
    let sources = sources(specs, network, &passed_sockets()?)?;
    let (addresses, fds): (Vec<Addr>, Vec<Option<RawFd>>) = sources.into_iter().unzip();
    let mut errors = overlaps(specs, &addresses, &fds);
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
    let target = |(index, owner): (usize, FileOwner)| ResolvedTarget {
        address: addresses[index].clone(),
        fd: fds[index],
        only_v6: only_v6(index, specs, &addresses, v6only, network),
        owner,
    };
    Ok(owners.into_iter().enumerate().map(target).collect())
}

/// Returns an error for each address that an earlier one overlaps.
///
/// Open descriptors are not compared: the sockets exist already.
fn overlaps(specs: &[ListenSpec], addresses: &[Addr], fds: &[Option<RawFd>]) -> Vec<String> {
    let is_open = |index: usize| fds[index].is_some();
    let mistake = |index: usize| {
        let (other, overlap) = (0..index).find_map(|other| {
            if is_open(other) || is_open(index) {
                return None;
            }
            let pair = [other, index].map(|index| (&specs[index], &addresses[index]));
            Some((other, overlap_of(pair)?))
        })?;
        let display = |index: usize| display_address(&specs[index], &addresses[index]);
        let mistake = overlap.mistake(&display(other), &display(index));
        Some(mistake.to_string())
    };
    (0..addresses.len()).filter_map(mistake).collect()
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
    specs: &[ListenSpec],
    addresses: &[Addr],
    default: Option<bool>,
    network: Option<Network>,
) -> Option<bool> {
    let spec = &specs[index];
    let addr = addresses[index].socket_addr().filter(SocketAddr::is_ipv6)?;
    if spec.options.v6only.is_some() {
        return spec.options.v6only;
    }
    let is_ipv4_on_the_port = |(other, address): (&ListenSpec, &Addr)| {
        let other_addr = address.socket_addr().filter(SocketAddr::is_ipv4);
        is_datagram(other) == is_datagram(spec)
            && other_addr.is_some_and(|other| other.port() == addr.port())
    };
    if addr.port() != 0 && specs.iter().zip(addresses).any(is_ipv4_on_the_port) {
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

/// Finds the address of each listener, and the sockets of socket activation that are used.
///
/// A passed socket belongs to the listener with its name. If no listener has its name, it belongs to
/// the listener with its address.
///
/// # Errors
/// The errors of [`resolve_one`]; a socket with the name of a listener has another type; or a
/// listener has neither a passed socket nor one of its own, while a passed socket is left over.
fn sources(
    specs: &[ListenSpec],
    network: Option<Network>,
    passed: &[PassedSocket],
) -> Result<Vec<Source>, Error> {
    let mut sources: Vec<Option<Source>> = Vec::new();
    for spec in specs {
        let named = passed.iter().filter(|socket| socket.has_name(&spec.name));
        sources.push(match named.collect::<Vec<_>>()[..] {
            // Several sockets of one unit have its name. Their addresses distinguish them.
            [socket] if spec.endpoint.number().is_none() => {
                let number = socket.number();
                let address = socket.address(spec.transport);
                let address = address.map_err(|reason| Error::Listen {
                    listener: spec.name.clone(),
                    address: format!("fd:{number}"),
                    call: "use",
                    source: io::Error::other(reason),
                })?;
                Some((address, Some(number)))
            }
            _ => None,
        });
    }
    let free = |sources: &[Option<Source>]| {
        let is_taken = |socket: &&PassedSocket| {
            let number = Some(socket.number());
            let is_chosen = sources.iter().flatten().any(|(_, fd)| *fd == number);
            is_chosen || specs.iter().any(|spec| spec.endpoint.number() == number)
        };
        let free = passed.iter().filter(|socket| !is_taken(socket));
        free.collect::<Vec<_>>()
    };
    for (index, spec) in specs.iter().enumerate() {
        if sources[index].is_some() {
            continue;
        }
        let (address, number) = resolve_one(spec, network)?;
        let at = |socket: &&&PassedSocket| socket.address(spec.transport).as_ref() == Ok(&address);
        let socket = free(&sources).iter().find(at).map(|socket| socket.number());
        sources[index] = Some((address, number.or(socket)));
    }
    let alone = specs.iter().zip(sources.iter().flatten());
    let alone = alone.filter_map(|(spec, (_, fd))| fd.is_none().then_some(spec));
    check_left_over(&alone.collect::<Vec<_>>(), &free(&sources))?;
    for (spec, (address, fd)) in specs.iter().zip(sources.iter().flatten()) {
        if let (Addr::UnixPath(path), None) = (address, fd) {
            unix_file::check(path).map_err(unusable(spec, "bind"))?;
        }
    }
    Ok(sources.into_iter().flatten().collect())
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

/// Resolves the address of one listener, and returns the descriptor that its option names.
///
/// # Errors
/// The host has no address in the network, or the descriptor is not a socket that fits the
/// transport.
fn resolve_one(spec: &ListenSpec, network: Option<Network>) -> Result<Source, Error> {
    match &spec.endpoint {
        Endpoint::HostPort { host, port, family } => {
            let addr = resolve(host, port.unwrap_or(0), family.or(network));
            let addr = addr.map_err(|source| Error::Resolve {
                listener: spec.name.clone(),
                address: host.clone(),
                source,
            })?;
            Ok((Addr::Ip(addr), None))
        }
        Endpoint::Unix(_) => {
            let addr = Addr::of(&spec.endpoint).unwrap_or(Addr::UnixUnnamed);
            Ok((addr, None))
        }
        Endpoint::Fd(number) => {
            let addr = address_of_open(*number, spec.transport);
            let addr = addr.map_err(|reason| unusable(spec, "use")(io::Error::other(reason)))?;
            Ok((addr, Some(*number)))
        }
    }
}

/// Resolves a host.
///
/// Without a network, a literal address keeps its family, a host name resolves to its IPv4
/// addresses, and an empty host means all IPv4 interfaces. A literal address of another family than
/// the network was rejected with the options before this call.
///
/// # Errors
/// The resolver failed, the name has no address in the network, or the zone is not an interface.
fn resolve(host: &str, port: u16, network: Option<Network>) -> io::Result<SocketAddr> {
    if host.is_empty() {
        return Ok(SocketAddr::new(network::unspecified(network), port));
    }
    if let Some(literal) = host::literal(host) {
        return resolve_literal(literal, port);
    }
    let family = network.unwrap_or(Network::Tcp4);
    let mut found = (host, port).to_socket_addrs()?.map(canonical_ip);
    check_resolved(found.find(|addr| family.includes(addr.ip())), network)
}

/// Checks the address that a host name resolved to.
fn check_resolved(found: Option<SocketAddr>, network: Option<Network>) -> io::Result<SocketAddr> {
    let addr = found.ok_or_else(|| not_in(network))?;
    if let SocketAddr::V6(addr) = addr
        && addr.ip().is_unicast_link_local()
        && addr.scope_id() == 0
    {
        let ip = addr.ip();
        let reason = format!(
            "the host has the link-local address {ip}, which needs a zone such as [{ip}%eth0]"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    Ok(addr)
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
        Some(Network::Tcp | Network::Tcp4) => "the host has no IPv4 address",
        None => "the host has no IPv4 address (IPv6 addresses need network = \"tcp6\")",
    };
    io::Error::new(io::ErrorKind::NotFound, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str, network: Option<Network>) -> Option<String> {
        let source = resolve_one(&ListenSpec::of(text), network);
        source.ok().map(|(address, _)| address.to_string())
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
            ("localhost:80", None, Some("127.0.0.1:80")),
            ("localhost:80", tcp4, Some("127.0.0.1:80")),
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
            check_resolved(found, network)
                .expect_err("the address cannot be bound")
                .to_string()
        };
        assert!(reason(None, None).ends_with("(IPv6 addresses need network = \"tcp6\")"));
        assert_eq!(
            reason(None, Some(Network::Tcp6)),
            "the host has no IPv6 address"
        );
        assert_eq!(
            reason(Some("[fe80::1]:80"), Some(Network::Tcp6)),
            "the host has the link-local address fe80::1, which needs a zone such as [fe80::1%eth0]"
        );
        let with_zone = "[fe80::1%1]:80".parse().expect("a valid address");
        assert_eq!(check_resolved(Some(with_zone), None).ok(), Some(with_zone));
    }

    #[test]
    fn an_unknown_zone_is_an_error_that_names_it() {
        for zone in ["no-such-zone", "4294967295", "99999999999"] {
            let address = ListenSpec::of(&format!("http=[fe80::1%{zone}]:80"));
            let error = resolve_one(&address, None).expect_err(zone);
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
        let targets = resolve_targets(&specs(text), network, None, "listen").expect(text);
        targets.iter().map(|target| target.only_v6).collect()
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
            ("[::]:80,localhost:80", None, &[Some(true), None]),
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
        let ip = |text: &&str| Addr::Ip(text.parse().expect(text));
        let addrs: Vec<Addr> = addrs.iter().map(ip).collect();
        overlaps(&specs(text), &addrs, &vec![None; addrs.len()])
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
        let error = resolve_targets(&list, None, None, "PREFORK_LISTEN")
            .expect_err("the addresses overlap");
        assert_eq!(error.exit_code(), 78);
        assert!(
            error
                .to_string()
                .starts_with("PREFORK_LISTEN: 'b=:80' covers"),
            "{error}"
        );
    }
}
