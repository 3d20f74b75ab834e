//! A bound listener, and its text in variables and log lines: `name=address`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use prefork_options::{ParseError, Transport};
use socket2::SockAddr;

/// A bound listener: its name, its address and its transport.
///
/// The text is the syntax of the option `listen`: `name=address` or `name=tls://address`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenerInfo {
    pub(crate) name: String,
    pub(crate) address: ListenAddr,
    pub(crate) transport: Transport,
}

/// The address that a listener is bound to.
///
/// Later versions can add variants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListenAddr {
    /// An IP address and a port.
    Ip(SocketAddr),
}

impl ListenerInfo {
    /// Returns the name.
    ///
    /// It is the name in the option `listen`. Listeners without a name are `listener0`, `listener1`,
    /// … by their position in the list.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address.
    ///
    /// If the option has port 0, this is the port that the kernel chose.
    pub fn address(&self) -> &ListenAddr {
        &self.address
    }

    /// Returns the transport: TCP, or TLS over TCP.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the IP address and the port, or `None` if the transport has none.
    ///
    /// Every transport of this version has them.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.address.socket_addr()
    }
}

impl ListenAddr {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "not every kind of address has an IP address"
    )]
    pub(super) fn socket_addr(&self) -> Option<SocketAddr> {
        let Self::Ip(addr) = *self;
        Some(addr)
    }

    /// Returns the address for the calls that bind a socket.
    pub(super) fn to_sock_addr(&self) -> SockAddr {
        let Self::Ip(addr) = *self;
        addr.into()
    }

    /// From the address of a socket. `None` if no listener has such an address.
    pub(super) fn from_sock_addr(addr: &SockAddr) -> Option<Self> {
        addr.as_socket().map(Self::Ip)
    }
}

impl fmt::Display for ListenerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}={}{}",
            self.name,
            self.transport.scheme(),
            self.address
        )
    }
}

impl FromStr for ListenerInfo {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let invalid = || {
            ParseError::new(format!(
                "expected name=address, found '{}'",
                text.escape_debug()
            ))
        };
        let (name, address) = text.split_once('=').ok_or_else(invalid)?;
        let (transport, address) = Transport::split_scheme(address);
        Ok(Self {
            name: name.to_owned(),
            address: ListenAddr::Ip(address.parse().map_err(|_| invalid())?),
            transport,
        })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_listener_can_be_parsed() {
        for (text, transport) in [
            ("http=127.0.0.1:80", Transport::Tcp),
            ("https=tls://[::1]:443", Transport::Tls),
        ] {
            let info: ListenerInfo = text.parse().expect(text);
            assert_eq!(info.to_string(), text);
            assert_eq!(info.transport(), transport);
        }
        for text in [
            "",
            "127.0.0.1:80",
            "http=",
            "http=tls://",
            "http=udp://127.0.0.1:80",
        ] {
            let error = text.parse::<ListenerInfo>().expect_err(text).to_string();
            assert_eq!(error, format!("expected name=address, found '{text}'"));
        }
    }
}
