//! Resolves the address of an option into one that can be bound.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use nix::net::if_::{if_indextoname, if_nametoindex};
use prefork_options::{Network, host, network};

use crate::config::ListenSpec;
use crate::error::Error;

/// Resolves the address of one listener.
///
/// # Errors
/// The host has no address in the network.
pub(super) fn resolve_one(
    endpoint: &ListenSpec,
    network: Option<Network>,
) -> Result<SocketAddr, Error> {
    let listener = &endpoint.name;
    resolve(endpoint, network).map_err(|source| Error::Resolve {
        listener: listener.clone(),
        address: endpoint.host.clone(),
        source,
    })
}

/// Resolves an address.
///
/// Without a network, a literal address keeps its family, a host name resolves to its IPv4
/// addresses, and an empty host means all IPv4 interfaces. A literal address of another family than
/// the network was rejected with the options before this call.
///
/// # Errors
/// The resolver failed, the name has no address in the network, or the zone is not an interface.
fn resolve(address: &ListenSpec, network: Option<Network>) -> io::Result<SocketAddr> {
    if address.host.is_empty() {
        let unspecified = network::unspecified(network);
        return Ok(SocketAddr::new(unspecified, address.port));
    }
    if let Some(literal) = host::literal(&address.host) {
        return resolve_literal(literal, address.port);
    }
    let found = (address.host.as_str(), address.port).to_socket_addrs()?;
    let wanted = |addr: &SocketAddr| match network {
        None => addr.is_ipv4(),
        Some(network) => is_in(addr.ip(), network),
    };
    check_resolved(found.map(canonical).find(wanted), network)
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

fn is_in(ip: IpAddr, network: Network) -> bool {
    match network {
        Network::Tcp => true,
        Network::Tcp4 => ip.is_ipv4(),
        Network::Tcp6 => ip.is_ipv6(),
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
        let address = ListenSpec::of(text);
        resolve(&address, network).ok().map(|addr| addr.to_string())
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
}
