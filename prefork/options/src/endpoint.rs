//! Where a listener is bound: a host and a port, a unix socket, or an open descriptor.
//!
//! Each question whose answer depends on the kind of endpoint is a method here. A `match` on an
//! endpoint has no wildcard, so the compiler asks for the answers of a new kind.
//!
//! It does not know whether a host exists, a port is free or a path can be created. It resolves
//! nothing.

use std::fmt;

use crate::count::digits;
use crate::error::{quote, reject};
use crate::overlap::{self, HostAddr, Overlap};
use crate::{Network, ParseError, host, network};

const PORTS: &str = "expected a number from 0 to 65535";

/// The longest path or abstract name of a unix socket, in bytes.
///
/// It is the length of `sun_path` without the zero byte after a path and before a name (unix(7)).
pub const MAX_UNIX_NAME: usize = 107;

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host and a port of TCP or UDP.
    HostPort {
        /// An IPv4 address, an IPv6 address, a host name, or empty for all interfaces.
        ///
        /// An IPv6 address has no brackets; a link-local one includes its zone.
        host: String,
        /// The port; 0 lets the system choose, `None` leaves it open.
        port: Option<u16>,
        /// The address family that the scheme requires: IPv4 or IPv6.
        family: Option<Network>,
    },
    /// A unix socket.
    Unix(UnixName),
    /// The number of an open descriptor.
    Fd(i32),
}

/// The name of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// The absolute path of its file.
    Path(String),
    /// A name without a file (unix(7), "abstract"), here without the zero byte before it.
    Abstract(String),
}

impl Endpoint {
    /// Reads a host and a port.
    ///
    /// The error is a reason that follows the whole address in a message.
    pub(crate) fn host_port(text: &str, family: Option<Network>) -> Result<Self, String> {
        let (host, port) = split_port(text);
        let host = host::parse(host)?;
        let lacks_zone = host::lacks_zone(&host);
        let port = port.map(parse_port).transpose()?;
        if lacks_zone {
            let host = format!("{host}%eth0");
            let with_zone = Self::HostPort { host, port, family };
            return Err(format!(
                "is a link-local address without a zone, expected {with_zone}"
            ));
        }
        if let (Some(family), Some(literal)) = (family, host::literal(&host))
            && !family.includes(literal.ip)
        {
            let [found, required] = [literal.ip.is_ipv4(), family == Network::Tcp4]
                .map(|is_ipv4| if is_ipv4 { "IPv4" } else { "IPv6" });
            return Err(format!(
                "has an {found} address, but its scheme requires {required}"
            ));
        }
        Ok(Self::HostPort { host, port, family })
    }

    /// Reads what follows `unix:` or `unixgram:`, which is the scheme. The error is a reason.
    pub(crate) fn unix(scheme: &str, text: &str) -> Result<Self, String> {
        let (what, name) = match text.strip_prefix('@') {
            Some(name) => ("name", name),
            None => ("path", text),
        };
        if name.len() > MAX_UNIX_NAME {
            return Err(format!(
                "has a {what} of {} bytes, but unix sockets allow {MAX_UNIX_NAME}",
                name.len()
            ));
        }
        if let Some(invalid) = name.chars().find(|character| character.is_control()) {
            let invalid = quote(&invalid.to_string());
            return Err(format!("contains the control character {invalid}"));
        }
        if what == "path" {
            check_path(scheme, name)?;
            return Ok(Self::Unix(UnixName::Path(name.to_owned())));
        }
        if name.is_empty() {
            return Err(format!(
                "has no name after '@', expected one such as '{scheme}:@app'"
            ));
        }
        Ok(Self::Unix(UnixName::Abstract(name.to_owned())))
    }

    /// Reads what follows `fd:`. The error is a reason.
    pub(crate) fn fd(number: &str) -> Result<Self, String> {
        let fd = digits(number).and_then(|number| i32::try_from(number).ok());
        match fd {
            Some(fd @ 3..) => Ok(Self::Fd(fd)),
            Some(0..) => Err(format!(
                "is descriptor {number}, which is stdin, stdout or stderr; expected 3 or more"
            )),
            _ => Err(format!(
                "has the descriptor {}, expected a number such as 'fd:3'",
                quote(number)
            )),
        }
    }

