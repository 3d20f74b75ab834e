//! Where to listen: `[name=][tls://]host:port`.
//!
//! The port may be left open, for somebody else to say: `host` alone, or `:` where the host is left out as well. `host:`
//! is refused, since it is what remains of `host:$PORT` where the variable was lost.
//!
//! It knows how addresses are written; it does not know whether a host exists, a port is free or a name is taken (see
//! [`list`](crate::list) for the last). Nothing is resolved here.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;
use crate::count::digits;
use crate::error::quote;
use crate::host;

/// The longest name of a listener, as in systemd's `FileDescriptorName=` (systemd.socket(5)).
pub const MAX_NAME: usize = 255;

const EXPECTED: &str = "expected 'host:port' such as '127.0.0.1:8080'";

const PORTS: &str = "expected a number from 0 to 65535";

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// What arguments of `main` call it, if it was given a name.
    pub name: Option<String>,
    /// An IPv4 address, an IPv6 address (without brackets, with the zone where it is link-local), a host name, or empty
    /// for all interfaces.
    pub host: String,
    /// The TCP port; 0 lets the system choose, `None` leaves it open.
    pub port: Option<u16>,
    /// Whether who connects there is to speak TLS.
    pub is_tls: bool,
}

/// What stands before a place where TLS is spoken.
const TLS: &str = "tls://";

/// Reads one address.
///
/// # Errors
///
/// Any text that is not `[name=][tls://]host:port`, each mistake with its own words.
pub fn parse(text: &str) -> Result<Address, ParseError> {
    refuse_other_worlds(text)?;
    let (name, place) = match text.split_once('=') {
        Some((name, place)) => (Some(parse_name(text, name)?), place),
        None => (None, text),
    };
    let (is_tls, place) = match place.strip_prefix(TLS) {
        Some(place) => (true, place),
        None => (false, place),
    };
    let (host, port) = split(text, place)?;
    let address = Address {
        name,
        is_tls,
        host: host::parse(host).map_err(|reason| refuse(text, &reason))?,
        port: port.map(|port| parse_port(text, port)).transpose()?,
    };
    if host::lacks_zone(&address.host) {
        let with_zone = Address {
            name: None,
            is_tls: false,
            host: format!("{}%eth0", address.host),
            port: address.port,
        };
        let reason = format!("has no zone, a link-local address needs a zone: {with_zone}");
        return Err(refuse(text, &reason));
    }
    Ok(address)
}

/// Reads a port that stands alone, as in the variable `PORT`.
///
/// # Errors
///
/// Any text that is not a number up to 65535.
pub fn port(text: &str) -> Result<u16, ParseError> {
    let number = digits(text).map(u16::try_from);
    number
        .and_then(Result::ok)
        .ok_or_else(|| refuse(text, &format!("is not a port, {PORTS}")))
}

/// Parts the host from the port, if there is one.
fn split<'a>(text: &str, place: &'a str) -> Result<(&'a str, Option<&'a str>), ParseError> {
    if place.is_empty() {
        return Err(refuse(
            text,
            &format!("has no address at its end, {EXPECTED}"),
        ));
    }
    if place == ":" {
        return Ok(("", None));
    }
    // All of it is an IPv6 address.
    if place.starts_with('[') && place.ends_with(']') {
        return Ok((place, None));
    }
    match place.rsplit_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None if digits(place).is_some() => {
            let reason = format!(
                "is a port alone, write '{}:{place}'",
                &text[..text.len() - place.len()]
            );
            Err(refuse(text, &reason))
        }
        None => Ok((place, None)),
    }
}

/// Recognizes what people write who think of something else than `host:port`.
fn refuse_other_worlds(text: &str) -> Result<(), ParseError> {
    if text.is_empty() {
        return Err(ParseError::new(format!("the address is empty, {EXPECTED}")));
    }
    if text.contains(char::is_whitespace) {
        return Err(refuse(text, &format!("holds white space, {EXPECTED}")));
    }
    if text.contains(',') {
        let reason = format!("has a comma, {EXPECTED} for each listener alone");
        return Err(refuse(text, &reason));
    }
    let place = text.split_once('=').map_or(text, |(_, place)| place);
    match place.split_once("://") {
        Some(("tls", _)) | None => {}
        Some((scheme, _)) => {
            let instead = match scheme.to_ascii_lowercase().as_str() {
                "https" | "tls" | "ssl" => format!("for TLS write '{TLS}' there"),
                _ => EXPECTED.to_owned(),
            };
            let scheme = quote(&format!("{scheme}://"));
            return Err(refuse(
                text,
                &format!("is a URL, leave out {scheme}; {instead}"),
            ));
        }
    }
    if place.starts_with(['/', '.', '@']) || place.starts_with("unix:") {
        return Err(refuse(text, &format!("is a path, {EXPECTED}")));
    }
    Ok(())
}

