//! A bound listener, and its text in variables and log lines: `name=address`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use prefork_options::{Addr, Address, ListenerOptions, ParseError, Transport};

/// A bound listener: its name, its addresses and its transport.
///
/// The text is the syntax of the option `listen`, such as `name=127.0.0.1:80`,
/// `name=tls://127.0.0.1:443` or `name=unix:/run/app.sock`. It has one part per address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenerInfo {
    pub(crate) name: String,
    /// At least one.
    addresses: Vec<Addr>,
    pub(crate) transport: Transport,
}

impl ListenerInfo {
    /// Creates the description of a listener with one address.
    pub(crate) fn new(name: String, address: Addr, transport: Transport) -> Self {
        Self {
            name,
            addresses: vec![address],
            transport,
        }
    }

    /// Whether the other one describes sockets of the same listener.
    pub(super) fn is_same_listener(&self, other: &Self) -> bool {
        self.name == other.name && self.transport == other.transport
    }

    /// Adds the addresses of further sockets of the listener.
    pub(super) fn merge(&mut self, other: Self) {
        self.addresses.extend(other.addresses);
    }

    /// Returns the name.
    ///
    /// It is the name in the option `listen`. Listeners without a name are `listener0`, `listener1`,
    /// … by their position in the list.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address; the first one if a host name has several.
    ///
    /// If the option has port 0, this is the port that the kernel chose.
    pub fn address(&self) -> &Addr {
        &self.addresses[0]
    }

    /// Returns all addresses, in the order of the name service; there is at least one.
    ///
    /// Only a host name and socket activation have several. There is one socket for each. With port
    /// 0 in the option, all have the same port.
    pub fn addresses(&self) -> &[Addr] {
        &self.addresses
    }

    /// Returns the transport: a stream, TLS over a stream, or datagrams.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the IP address and the port of [`address`](Self::address); `None` for a unix socket.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.address().socket_addr()
    }
}

impl fmt::Display for ListenerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{}=", self.name)?;
            match address.endpoint() {
                Some(endpoint) => write!(f, "{}{endpoint}", self.transport.scheme(&endpoint))?,
                // No option has this address, but a log line shows it.
                None => address.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl FromStr for ListenerInfo {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let read = |text: &str| {
            let address: Address = text.parse().ok()?;
            let is_bound =
                !address.endpoint.is_open() && address.options == ListenerOptions::default();
            let name = address.name.filter(|_| is_bound)?;
            Some(Self::new(
                name,
                Addr::of(&address.endpoint)?,
                address.transport,
            ))
        };
        let read_all = || {
            let mut parts = text.split(',').map(read);
            let first = parts.next()??;
            parts.try_fold(first, |mut info: Self, part| {
                let part = part.filter(|part| info.is_same_listener(part))?;
                info.merge(part);
                Some(info)
            })
        };
        read_all().ok_or_else(|| {
            ParseError::new(format!(
                "expected name=address, found '{}'",
                text.escape_debug()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_listener_can_be_parsed() {
        for (text, transport) in [
            ("http=127.0.0.1:80", Transport::Stream),
            ("https=tls://[::1]:443", Transport::Tls),
            ("http=[fe80::1%1]:80", Transport::Stream),
            ("http=unix:/run/app.sock", Transport::Stream),
            ("http=unix:@app", Transport::Stream),
            ("https=tls://unix:/run/app.sock", Transport::Tls),
            ("dns=udp://127.0.0.1:53", Transport::Datagram),
            ("log=unixgram:/run/log", Transport::Datagram),
            ("http=[::1]:80,http=127.0.0.1:80", Transport::Stream),
            (
                "https=tls://[::1]:443,https=tls://127.0.0.1:443",
                Transport::Tls,
            ),
        ] {
            let info: ListenerInfo = text.parse().expect(text);
            assert_eq!(info.to_string(), text);
            assert_eq!(info.transport(), transport);
            assert_eq!(info.addresses().len(), text.split(',').count());
            assert_eq!(info.addresses().first(), Some(info.address()));
        }
        for text in [
            "",
            "127.0.0.1:80",
            "http=",
            "http=tls://",
            "http=localhost:80",
            "http=127.0.0.1",
            "http=127.0.0.1:80?backlog=5",
            "http=fd:3",
            "http=127.0.0.1:80,",
            "http=127.0.0.1:80,admin=127.0.0.1:81",
            "http=127.0.0.1:80,http=tls://[::1]:80",
        ] {
            let error = text.parse::<ListenerInfo>().expect_err(text).to_string();
            assert_eq!(error, format!("expected name=address, found '{text}'"));
        }
    }
}
