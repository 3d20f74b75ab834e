//! From an address as people write it to one that can be bound.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use prefork_options::Network;

use crate::config::Endpoint;
use crate::error::Error;

/// Where each listener is to be bound.
///
/// # Errors
/// The first whose host has no address in the network, by its name.
pub(crate) fn resolve_all(
    endpoints: &[Endpoint],
    network: Option<Network>,
) -> Result<Vec<SocketAddr>, Error> {
    let each = endpoints.iter();
    each.map(|endpoint| resolve_one(endpoint, network))
        .collect()
}

/// # Errors
/// Its host has no address in the network.
pub(super) fn resolve_one(
    endpoint: &Endpoint,
    network: Option<Network>,
) -> Result<SocketAddr, Error> {
    let listener = &endpoint.name;
    resolve(endpoint, network).map_err(|source| Error::Resolve {
        listener: listener.clone(),
        address: endpoint.host.clone(),
        source,
    })
}

/// Without a network a literal address says its own family; host names mean their IPv4 addresses,
/// and a missing host all IPv4 interfaces. A literal of another family than the network's was refused with the options and
/// does not come here.
///
/// # Errors
/// What the resolver says; a name that has no address in the network.
fn resolve(address: &Endpoint, network: Option<Network>) -> io::Result<SocketAddr> {
    if address.host.is_empty() {
        return Ok(SocketAddr::new(everywhere(network), address.port));
    }
    if let Ok(ip) = address.host.parse() {
        return Ok(SocketAddr::new(ip, address.port));
    }
    let mut found = (address.host.as_str(), address.port).to_socket_addrs()?;
    let wanted = |addr: &SocketAddr| match network {
        None => addr.is_ipv4(),
        Some(network) => is_in(addr.ip(), network),
    };
    found.find(wanted).ok_or_else(|| not_in(network))
}

fn is_in(ip: IpAddr, network: Network) -> bool {
    match network {
        Network::Tcp => true,
        Network::Tcp4 => ip.is_ipv4(),
        Network::Tcp6 => ip.is_ipv6(),
    }
}

fn everywhere(network: Option<Network>) -> IpAddr {
    match network {
        None | Some(Network::Tcp4) => Ipv4Addr::UNSPECIFIED.into(),
        Some(Network::Tcp | Network::Tcp6) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn not_in(network: Option<Network>) -> io::Error {
    let family = match network {
        Some(Network::Tcp6) => "IPv6",
        None | Some(Network::Tcp | Network::Tcp4) => "IPv4",
    };
    let reason = format!("the host has no {family} address");
    io::Error::new(io::ErrorKind::NotFound, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str, network: Option<Network>) -> Option<String> {
        let address = Endpoint::of(text);
        resolve(&address, network).ok().map(|addr| addr.to_string())
    }

    #[test]
    fn the_network_says_which_family() {
        let (tcp, tcp4, tcp6) = (Some(Network::Tcp), Some(Network::Tcp4), Some(Network::Tcp6));
        for (text, network, expected) in [
            (":80", None, Some("0.0.0.0:80")),
            (":80", tcp4, Some("0.0.0.0:80")),
            (":80", tcp6, Some("[::]:80")),
            (":80", tcp, Some("[::]:80")),
            ("[::1]:80", None, Some("[::1]:80")),
            ("localhost:80", None, Some("127.0.0.1:80")),
            ("localhost:80", tcp4, Some("127.0.0.1:80")),
        ] {
            assert_eq!(ip(text, network).as_deref(), expected, "{text} {network:?}");
        }
    }
}
