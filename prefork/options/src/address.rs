//! The grammar of an address to listen on: `[name=][scheme]endpoint[?option&…]`.
//!
//! | endpoint | schemes |
//! |---|---|
//! | `host:port` | none or `tcp://`, `tcp4://`, `tcp6://`, `tls://`, `udp://`, `udp4://`, `udp6://` |
//! | `/path` or `@name` of a unix socket | `unix:`, `tls://unix:`, `unixgram:` |
//! | the number of a descriptor | `fd:`, `tls://fd:`, `udp://fd:` |
//!
//! The port may be open, to be taken from the variable `PORT`: `host` alone, or `:` if the host is
//! empty too. `host:` is an error, because it is what remains of `host:$PORT` if the variable is
//! unset.
//!
//! It knows names, schemes and which options fit; [`endpoint`](crate::endpoint) and
//! [`listener_options`](crate::listener_options) know the rest. It does not know whether a name is
//! unique: see [`list`](crate::list).

use std::fmt;
use std::str::FromStr;

use crate::count::digits;
use crate::error::{quote, reject};
use crate::overlap::Overlap;
use crate::{Endpoint, ListenerOptions, Network, ParseError, UnixName, host};

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
    /// What is set for this listener alone.
    pub options: ListenerOptions,
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

    /// Returns how two addresses overlap, if they cannot be bound together.
    pub(crate) fn overlap(&self, other: &Self, network: Option<Network>) -> Option<Overlap> {
        let is_datagram = |address: &Self| address.transport == Transport::Datagram;
        if is_datagram(self) != is_datagram(other) && !self.endpoint.is_exclusive() {
            return None;
        }
        let are_dual_stack = [self, other].map(|address| address.options.v6only == Some(false));
        self.endpoint
            .overlap(&other.endpoint, are_dual_stack, network)
    }

    /// Checks that each option fits the listener. The error is a reason.
    fn check_options(&self) -> Result<(), String> {
        let is_stream = self.transport != Transport::Datagram;
        let (is_tcp, is_ipv6, is_file) = match &self.endpoint {
            Endpoint::HostPort { host, family, .. } => {
                let is_ipv4 = host::literal(host).is_some_and(|literal| literal.ip.is_ipv4());
                (is_stream, !is_ipv4 && *family != Some(Network::Tcp4), false)
            }
            Endpoint::Unix(name) => (false, false, matches!(name, UnixName::Path(_))),
            Endpoint::Fd(_) => (is_stream, false, false),
        };
        let options = &self.options;
        let misplaced = [
            (
                options.backlog.map(|_| "backlog"),
                is_stream,
                "stream listeners",
            ),
            (options.v6only.map(|_| "v6only"), is_ipv6, "IPv6 listeners"),
            (options.nodelay.map(|_| "nodelay"), is_tcp, "TCP listeners"),
            (options.of_a_file(), is_file, "unix sockets with a path"),
        ];
        for (option, fits, listeners) in misplaced {
            if let (Some(option), false) = (option, fits) {
                return Err(format!(
                    "has the option '{option}', which only {listeners} have"
                ));
            }
        }
        match &self.endpoint {
            Endpoint::HostPort {
                family: Some(Network::Tcp6),
                ..
            } if options.v6only == Some(false) => {
                Err("has v6only=false, but its scheme requires IPv6".to_owned())
            }
            Endpoint::HostPort { .. } | Endpoint::Unix(_) | Endpoint::Fd(_) => Ok(()),
        }
    }
}

/// What the clients of a listener speak: bytes, TLS or datagrams.
///
/// The address of the listener decides the protocol below: TCP or UDP, or that of unix sockets.
///
/// Later versions can add variants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// A stream of bytes: TCP, or a unix stream socket. It is the default.
    #[default]
    Stream,
    /// TLS over a stream, written as `tls://`.
    Tls,
    /// Datagrams: UDP, or a unix datagram socket.
    Datagram,
}