    /// Whether the port is open: the variable `PORT` sets it.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::HostPort { port: None, .. })
    }

    /// Returns the number of the descriptor that it names.
    pub fn number(&self) -> Option<i32> {
        match self {
            Self::Fd(number) => Some(*number),
            Self::HostPort { .. } | Self::Unix(_) => None,
        }
    }

    /// Returns the port, unless it is open or this kind of endpoint has none.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::HostPort { port, .. } => *port,
            Self::Unix(_) | Self::Fd(_) => None,
        }
    }

    /// Sets the port, if this kind of endpoint has one. `None` leaves it open.
    pub fn set_port(&mut self, new: Option<u16>) {
        match self {
            Self::HostPort { port, .. } => *port = new,
            Self::Unix(_) | Self::Fd(_) => {}
        }
    }

    /// Whether it can be bound without a resolver.
    pub fn is_literal(&self) -> bool {
        match self {
            Self::HostPort { host, .. } => host.is_empty() || host::literal(host).is_some(),
            Self::Unix(_) | Self::Fd(_) => true,
        }
    }

    /// Whether sockets of different protocols cannot be bound to it together.
    pub(crate) fn is_exclusive(&self) -> bool {
        match self {
            Self::Unix(UnixName::Path(_)) | Self::Fd(_) => true,
            Self::HostPort { .. } | Self::Unix(UnixName::Abstract(_)) => false,
        }
    }

    /// Checks that it fits the network. The error is a reason, as of [`host_port`](Self::host_port).
    ///
    /// A host name always fits: its addresses are not known before it is resolved. An address whose
    /// scheme requires a family does not depend on the network.
    pub(crate) fn check_network(&self, network: Network) -> Result<(), String> {
        let host = match self {
            Self::HostPort {
                host, family: None, ..
            } => host,
            Self::HostPort { .. } | Self::Unix(_) | Self::Fd(_) => return Ok(()),
        };
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

    /// Returns how two endpoints of the same protocol overlap, if they cannot be bound together.
    ///
    /// Port 0 and an open port never overlap. The addresses of a host name are not known here, so a
    /// host name only overlaps with the same name.
    pub(crate) fn overlap(
        &self,
        other: &Self,
        are_dual_stack: [bool; 2],
        network: Option<Network>,
    ) -> Option<Overlap> {
        let (host, family, other_host, other_family) = match (self, other) {
            (
                Self::HostPort { host, port, family },
                Self::HostPort {
                    host: other_host,
                    port: other_port,
                    family: other_family,
                },
            ) => {
                port.filter(|&port| port != 0 && *other_port == Some(port))?;
                (host, family, other_host, other_family)
            }
            (Self::HostPort { .. } | Self::Unix(_) | Self::Fd(_), _) => {
                return (self == other).then_some(Overlap::Same);
            }
        };
        let first = host_addr(host, family.or(network), are_dual_stack[0]);
        let second = host_addr(other_host, other_family.or(network), are_dual_stack[1]);
        match (first, second) {
            (Some(first), Some(second)) => overlap::between(&first, &second),
            (None, None) => host::is_same_name(host, other_host).then_some(Overlap::Same),
            (Some(_), None) | (None, Some(_)) => None,
        }
    }
}

/// Returns the IP address to bind; `None` for the name of a host.
fn host_addr(
    host: &str,
    network: Option<Network>,
    is_dual_stack: bool,
) -> Option<HostAddr<Option<&str>>> {
    let (ip, zone) = match host::literal(host) {
        Some(literal) => (literal.ip, literal.zone),
        None if host.is_empty() => (network::unspecified(network), None),
        None => return None,
    };
    Some(HostAddr {
        ip,
        zone,
        is_dual_stack,
    })
}

fn check_path(scheme: &str, path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err(format!(
            "has no path, expected one such as '{scheme}:/run/app.sock'"
        ));
    }
    if path.starts_with("//") {
        let path = quote(&format!("{scheme}:/{}", path.trim_start_matches('/')));
        return Err(format!(
            "has more than one '/' before its path, expected {path}"
        ));
    }
    if !path.starts_with('/') {
        let path = quote(path);
        return Err(format!(
            "has the relative path {path}, expected an absolute path, or '@' before a name \
             without a file"
        ));
    }
    if path.ends_with('/') {
        return Err("is a directory, expected the path of a socket".to_owned());
    }
    Ok(())
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
    /// Writes the endpoint without its scheme.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostPort { host, port, .. } => {
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
            Self::Unix(name) => name.fmt(f),
            Self::Fd(number) => number.fmt(f),
        }
    }
}

impl fmt::Display for UnixName {
    /// Writes the path, or `@` and the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.write_str(path),
            Self::Abstract(name) => write!(f, "@{name}"),
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
