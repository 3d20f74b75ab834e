//! The grammar of an address to listen on: `[name=][tls://]host:port`.
//!
//! The port may be open, to be taken from the variable `PORT`: `host` alone, or `:` if the host is
//! empty too. `host:` is an error, because it is what remains of `host:$PORT` if the variable is
//! unset.
//!
//! It knows names and schemes; [`endpoint`](crate::endpoint) knows the rest. It does not know whether
//! a name is unique: see [`list`](crate::list).

use std::fmt;
use std::str::FromStr;

use crate::count::digits;
use crate::error::{quote, reject};
use crate::{Endpoint, Network, ParseError};

/// The longest name of a listener, in characters.
///
/// It is the limit of systemd's `FileDescriptorName=` (systemd.socket(5)).
pub const MAX_NAME: usize = 255;

const EXPECTED: &str = "expected 'host:port' such as '127.0.0.1:8080'";

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The name of the listener, if it has one.
    pub name: Option<String>,
    /// Where it is bound.
    pub endpoint: Endpoint,
    /// What the clients of the listener speak.
    pub transport: Transport,
}

impl Address {
    /// Checks that the address fits the network.
    ///
    /// A host name always fits: its addresses are not known before it is resolved.
    ///
    /// # Errors
    ///
    /// An IP address of the other family.
    pub fn check_network(&self, network: Network) -> Result<(), ParseError> {
        let checked = self.endpoint.check_network(network);
        checked.map_err(|reason| reject(&self.to_string(), &reason))
    }
}

/// The transport of a listener: TCP, or TLS over TCP.
///
/// Later versions can add variants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// TCP. It is the default.
    #[default]
    Tcp,
    /// TLS over TCP, written as `tls://` before the host.
    Tls,
}

/// The prefix of the host that marks a listener for TLS.
const TLS: &str = "tls://";

impl Transport {
    /// Splits an address into its transport and the rest after the scheme.
    #[must_use]
    pub fn split_scheme(address: &str) -> (Self, &str) {
        match address.strip_prefix(TLS) {
            Some(rest) => (Self::Tls, rest),
            None => (Self::Tcp, address),
        }
    }

    /// Returns the prefix of the host: `tls://`, or nothing for TCP.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "",
            Self::Tls => TLS,
        }
    }
}

/// Reads one address.
///
/// # Errors
///
/// Any text that is not `[name=][tls://]host:port`; each mistake has its own message.
pub fn parse(text: &str) -> Result<Address, ParseError> {
    reject_urls_and_paths(text)?;
    let (name, rest) = match text.split_once('=') {
        Some((name, rest)) => (Some(parse_name(text, name)?), rest),
        None => (None, text),
    };
    let (transport, rest) = Transport::split_scheme(rest);
    if rest.is_empty() {
        return Err(reject(text, &format!("has no host and port, {EXPECTED}")));
    }
    if digits(rest).is_some() {
        let before = &text[..text.len() - rest.len()];
        let reason = format!("is only a port, expected '{before}:{rest}'");
        return Err(reject(text, &reason));
    }
    let endpoint = Endpoint::parse(rest).map_err(|reason| reject(text, &reason))?;
    Ok(Address {
        name,
        endpoint,
        transport,
    })
}

/// Rejects URLs, paths, lists and other texts that are not meant as `host:port`.
fn reject_urls_and_paths(text: &str) -> Result<(), ParseError> {
    if text.is_empty() {
        return Err(ParseError::new(format!("the address is empty, {EXPECTED}")));
    }
    if text.contains(char::is_whitespace) {
        return Err(reject(text, &format!("contains white space, {EXPECTED}")));
    }
    if text.contains(',') {
        let reason = format!("contains a comma, {EXPECTED} for each listener");
        return Err(reject(text, &reason));
    }
    let address = text.split_once('=').map_or(text, |(_, address)| address);
    match address.split_once("://") {
        Some(("tls", _)) | None => {}
        Some((scheme, _)) => {
            let help = match scheme.to_ascii_lowercase().as_str() {
                "https" | "tls" | "ssl" => format!("for TLS, use '{TLS}' instead"),
                _ => EXPECTED.to_owned(),
            };
            let scheme = quote(&format!("{scheme}://"));
            return Err(reject(text, &format!("is a URL, remove {scheme}; {help}")));
        }
    }
    if address.starts_with(['/', '.', '@']) || address.starts_with("unix:") {
        return Err(reject(text, &format!("is a path, {EXPECTED}")));
    }
    Ok(())
}

