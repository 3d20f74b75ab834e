//! A bound listener, and its text in variables and log lines: `name=address`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use prefork_options::{Addr, Address, ListenerOptions, ParseError, Transport};

/// A bound listener: its name, its address and its transport.
///
/// The text is the syntax of the option `listen`, such as `name=127.0.0.1:80`,
/// `name=tls://127.0.0.1:443` or `name=unix:/run/app.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenerInfo {
    pub(crate) name: String,
    pub(crate) address: Addr,
    pub(crate) transport: Transport,
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
    pub fn address(&self) -> &Addr {
        &self.address
    }

    /// Returns the transport: a stream, TLS over a stream, or datagrams.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the IP address and the port; `None` for a unix socket.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.address.socket_addr()
    }
}

impl fmt::Display for ListenerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name)?;
        match self.address.endpoint() {
            Some(endpoint) => write!(f, "{}{endpoint}", self.transport.scheme(&endpoint)),
            // No option has this address, but a log line shows it.
            None => self.address.fmt(f),
        }
    }
}

impl FromStr for ListenerInfo {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let read = || {
            let address: Address = text.parse().ok()?;
            let is_bound =
                !address.endpoint.is_open() && address.options == ListenerOptions::default();
            Some(Self {
                name: address.name.filter(|_| is_bound)?,
                address: Addr::of(&address.endpoint)?,
                transport: address.transport,
            })
        };
        read().ok_or_else(|| {
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
            "http=localhost:80",
            "http=127.0.0.1",
            "http=127.0.0.1:80?backlog=5",
            "http=fd:3",
        ] {
            let error = text.parse::<ListenerInfo>().expect_err(text).to_string();
            assert_eq!(error, format!("expected name=address, found '{text}'"));
        }
    }
}
