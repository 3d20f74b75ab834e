//! Which family an address is looked for in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::quote;
use crate::{Address, ParseError, host};

/// A family of addresses, in the words of Go's `net` package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// IPv4 or IPv6.
    Tcp,
    /// IPv4.
    Tcp4,
    /// IPv6.
    Tcp6,
}

/// Reads `tcp`, `tcp4` or `tcp6`.
///
/// # Errors
///
/// Any other text.
pub fn parse(text: &str) -> Result<Network, ParseError> {
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

/// Holds an address against the network that it shall be in.
///
/// # Errors
///
/// An IP address of the other family. What a name stands for shows when it is resolved.
pub fn check(network: Network, address: &Address) -> Result<(), ParseError> {
    let Some(host::Literal { ip, .. }) = host::literal(&address.host) else {
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
            "{} is the IPv4 address {ip} in an IPv6 form, and `network` asks for a {network} address",
            quote(&address.to_string())
        )));
    }
    Err(ParseError::new(format!(
        "{} is no {network} address, and `network` asks for one",
        quote(&address.to_string())
    )))
}

/// The address of all interfaces, which a missing host means.
pub fn everywhere(network: Option<Network>) -> IpAddr {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_address_of_another_family_does_not_fit() {
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
            let verdict = check(network, &text.parse().expect(text));
            assert_eq!(verdict.is_ok(), fits, "{text}");
        }
        let address = "http=[::1]:80".parse().expect("good");
        assert_eq!(
            check(Network::Tcp4, &address)
                .expect_err("it is none")
                .to_string(),
            "'http=[::1]:80' is no tcp4 address, and `network` asks for one"
        );
    }

    #[test]
    fn a_mapped_address_is_refused_as_the_ipv4_address_that_it_is() {
        let address = "[::ffff:127.0.0.1]:80".parse().expect("good");
        assert_eq!(
            check(Network::Tcp6, &address)
                .expect_err("it is IPv4")
                .to_string(),
            "'[::ffff:127.0.0.1]:80' is the IPv4 address 127.0.0.1 in an IPv6 form, and `network` asks for a tcp6 address"
        );
    }

    #[test]
    fn networks_come_back() {
        for network in [Network::Tcp, Network::Tcp4, Network::Tcp6] {
            assert_eq!(parse(&network.to_string()), Ok(network));
        }
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "udp", "unix", "TCP", "tcp5"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains("is not a network"), "{error}");
        }
    }
}