fn parse_name(text: &str, name: &str) -> Result<String, ParseError> {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if name.is_empty() {
        return Err(refuse(
            text,
            "has nothing before '=', expected a name or no '='",
        ));
    }
    if !name.bytes().all(is_allowed) {
        let name = quote(name);
        return Err(refuse(
            text,
            &format!("has the name {name}, expected only 'a' to 'z', '0' to '9' and '_' in it"),
        ));
    }
    if name.len() > MAX_NAME {
        return Err(refuse(
            text,
            &format!("has a name over {MAX_NAME} characters"),
        ));
    }
    Ok(name.to_owned())
}

fn parse_port(text: &str, port: &str) -> Result<u16, ParseError> {
    if port.is_empty() {
        let reason = format!("has no port behind ':', {PORTS}, or no ':' to take it from PORT");
        return Err(refuse(text, &reason));
    }
    let Some(number) = digits(port) else {
        return Err(refuse(
            text,
            &format!("has the port {}, {PORTS}", quote(port)),
        ));
    };
    number
        .try_into()
        .map_err(|_| refuse(text, &format!("has a port over 65535, {PORTS}")))
}

fn refuse(text: &str, reason: &str) -> ParseError {
    ParseError::new(format!("{} {reason}", quote(text)))
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
        if self.is_tls {
            f.write_str(TLS)?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None if self.host.is_empty() => f.write_str(":"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_come_back() {
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
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.to_string(), text);
            assert!(!address.is_tls);
        }
    }

    #[test]
    fn an_address_says_where_tls_is_spoken() {
        for (text, host, port) in [
            ("https=tls://0.0.0.0:443", "0.0.0.0", Some(443)),
            ("https=tls://[::1]:443", "::1", Some(443)),
            ("https=tls://:443", "", Some(443)),
            ("https=tls://:", "", None),
            ("https=tls://localhost", "localhost", None),
            ("https=tls://[fe80::1%lo]:443", "fe80::1%lo", Some(443)),
        ] {
            let address: Address = text.parse().unwrap();

            assert!(address.is_tls);
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        for (text, message) in [
            (
                "",
                "the address is empty, expected 'host:port' such as '127.0.0.1:8080'",
            ),
            ("8080", "'8080' is a port alone, write ':8080'"),
            ("a=8080", "'a=8080' is a port alone, write 'a=:8080'"),
            (
                "a:",
                "'a:' has no port behind ':', expected a number from 0 to 65535, or no ':' to take it from PORT",
            ),
            (
                "a=",
                "'a=' has no address at its end, expected 'host:port' such as '127.0.0.1:8080'",
            ),
            (
                "tls://",
                "'tls://' has no address at its end, expected 'host:port' such as '127.0.0.1:8080'",
            ),
            (
                "a=https://:443",
                "'a=https://:443' is a URL, leave out 'https://'; for TLS write 'tls://' there",
            ),
            (
                "TLS://:443",
                "'TLS://:443' is a URL, leave out 'TLS://'; for TLS write 'tls://' there",
            ),
            (
                "tls://443",
                "'tls://443' is a port alone, write 'tls://:443'",
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
                "' :80' holds white space, expected 'host:port' such as '127.0.0.1:8080'",
            ),
            (
                "=:80",
                "'=:80' has nothing before '=', expected a name or no '='",
            ),
            (
                ":80,:81",
                "':80,:81' has a comma, expected 'host:port' such as '127.0.0.1:8080' for each listener alone",
            ),
            (
                "HTTP=:80",
                "'HTTP=:80' has the name 'HTTP', expected only 'a' to 'z', '0' to '9' and '_' in it",
            ),
            (
                "http://0.0.0.0:80",
                "'http://0.0.0.0:80' is a URL, leave out 'http://'; \
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
    fn each_mistake_in_a_zone_has_its_own_words() {
        for (text, message) in [
            (
                "[fe80::1]:80",
                "'[fe80::1]:80' has no zone, a link-local address needs a zone: [fe80::1%eth0]:80",
            ),
            (
                "a=tls://[fe80::1]",
                "'a=tls://[fe80::1]' has no zone, a link-local address needs a zone: [fe80::1%eth0]",
            ),
            (
                "[::1%lo]:80",
                "'[::1%lo]:80' has the zone 'lo', and only a link-local address (fe80::/10) has one; remove '%lo'",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_port_alone_is_read() {
        assert_eq!((port("0"), port("65535")), (Ok(0), Ok(65535)));
        for text in ["", "65536", "-1", "http", "tcp://10.0.0.1:80"] {
            assert_eq!(
                port(text).unwrap_err().to_string(),
                format!("'{text}' is not a port, expected a number from 0 to 65535")
            );
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
                .ends_with("has a name over 255 characters")
        );
    }
}
