//! Where a listener is bound: a host and a port.
//!
//! Each question whose answer depends on the kind of endpoint is a method here. A `match` on an
//! endpoint has no wildcard, so the compiler asks for the answers of a new kind.
//!
//! It does not know whether a host exists or a port is free. It resolves nothing.

use std::fmt;

use crate::count::digits;
use crate::error::{quote, reject};
use crate::overlap::{self, Overlap};
use crate::{Network, ParseError, host, network};

const PORTS: &str = "expected a number from 0 to 65535";

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host and a TCP port.
    HostPort {
        /// An IPv4 address, an IPv6 address, a host name, or empty for all interfaces.
        ///
        /// An IPv6 address has no brackets; a link-local one includes its zone.
        host: String,
        /// The port; 0 lets the system choose, `None` leaves it open.
        port: Option<u16>,
    },
}

impl Endpoint {
    /// Reads an endpoint.
    ///
    /// The error is a reason that follows the whole address in a message.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = split_port(text);
        let host = host::parse(host)?;
        let lacks_zone = host::lacks_zone(&host);
        let port = port.map(parse_port).transpose()?;
        if lacks_zone {
            let host = format!("{host}%eth0");
            let with_zone = Self::HostPort { host, port };
            return Err(format!(
                "is a link-local address without a zone, expected {with_zone}"
            ));
        }
        Ok(Self::HostPort { host, port })
    }

    /// Whether the port is open: the variable `PORT` sets it.
    pub fn is_open(&self) -> bool {
        let Self::HostPort { port, .. } = self;
        port.is_none()
    }

    /// Returns the port, unless it is open.
    pub fn port(&self) -> Option<u16> {
        let Self::HostPort { port, .. } = self;
        *port
    }

    /// Sets the port, if this kind of endpoint has one. `None` leaves it open.
    pub fn set_port(&mut self, new: Option<u16>) {
        let Self::HostPort { port, .. } = self;
        *port = new;
    }

    /// Whether it can be bound without a resolver.
    pub fn is_literal(&self) -> bool {
        let Self::HostPort { host, .. } = self;
        host.is_empty() || host::literal(host).is_some()
    }

    /// Checks that it fits the network. The error is a reason, as of [`parse`](Self::parse).
    ///
    /// A host name always fits: its addresses are not known before it is resolved.
    pub(crate) fn check_network(&self, network: Network) -> Result<(), String> {
        let Self::HostPort { host, .. } = self;
        let Some(host::IpLiteral { ip, .. }) = host::literal(host) else {
            return Ok(());
        };
        if network.includes(ip) {
            return Ok(());
        }
        Err(if ip.is_ipv4() && host.contains(':') {
            format!(
                "is the IPv4 address {ip} in IPv6 form, but `network` requires a {network} address"
            )
        } else {
            format!("is not a {network} address, but `network` requires one")
        })
    }

    /// Returns how two endpoints overlap, if they cannot be bound together.
    ///
    /// Port 0 and an open port never overlap. The addresses of a host name are not known here, so a
    /// host name only overlaps with the same name.
    pub(crate) fn overlap(&self, other: &Self, network: Option<Network>) -> Option<Overlap> {
        let Self::HostPort { host, port } = self;
        let Self::HostPort {
            host: other,
            port: other_port,
        } = other;
        port.filter(|&port| port != 0 && *other_port == Some(port))?;
        let known = |host: &'_ str| match host::literal(host) {
            Some(literal) => Some((literal.ip, literal.zone.map(str::to_owned))),
            None if host.is_empty() => Some((network::unspecified(network), None)),
            None => None,
        };
        match (known(host), known(other)) {
            (Some(first), Some(second)) => overlap::between(&first, &second),
            (None, None) => host::is_same_name(host, other).then_some(Overlap::Same),
            (Some(_), None) | (None, Some(_)) => None,
        }
    }
}

/// Reads a port without a host, as in the variable `PORT`.
///
/// # Errors
///
/// Any text that is not a number up to 65535.
pub fn port(text: &str) -> Result<u16, ParseError> {
    let number = digits(text).map(u16::try_from);
    number
        .and_then(Result::ok)
        .ok_or_else(|| reject(text, &format!("is not a port, {PORTS}")))
}

/// Splits `host:port` into the host and the port, if it has one.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if text == ":" {
        return ("", None);
    }
    // An IPv6 address without a port.
    if text.starts_with('[') && text.ends_with(']') {
        return (text, None);
    }
    match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

fn parse_port(port: &str) -> Result<u16, String> {
    if port.is_empty() {
        return Err(format!(
            "has no port after ':', {PORTS}, or no ':' to use the variable PORT"
        ));
    }
    let number = digits(port).ok_or_else(|| format!("has the port {}, {PORTS}", quote(port)))?;
    number
        .try_into()
        .map_err(|_| format!("has a port over 65535, {PORTS}"))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::HostPort { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]")?;
        } else {
            f.write_str(host)?;
        }
        match port {
            Some(port) => write!(f, ":{port}"),
            None if host.is_empty() => f.write_str(":"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_a_host_is_read() {
        assert_eq!((port("0"), port("65535")), (Ok(0), Ok(65535)));
        for text in ["", "65536", "-1", "http", "tcp://10.0.0.1:80"] {
            assert_eq!(
                port(text).unwrap_err().to_string(),
                format!("'{text}' is not a port, expected a number from 0 to 65535")
            );
        }
    }
}