fn parse_name(text: &str, name: &str) -> Result<String, ParseError> {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if name.is_empty() {
        return Err(reject(
            text,
            "has no name before '=', expected a name or no '='",
        ));
    }
    if !name.bytes().all(is_allowed) {
        let name = quote(name);
        return Err(reject(
            text,
            &format!("has the name {name}, expected only 'a' to 'z', '0' to '9' and '_'"),
        ));
    }
    if name.len() > MAX_NAME {
        return Err(reject(
            text,
            &format!("has a name of more than {MAX_NAME} characters"),
        ));
    }
    Ok(name.to_owned())
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}=")?;
        }
        write!(f, "{}{}", self.transport.scheme(), self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_port(host: &str, port: Option<u16>) -> Endpoint {
        let host = host.to_owned();
        Endpoint::HostPort { host, port }
    }

    #[test]
    fn a_parsed_address_is_written_as_it_was_read() {
        for (text, name, host, port) in [
            ("127.0.0.1:8080", None, "127.0.0.1", Some(8080)),
            (":8080", None, "", Some(8080)),
            (":0", None, "", Some(0)),
            ("localhost:65535", None, "localhost", Some(65535)),
            ("[::1]:80", None, "::1", Some(80)),
            ("http=0.0.0.0:80", Some("http"), "0.0.0.0", Some(80)),
            ("admin_2=[::]:9000", Some("admin_2"), "::", Some(9000)),
            ("[fe80::1%eth0]:80", None, "fe80::1%eth0", Some(80)),
            ("a=[fe80::1%1]", Some("a"), "fe80::1%1", None),
            ("a=:1", Some("a"), "", Some(1)),
            ("0.0.0.0", None, "0.0.0.0", None),
            ("localhost", None, "localhost", None),
            ("[::]", None, "::", None),
            (":", None, "", None),
            ("http=0.0.0.0", Some("http"), "0.0.0.0", None),
            ("http=:", Some("http"), "", None),
        ] {
            let address: Address = text.parse().unwrap();

            assert_eq!(address.name.as_deref(), name);
            assert_eq!(address.endpoint, host_port(host, port));
            assert_eq!(address.to_string(), text);
            assert_eq!(address.transport, Transport::Tcp);
        }
    }

    #[test]
    fn the_tls_scheme_marks_an_address() {
        for (text, host, port) in [
            ("https=tls://0.0.0.0:443", "0.0.0.0", Some(443)),
            ("https=tls://[::1]:443", "::1", Some(443)),
            ("https=tls://:443", "", Some(443)),
            ("https=tls://:", "", None),
            ("https=tls://localhost", "localhost", None),
            ("https=tls://[fe80::1%lo]:443", "fe80::1%lo", Some(443)),
        ] {
            let address: Address = text.parse().unwrap();

            assert_eq!(address.transport, Transport::Tls);
            assert_eq!(address.endpoint, host_port(host, port));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn each_mistake_has_its_own_message() {
        for (text, message) in [
            (
                "",
                "the address is empty, expected 'host:port' such as '127.0.0.1:8080'",
            ),
            ("8080", "'8080' is only a port, expected ':8080'"),
            ("a=8080", "'a=8080' is only a port, expected 'a=:8080'"),
            (
                "a:",
                "'a:' has no port after ':', expected a number from 0 to 65535, or no ':' to use the variable PORT",
            ),
            (
                "a=",
                "'a=' has no host and port, expected 'host:port' such as '127.0.0.1:8080'",
            ),
            (
                "tls://",
                "'tls://' has no host and port, expected 'host:port' such as '127.0.0.1:8080'",
            ),
            (
                "a=https://:443",
                "'a=https://:443' is a URL, remove 'https://'; for TLS, use 'tls://' instead",
            ),
            (
                "TLS://:443",
                "'TLS://:443' is a URL, remove 'TLS://'; for TLS, use 'tls://' instead",
            ),
            (
                "tls://443",
                "'tls://443' is only a port, expected 'tls://:443'",
            ),
            (
                "tls://tls://:443",
                "'tls://tls://:443' has more than one ':'; an IPv6 address needs brackets, such as '[::1]:8080'",
            ),
            (
                "::1",
                "'::1' has more than one ':'; an IPv6 address needs brackets, such as '[::1]:8080'",
            ),
            (
                "[a]",
                "'[a]' has 'a' in brackets, which is not an IPv6 address",
            ),
            (
                "a:65536",
                "'a:65536' has a port over 65535, expected a number from 0 to 65535",
            ),
            (
                "a:+80",
                "'a:+80' has the port '+80', expected a number from 0 to 65535",
            ),
            (
                "a:http",
                "'a:http' has the port 'http', expected a number from 0 to 65535",
            ),
            (
                "a:80/x",
                "'a:80/x' has the port '80/x', expected a number from 0 to 65535",
            ),
            (
                " :80",
                "' :80' contains white space, expected 'host:port' such as '127.0.0.1:8080'",
            ),
            (
                "=:80",
                "'=:80' has no name before '=', expected a name or no '='",
            ),
            (
                ":80,:81",
                "':80,:81' contains a comma, expected 'host:port' such as '127.0.0.1:8080' for each listener",
            ),
            (
                "HTTP=:80",
                "'HTTP=:80' has the name 'HTTP', expected only 'a' to 'z', '0' to '9' and '_'",
            ),
            (
                "http://0.0.0.0:80",
                "'http://0.0.0.0:80' is a URL, remove 'http://'; \
                 expected 'host:port' such as '127.0.0.1:8080'",
            ),
            (
                "/run/a.sock",
                "'/run/a.sock' is a path, expected 'host:port' such as '127.0.0.1:8080'",
            ),
            (
                "unix:/a",
                "'unix:/a' is a path, expected 'host:port' such as '127.0.0.1:8080'",
            ),
            (
                "a=@b",
                "'a=@b' is a path, expected 'host:port' such as '127.0.0.1:8080'",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn each_mistake_in_a_zone_has_its_own_message() {
        for (text, message) in [
            (
                "[fe80::1]:80",
                "'[fe80::1]:80' is a link-local address without a zone, expected [fe80::1%eth0]:80",
            ),
            (
                "a=tls://[fe80::1]",
                "'a=tls://[fe80::1]' is a link-local address without a zone, expected [fe80::1%eth0]",
            ),
            (
                "[::1%lo]:80",
                "'[::1%lo]:80' has the zone 'lo', but only link-local addresses (fe80::/10) have a zone; remove '%lo'",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_name_has_a_limit() {
        let named = |length| parse(&format!("{}=:80", "n".repeat(length)));

        assert!(named(MAX_NAME).is_ok());
        assert!(
            named(MAX_NAME + 1)
                .unwrap_err()
                .to_string()
                .ends_with("has a name of more than 255 characters")
        );
    }

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
            let result = parse(text).expect(text).check_network(network);
            assert_eq!(result.is_ok(), fits, "{text}");
        }
        let address = parse("http=[::1]:80").expect("a valid address");
        assert_eq!(
            address
                .check_network(Network::Tcp4)
                .expect_err("an IPv6 address")
                .to_string(),
            "'http=[::1]:80' is not a tcp4 address, but `network` requires one"
        );
    }

    #[test]
    fn a_mapped_address_is_rejected_as_an_ipv4_address() {
        let address = parse("[::ffff:127.0.0.1]:80").expect("a valid address");
        assert_eq!(
            address
                .check_network(Network::Tcp6)
                .expect_err("an IPv4 address")
                .to_string(),
            "'[::ffff:127.0.0.1]:80' is the IPv4 address 127.0.0.1 in IPv6 form, but `network` requires a tcp6 address"
        );
    }
}
