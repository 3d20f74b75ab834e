//! The address of a socket: of a listener, or of a client.
//!
//! It knows the texts of addresses, and the endpoint that a listener with such an address is bound
//! to. It opens no socket.

use std::fmt;
use std::net::{SocketAddr, SocketAddrV6};
use std::path::PathBuf;

use crate::{Endpoint, UnixName, host};

/// The address of a socket: of a listener, or of a client.
///
/// Later versions can add variants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Addr {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A unix socket with a file.
    UnixPath(PathBuf),
    /// A unix socket with a name and no file (unix(7), "abstract").
    ///
    /// The name does not include the zero byte before it.
    UnixAbstract(Vec<u8>),
    /// A unix socket without a name, as clients usually have.
    UnixUnnamed,
}

impl Addr {
    /// Returns the IP address and the port; `None` for a unix socket.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(addr) => Some(*addr),
            Self::UnixPath(_) | Self::UnixAbstract(_) | Self::UnixUnnamed => None,
        }
    }

    /// Returns the endpoint of a listener with this address; `None` if no option can name it.
    #[doc(hidden)]
    pub fn endpoint(&self) -> Option<Endpoint> {
        let name = match self {
            Self::Ip(addr) => {
                let host = match addr {
                    SocketAddr::V6(addr) if addr.scope_id() != 0 => {
                        format!("{}%{}", addr.ip(), addr.scope_id())
                    }
                    addr => addr.ip().to_string(),
                };
                return Some(Endpoint::HostPort {
                    host,
                    port: Some(addr.port()),
                    family: None,
                });
            }
            Self::UnixPath(path) => UnixName::Path(path.to_str()?.to_owned()),
            Self::UnixAbstract(name) => {
                UnixName::Abstract(std::str::from_utf8(name).ok()?.to_owned())
            }
            Self::UnixUnnamed => return None,
        };
        Some(Endpoint::Unix(name))
    }
}

impl Addr {
    /// Returns the address of an endpoint if it needs no look-up; an open port becomes port 0.
    ///
    /// A host name, the name of an interface and a descriptor need one.
    #[doc(hidden)]
    pub fn of(endpoint: &Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::HostPort { host, port, .. } => {
                let literal = host::literal(host)?;
                let mut addr = SocketAddr::new(literal.ip, port.unwrap_or(0));
                if let (Some(zone), SocketAddr::V6(addr)) = (literal.zone, &mut addr) {
                    *addr = SocketAddrV6::new(*addr.ip(), addr.port(), 0, zone.parse().ok()?);
                }
                Some(Self::Ip(addr))
            }
            Endpoint::Unix(UnixName::Path(path)) => Some(Self::UnixPath(path.into())),
            Endpoint::Unix(UnixName::Abstract(name)) => {
                Some(Self::UnixAbstract(name.clone().into_bytes()))
            }
            Endpoint::Fd(_) => None,
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self::Ip(addr)
    }
}

impl PartialEq<SocketAddr> for Addr {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.socket_addr() == Some(*other)
    }
}

impl fmt::Display for Addr {
    /// Writes `127.0.0.1:80`, `unix:/path`, `unix:@name`, or `unix:` without a name.
    ///
    /// Control characters are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Ip(addr) => return addr.fmt(f),
            Self::UnixPath(path) => path.to_string_lossy().into_owned(),
            Self::UnixAbstract(name) => format!("@{}", String::from_utf8_lossy(name)),
            Self::UnixUnnamed => String::new(),
        };
        f.write_str("unix:")?;
        for character in name.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;

    #[test]
    fn an_address_is_that_of_its_endpoint() {
        for text in [
            "127.0.0.1:80",
            "[::1]:0",
            "[fe80::1%1]:80",
            "unix:/run/app.sock",
            "unix:@app",
        ] {
            let endpoint = text.parse::<Address>().expect(text).endpoint;
            let addr = Addr::of(&endpoint).expect(text);
            assert_eq!(addr.to_string(), text);
            assert_eq!(addr.endpoint(), Some(endpoint));
        }
    }

    #[test]
    fn what_needs_a_look_up_has_no_address_yet() {
        for text in ["localhost:80", "[fe80::1%eth0]:80", ":80", "fd:3"] {
            let endpoint = text.parse::<Address>().expect(text).endpoint;
            assert_eq!(Addr::of(&endpoint), None, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_shown_in_one_line() {
        let addr = Addr::UnixAbstract(b"a\nb\xff".to_vec());
        assert_eq!(addr.to_string(), "unix:@a\\nb\u{fffd}");
        assert_eq!(addr.endpoint(), None);
        assert_eq!(Addr::UnixUnnamed.to_string(), "unix:");
    }
}
