//! A bound listener, and its text in variables and log lines: `name=address`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A bound listener; its text is `name=address` or `name=tls://address`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerInfo {
    pub(crate) name: String,
    /// If the option has port 0, this has the port that the kernel chose.
    pub(crate) addr: SocketAddr,
    /// Whether clients use TLS.
    pub(crate) is_tls: bool,
}

const TLS: &str = "tls://";

impl fmt::Display for ListenerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, addr, is_tls } = self;
        let scheme = if *is_tls { TLS } else { "" };
        write!(f, "{name}={scheme}{addr}")
    }
}

impl FromStr for ListenerInfo {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, addr) = text.split_once('=').ok_or(())?;
        let (is_tls, addr) = match addr.strip_prefix(TLS) {
            Some(addr) => (true, addr),
            None => (false, addr),
        };
        Ok(Self {
            name: name.to_owned(),
            addr: addr.parse().map_err(drop)?,
            is_tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_listener_can_be_parsed() {
        for text in ["http=127.0.0.1:80", "https=tls://[::1]:443"] {
            let info: ListenerInfo = text.parse().expect(text);
            assert_eq!(info.to_string(), text);
            assert_eq!(info.is_tls, text.contains("tls"));
        }
        for text in [
            "",
            "127.0.0.1:80",
            "http=",
            "http=tls://",
            "http=udp://127.0.0.1:80",
        ] {
            assert_eq!(text.parse::<ListenerInfo>(), Err(()), "{text}");
        }
    }
}
