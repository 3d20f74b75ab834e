//! Resolves the listeners of the options into addresses that can be bound.
//!
//! It checks that the resolved addresses do not overlap. Overlaps that the text of the option shows
//! were rejected earlier.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use nix::net::if_::{if_indextoname, if_nametoindex};
use prefork_options::overlap::{self, Overlap};
use prefork_options::{Endpoint, Network, host, network};

use super::ListenAddr;
use crate::config::ListenSpec;
use crate::error::{Error, OptionError};

/// The address of a listener, resolved and ready to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvedTarget {
    pub(super) address: ListenAddr,
    /// Whether an IPv6 socket rejects IPv4 (`IPV6_V6ONLY`, ipv6(7)). `None` keeps the default of
    /// the system.
    pub(super) only_v6: Option<bool>,
}

impl fmt::Display for ResolvedTarget {
    /// Writes the address. If it means all interfaces, writes also which families it accepts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = self.address.socket_addr();
        let is_everywhere = addr.is_some_and(|addr| addr.ip().is_unspecified());
        let family = match self.only_v6 {
            Some(true) if is_everywhere => ", IPv6 only",
            Some(false) if is_everywhere => ", IPv6 and IPv4",
            _ => "",
        };
        write!(f, "{}{family}", self.address)
    }
}

/// Resolves every listener and binds none.
///
/// `label` names what set the list of listeners: a variable or the option.
///
/// # Errors
/// The first listener whose host has no address in the network, or all listeners that overlap an
/// earlier one.
pub(crate) fn resolve_targets(
    specs: &[ListenSpec],
    network: Option<Network>,
    label: &str,
) -> Result<Vec<ResolvedTarget>, Error> {
    let addresses = specs.iter().map(|spec| resolve_one(spec, network));
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    let errors = overlaps(specs, &addresses);
    if !errors.is_empty() {
        let bad = |reason| OptionError {
            label: label.to_owned(),
            reason,
        };
        return Err(Error::Options(errors.into_iter().map(bad).collect()));
    }
    let target = |address: &ListenAddr| ResolvedTarget {
        address: address.clone(),
        only_v6: only_v6(address, &addresses, network),
    };
    Ok(addresses.iter().map(target).collect())
}

/// Returns an error for each address that an earlier one overlaps.
fn overlaps(specs: &[ListenSpec], addresses: &[ListenAddr]) -> Vec<String> {
    let mistake = |(index, second): (usize, &ListenAddr)| {
        let mut before = addresses[..index].iter().enumerate();
        let (other, overlap) =
            before.find_map(|(other, first)| Some((other, overlap_of(first, second)?)))?;
        let display = |index: usize| display_address(&specs[index], &addresses[index]);
        let mistake = overlap.mistake(&display(other), &display(index));
        Some(mistake.to_string())
    };
    addresses.iter().enumerate().filter_map(mistake).collect()
}

/// Returns how two addresses overlap. Port 0 never overlaps.
fn overlap_of(first: &ListenAddr, second: &ListenAddr) -> Option<Overlap> {
    let (ListenAddr::Ip(first), ListenAddr::Ip(second)) = (first, second);
    if first.port() != second.port() || second.port() == 0 {
        return None;
    }
    overlap::between(&with_zone(first), &with_zone(second))
}

/// Returns the listener as written, and after a host name also its address.
fn display_address(spec: &ListenSpec, address: &ListenAddr) -> String {
    if spec.endpoint.is_literal() {
        return spec.to_string();
    }
    format!("{spec} ({address})")
}

fn with_zone(addr: &SocketAddr) -> (IpAddr, u32) {
    match addr {
        SocketAddr::V4(addr) => ((*addr.ip()).into(), 0),
        SocketAddr::V6(addr) => ((*addr.ip()).into(), addr.scope_id()),
    }
}

/// Decides whether an IPv6 socket accepts IPv6 only.
///
/// A socket at `[::]` that also accepts IPv4 cannot be bound together with an IPv4 listener of the
/// same port. So the network selects the families, and next to such a listener the socket accepts
/// IPv6 only.
fn only_v6(address: &ListenAddr, all: &[ListenAddr], network: Option<Network>) -> Option<bool> {
    let addr = address.socket_addr().filter(SocketAddr::is_ipv6)?;
    let is_ipv4_on_the_port = |other: SocketAddr| other.is_ipv4() && other.port() == addr.port();
    let mut all = all.iter().filter_map(ListenAddr::socket_addr);
    if addr.port() != 0 && all.any(is_ipv4_on_the_port) {
        return Some(true);
    }
    network.map(|network| network == Network::Tcp6)
}

/// Resolves the address of one listener.
///
/// # Errors
/// The host has no address in the network.
fn resolve_one(spec: &ListenSpec, network: Option<Network>) -> Result<ListenAddr, Error> {
    let Endpoint::HostPort { host, port } = &spec.endpoint;
    let addr = resolve(host, port.unwrap_or(0), network).map_err(|source| Error::Resolve {
        listener: spec.name.clone(),
        address: host.clone(),
        source,
    })?;
    Ok(ListenAddr::Ip(addr))
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
    let mut found = (host, port).to_socket_addrs()?.map(canonical);
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

/// Converts an IPv4-mapped address to IPv4, as for literal addresses.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
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
        let address = resolve_one(&ListenSpec::of(text), network);
        address.ok().map(|address| address.to_string())
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
        let targets = resolve_targets(&specs(text), network, "listen").expect(text);
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
        ] {
            assert_eq!(only(text, network), expected, "{text} {network:?}");
        }
    }

    fn errors(text: &str, addrs: &[&str]) -> Vec<String> {
        let ip = |text: &&str| ListenAddr::Ip(text.parse().expect(text));
        overlaps(&specs(text), &addrs.iter().map(ip).collect::<Vec<_>>())
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
        let error =
            resolve_targets(&list, None, "PREFORK_LISTEN").expect_err("the addresses overlap");
        assert_eq!(error.exit_code(), 78);
        assert!(
            error
                .to_string()
                .starts_with("PREFORK_LISTEN: 'b=:80' covers"),
            "{error}"
        );
    }
}