/// A scheme, what it means, and the address family that it requires.
type Scheme = (&'static str, Transport, Option<Network>);

const SCHEMES: [Scheme; 7] = [
    ("tcp", Transport::Stream, None),
    ("tcp4", Transport::Stream, Some(Network::Tcp4)),
    ("tcp6", Transport::Stream, Some(Network::Tcp6)),
    ("tls", Transport::Tls, None),
    ("udp", Transport::Datagram, None),
    ("udp4", Transport::Datagram, Some(Network::Tcp4)),
    ("udp6", Transport::Datagram, Some(Network::Tcp6)),
];

impl Transport {
    /// Returns what is written before the endpoint: a scheme, or nothing for TCP.
    #[doc(hidden)]
    #[must_use]
    pub fn scheme(self, endpoint: &Endpoint) -> &'static str {
        match (endpoint, self) {
            (Endpoint::HostPort { family, .. }, Self::Stream) => match family {
                Some(Network::Tcp4) => "tcp4://",
                Some(Network::Tcp6) => "tcp6://",
                Some(Network::Tcp) | None => "",
            },
            (Endpoint::HostPort { .. }, Self::Tls) => "tls://",
            (Endpoint::HostPort { family, .. }, Self::Datagram) => match family {
                Some(Network::Tcp4) => "udp4://",
                Some(Network::Tcp6) => "udp6://",
                Some(Network::Tcp) | None => "udp://",
            },
            (Endpoint::Unix(_), Self::Stream) => "unix:",
            (Endpoint::Unix(_), Self::Tls) => "tls://unix:",
            (Endpoint::Unix(_), Self::Datagram) => "unixgram:",
            (Endpoint::Fd(_), Self::Stream) => "fd:",
            (Endpoint::Fd(_), Self::Tls) => "tls://fd:",
            (Endpoint::Fd(_), Self::Datagram) => "udp://fd:",
        }
    }
}

/// Reads one address.
///
/// # Errors
///
/// Any text that the grammar does not allow; each mistake has its own message.
pub fn parse(text: &str) -> Result<Address, ParseError> {
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
    let (name, rest) = match text.split_once('=') {
        // The '=' of an option, or of a path.
        Some((before, _)) if before.contains([':', '?']) => (None, text),
        Some((name, rest)) => (Some(name), rest),
        None => (None, text),
    };
    let (written, options) = match rest.split_once('?') {
        Some((written, options)) => (written, Some(options)),
        None => (rest, None),
    };
    reject_urls_and_paths(written).map_err(|reason| reject(text, &reason))?;
    let before = name.map_or_else(String::new, |name| format!("{name}="));
    let name = name.map(|name| parse_name(text, name)).transpose()?;
    let parsed = parse_endpoint(&before, written).and_then(|(transport, endpoint)| {
        let options = options.map(ListenerOptions::parse).transpose()?;
        let mut address = Address {
            name,
            endpoint,
            transport,
            options: options.unwrap_or_default(),
        };
        if let Endpoint::HostPort { host, .. } = &mut address.endpoint
            && host.is_empty()
            && address.options.v6only.is_some()
        {
            "::".clone_into(host);
        }
        address.check_options()?;
        Ok(address)
    });
    parsed.map_err(|reason| reject(text, &reason))
}

