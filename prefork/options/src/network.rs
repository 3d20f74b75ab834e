//! The grammar of the address family, and the check of addresses against it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::quote;
use crate::{Address, OptionValue, ParseError, host};

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

/// Checks that an address fits the network.
///
/// A host name always fits: its addresses are not known before it is resolved.
///
/// # Errors
///
/// An IP address of the other family.
pub fn check(network: Network, address: &Address) -> Result<(), ParseError> {
    let Some(host::IpLiteral { ip, .. }) = host::literal(&address.host) else {
        return Ok(());
    };
    let fits = match network {
        Network::Tcp => true,
        Network::Tcp4 => ip.is_ipv4(),
        Network::Tcp6 => ip.is_ipv6(),
    };
    if fits {
        return Ok(());
    }
    if ip.is_ipv4() && address.host.contains(':') {
        return Err(ParseError::new(format!(
            "{} is the IPv4 address {ip} in IPv6 form, but `network` requires a {network} address",
            quote(&address.to_string())
        )));
    }
    Err(ParseError::new(format!(
        "{} is not a {network} address, but `network` requires one",
        quote(&address.to_string())
    )))
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
    fn an_ip_address_of_another_family_does_not_fit() {
        for (text, network, fits) in [
            ("127.0.0.1:80", Network::Tcp6, false),
            ("http=[::1]:80", Network::Tcp4, false),
            ("[::1]:80", Network::Tcp6, true),
            ("[::1]:80", Network::Tcp, true),
            ("localhost:80", Network::Tcp6, true),
            (":80", Network::Tcp6, true),
            ("[fe80::1%lo]:80", Network::Tcp4, false),
            ("[fe80::1%lo]:80", Network::Tcp6, true),
            ("[::ffff:127.0.0.1]:80", Network::Tcp4, true),
            ("[::ffff:127.0.0.1]:80", Network::Tcp6, false),
        ] {
            let result = check(network, &text.parse().expect(text));
            assert_eq!(result.is_ok(), fits, "{text}");
        }
        let address = "http=[::1]:80".parse().expect("a valid address");
        assert_eq!(
            check(Network::Tcp4, &address)
                .expect_err("an IPv6 address")
                .to_string(),
            "'http=[::1]:80' is not a tcp4 address, but `network` requires one"
        );
    }

    #[test]
    fn a_mapped_address_is_rejected_as_an_ipv4_address() {
        let address = "[::ffff:127.0.0.1]:80".parse().expect("a valid address");
        assert_eq!(
            check(Network::Tcp6, &address)
                .expect_err("an IPv4 address")
                .to_string(),
            "'[::ffff:127.0.0.1]:80' is the IPv4 address 127.0.0.1 in IPv6 form, but `network` requires a tcp6 address"
        );
    }

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
