//! The grammar of the address family, and the addresses in it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::quote;
use crate::{OptionValue, ParseError};

/// An address family, with the names of Go's `net` package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// IPv4 or IPv6.
    Tcp,
    /// IPv4.
    Tcp4,
    /// IPv6.
    Tcp6,
}

impl OptionValue for Network {
    const EXPECTED: &'static str = "\"tcp\", \"tcp4\" or \"tcp6\"";
    const TEXTS: &'static str = r#"
tcp |
tcp6 |
| '' is not a network, expected "tcp", "tcp4" or "tcp6"
udp | 'udp' is not a network, expected "tcp", "tcp4" or "tcp6"
"#;

    /// Reads `tcp`, `tcp4` or `tcp6`.
    ///
    /// # Errors
    ///
    /// Any other text.
    fn parse(text: &str) -> Result<Self, ParseError> {
        match text {
            "tcp" => Ok(Network::Tcp),
            "tcp4" => Ok(Network::Tcp4),
            "tcp6" => Ok(Network::Tcp6),
            _ => Err(ParseError::new(format!(
                "{} is not a network, expected \"tcp\", \"tcp4\" or \"tcp6\"",
                quote(text)
            ))),
        }
    }

    fn display(&self) -> String {
        self.to_string()
    }
}

impl Network {
    /// Whether an address is in the family.
    pub fn includes(self, ip: IpAddr) -> bool {
        match self {
            Self::Tcp => true,
            Self::Tcp4 => ip.is_ipv4(),
            Self::Tcp6 => ip.is_ipv6(),
        }
    }
}

/// The address of all interfaces, for an empty host.
pub fn unspecified(network: Option<Network>) -> IpAddr {
    match network {
        None | Some(Network::Tcp4) => Ipv4Addr::UNSPECIFIED.into(),
        Some(Network::Tcp | Network::Tcp6) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Tcp4 => "tcp4",
            Self::Tcp6 => "tcp6",
        })
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_as_it_is_written() {
        for network in [Network::Tcp, Network::Tcp4, Network::Tcp6] {
            assert_eq!(Network::parse(&network.to_string()), Ok(network));
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in ["", "udp", "unix", "TCP", "tcp5"] {
            let error = Network::parse(text).expect_err(text).to_string();
            assert!(error.contains("is not a network"), "{error}");
        }
    }
}