/// Reads a scheme and an endpoint, after the name in `before`. The error is a reason.
fn parse_endpoint(before: &str, text: &str) -> Result<(Transport, Endpoint), String> {
    let scheme = SCHEMES.iter().find_map(|scheme| {
        let rest = text.strip_prefix(scheme.0)?.strip_prefix("://")?;
        Some((*scheme, rest))
    });
    let (scheme, rest) = scheme.map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let (transport, family) = scheme.map_or((Transport::Stream, None), |(_, transport, family)| {
        (transport, family)
    });
    match rest.split_once(':') {
        Some((kind @ ("unix" | "unixgram"), name)) => {
            let endpoint = Endpoint::unix(kind, name)?;
            Ok((unix_transport(kind, name, scheme)?, endpoint))
        }
        Some(("fd", number)) => match (scheme, family) {
            (Some((scheme, ..)), Some(_)) => Err(format!(
                "has a descriptor with an address already, use '{}://'",
                scheme.trim_end_matches(['4', '6'])
            )),
            (_, _) => Ok((transport, Endpoint::fd(number)?)),
        },
        _ => {
            if rest.is_empty() {
                return Err(format!("has no host and port, {EXPECTED}"));
            }
            if digits(rest).is_some() {
                let scheme = scheme.map_or(String::new(), |(name, ..)| format!("{name}://"));
                return Err(format!(
                    "is only a port, expected '{before}{scheme}:{rest}'"
                ));
            }
            Ok((transport, Endpoint::host_port(rest, family)?))
        }
    }
}

/// The transport of `unix:` or `unixgram:` after another scheme. The error is a reason.
fn unix_transport(kind: &str, name: &str, scheme: Option<Scheme>) -> Result<Transport, String> {
    match (kind, scheme) {
        ("unix", None) => Ok(Transport::Stream),
        ("unix", Some(("tls", ..))) => Ok(Transport::Tls),
        ("unix", Some((_, Transport::Datagram, _))) => {
            let datagram = quote(&format!("unixgram:{name}"));
            Err(format!("is a stream socket, for datagrams use {datagram}"))
        }
        (_, None) => Ok(Transport::Datagram),
        (_, Some(("tls", ..))) => {
            let stream = quote(&format!("tls://unix:{name}"));
            Err(format!("has TLS over datagrams, use {stream}"))
        }
        (_, Some((scheme, ..))) => Err(format!("is a unix socket, remove '{scheme}://'")),
    }
}

