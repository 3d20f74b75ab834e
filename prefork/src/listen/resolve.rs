//! From an address as people write it to one that can be bound.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use prefork_options::Address;

/// A literal address says its own family; host names mean their IPv4 addresses, and a missing host
/// all IPv4 interfaces.
///
/// # Errors
/// What the resolver says; a name that has no IPv4 address.
pub(super) fn resolve(address: &Address) -> io::Result<SocketAddr> {
    if address.host.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, address.port).into());
    }
    if let Ok(ip) = address.host.parse() {
        return Ok(SocketAddr::new(ip, address.port));
    }
    let mut found = (address.host.as_str(), address.port).to_socket_addrs()?;
    found.find(SocketAddr::is_ipv4).ok_or_else(|| {
        let reason = "the name has no IPv4 address";
        io::Error::new(io::ErrorKind::NotFound, reason)
    })
}
