//! Which family an address is looked for in.

use std::fmt;

use crate::ParseError;
use crate::error::quote;

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