/// Rejects URLs, and paths without a scheme. The error is a reason.
fn reject_urls_and_paths(written: &str) -> Result<(), String> {
    if let Some((scheme, rest)) = written.split_once("://")
        && !SCHEMES.iter().any(|(known, ..)| *known == scheme)
    {
        let help = match scheme.to_ascii_lowercase().as_str() {
            "https" | "tls" | "ssl" => "for TLS, use 'tls://' instead".to_owned(),
            "unix" | "unixgram" | "fd" => {
                let scheme = scheme.to_ascii_lowercase();
                let slash = if scheme == "fd" || rest.starts_with('@') {
                    ""
                } else {
                    "/"
                };
                let name = rest.trim_start_matches('/');
                let expected = quote(&format!("{scheme}:{slash}{name}"));
                return Err(format!("is a URL, expected {expected}"));
            }
            _ => EXPECTED.to_owned(),
        };
        let scheme = quote(&format!("{scheme}://"));
        return Err(format!("is a URL, remove {scheme}; {help}"));
    }
    if written.starts_with(['/', '@']) {
        let socket = quote(&format!("unix:{written}"));
        return Err(format!("is a path, for a unix socket use {socket}"));
    }
    if written.starts_with('.') {
        return Err(
            "is a relative path, for a unix socket use an absolute one such as \
             'unix:/run/app.sock'"
                .to_owned(),
        );
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
        let scheme = self.transport.scheme(&self.endpoint);
        write!(f, "{scheme}{}{}", self.endpoint, self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_port(host: &str, port: Option<u16>) -> Endpoint {
        Endpoint::HostPort {
            host: host.to_owned(),
            port,
            family: None,
        }
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
            assert_eq!(address.transport, Transport::Stream);
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
                "'/run/a.sock' is a path, for a unix socket use 'unix:/run/a.sock'",
            ),
            ("a=@b", "'a=@b' is a path, for a unix socket use 'unix:@b'"),
            (
                "./a",
                "'./a' is a relative path, for a unix socket use an absolute one such as \
                 'unix:/run/app.sock'",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    fn path(path: &str) -> Endpoint {
        Endpoint::Unix(UnixName::Path(path.to_owned()))
    }

    fn name(name: &str) -> Endpoint {
        Endpoint::Unix(UnixName::Abstract(name.to_owned()))
    }

    fn family(host: &str, port: u16, family: Network) -> Endpoint {
        Endpoint::HostPort {
            host: host.to_owned(),
            port: Some(port),
            family: Some(family),
        }
    }

    #[test]
    fn every_kind_of_endpoint_is_written_as_it_was_read() {
        use Transport::{Datagram, Stream, Tls};
        for (text, transport, endpoint) in [
            ("unix:/run/app.sock", Stream, path("/run/app.sock")),
            ("unix:/a=b", Stream, path("/a=b")),
            ("http=unix:@app", Stream, name("app")),
            ("unix:@/a@b", Stream, name("/a@b")),
            ("tls://unix:/a", Tls, path("/a")),
            ("log=unixgram:/a", Datagram, path("/a")),
            ("unixgram:@a", Datagram, name("a")),
            ("fd:3", Stream, Endpoint::Fd(3)),
            ("https=tls://fd:4", Tls, Endpoint::Fd(4)),
            ("udp://fd:5", Datagram, Endpoint::Fd(5)),
            ("udp://[::1]:53", Datagram, host_port("::1", Some(53))),
            ("dns=udp://:", Datagram, host_port("", None)),
            (
                "tcp4://localhost:80",
                Stream,
                family("localhost", 80, Network::Tcp4),
            ),
            ("tcp6://:80", Stream, family("", 80, Network::Tcp6)),
            ("udp4://:80", Datagram, family("", 80, Network::Tcp4)),
            (
                "udp6://[::1]:80",
                Datagram,
                family("::1", 80, Network::Tcp6),
            ),
        ] {
            let address: Address = text.parse().expect(text);

            assert_eq!(address.to_string(), text);
            assert_eq!((address.transport, address.endpoint), (transport, endpoint));
        }
        assert_eq!(parse("tcp://:80"), parse(":80"));
    }

    #[test]
    fn options_follow_the_endpoint() {
        for text in [
            "localhost:80?backlog=64",
            "http=:80?nodelay=true",
            "[::]:80?v6only=false",
            "https=tls://[fe80::1%lo]:443?backlog=5&v6only=true&nodelay=true",
            "localhost?v6only=true",
            "unix:/run/app.sock?backlog=7&mode=0660&owner=www-data&group=33",
            "tls://unix:@a?backlog=7",
            "unixgram:/a?mode=0600",
            "fd:3?backlog=5&nodelay=true",
            "udp6://:53?v6only=true",
        ] {
            let address: Address = text.parse().expect(text);

            assert_eq!(address.to_string().replace("[::]:53", ":53"), text);
            assert!(!address.options.is_empty());
        }
        // IPv4 has no v6only, so an empty host means all IPv6 interfaces.
        assert_eq!(parse(":80?v6only=false"), parse("[::]:80?v6only=false"));
    }

    #[test]
    fn each_mistake_in_a_scheme_has_its_own_message() {
        for (text, reason) in [
            (
                "unix:",
                "has no path, expected one such as 'unix:/run/app.sock'",
            ),
            (
                "unix:@",
                "has no name after '@', expected one such as 'unix:@app'",
            ),
            (
                "unixgram:@",
                "has no name after '@', expected one such as 'unixgram:@app'",
            ),
            (
                "unix:run/a",
                "has the relative path 'run/a', expected an absolute path, or '@' before a name \
                 without a file",
            ),
            (
                "unix:/run/",
                "is a directory, expected the path of a socket",
            ),
            ("unix:///run/a", "is a URL, expected 'unix:/run/a'"),
            ("UNIX://run/a", "is a URL, expected 'unix:/run/a'"),
            ("fd://3", "is a URL, expected 'fd:3'"),
            (
                "tls://unix:///a",
                "has more than one '/' before its path, expected 'unix:/a'",
            ),
            ("unix:/a\u{1}", r"contains the control character '\u{1}'"),
            ("tcp://unix:/a", "is a unix socket, remove 'tcp://'"),
            ("udp4://unixgram:/a", "is a unix socket, remove 'udp4://'"),
            (
                "udp://unix:/a",
                "is a stream socket, for datagrams use 'unixgram:/a'",
            ),
            (
                "tls://unixgram:/a",
                "has TLS over datagrams, use 'tls://unix:/a'",
            ),
            (
                "fd:",
                "has the descriptor '', expected a number such as 'fd:3'",
            ),
            (
                "fd:a",
                "has the descriptor 'a', expected a number such as 'fd:3'",
            ),
            (
                "fd:-1",
                "has the descriptor '-1', expected a number such as 'fd:3'",
            ),
            (
                "fd:2147483648",
                "has the descriptor '2147483648', expected a number such as 'fd:3'",
            ),
            (
                "fd:2",
                "is descriptor 2, which is stdin, stdout or stderr; expected 3 or more",
            ),
            (
                "tcp6://fd:3",
                "has a descriptor with an address already, use 'tcp://'",
            ),
            (
                "tcp4://[::1]:80",
                "has an IPv6 address, but its scheme requires IPv4",
            ),
            (
                "udp6://[::ffff:127.0.0.1]:80",
                "has an IPv4 address, but its scheme requires IPv6",
            ),
            (
                "tcp6://:80?v6only=false",
                "has v6only=false, but its scheme requires IPv6",
            ),
            (
                "quic://:80",
                "is a URL, remove 'quic://'; expected 'host:port' such as '127.0.0.1:8080'",
            ),
            ("udp://53", "is only a port, expected 'udp://:53'"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert_eq!(error, format!("{} {reason}", quote(text)));
        }
    }

    #[test]
    fn an_option_of_another_kind_names_its_kind() {
        for (text, option, listeners) in [
            ("udp://:80?backlog=5", "backlog", "stream listeners"),
            ("unixgram:/a?backlog=5", "backlog", "stream listeners"),
            ("127.0.0.1:80?v6only=true", "v6only", "IPv6 listeners"),
            ("tcp4://:80?v6only=true", "v6only", "IPv6 listeners"),
            (
                "[::ffff:127.0.0.1]:80?v6only=true",
                "v6only",
                "IPv6 listeners",
            ),
            ("unix:/a?v6only=true", "v6only", "IPv6 listeners"),
            ("unix:/a?nodelay=true", "nodelay", "TCP listeners"),
            ("udp://:80?nodelay=true", "nodelay", "TCP listeners"),
            (":80?mode=0660", "mode", "unix sockets with a path"),
            ("unix:@a?owner=www", "owner", "unix sockets with a path"),
            ("fd:3?group=www", "group", "unix sockets with a path"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            let reason = format!("has the option '{option}', which only {listeners} have");
            assert_eq!(error, format!("'{text}' {reason}"));
        }
        // A path cannot contain '?'.
        let error = parse("unix:/a?b").expect_err("not an option").to_string();
        let reason = "has 'b' after '?', expected an option such as 'backlog=1024'";
        assert_eq!(error, format!("'unix:/a?b' {reason}"));
    }

    #[test]
    fn a_unix_name_has_a_limit() {
        for prefix in ["unix:/", "unixgram:/", "unix:@"] {
            let longest = if prefix.ends_with('@') { 107 } else { 106 };
            let of = |length| parse(&format!("{prefix}{}", "n".repeat(length)));

            assert!(of(longest).is_ok());
            let error = of(longest + 1).expect_err("one byte too long").to_string();
            assert!(
                error.ends_with(" of 108 bytes, but unix sockets allow 107"),
                "{error}"
            );
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
            ("tcp4://127.0.0.1:80", Network::Tcp6, true),
            ("unix:/a", Network::Tcp6, true),
            ("fd:3", Network::Tcp4, true),
            (":80?v6only=false", Network::Tcp4, false),
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
