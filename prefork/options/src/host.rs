//! The host part of an address.
//!
//! It knows the syntax of IPv4 and IPv6 addresses, zones and host names. It asks no resolver and
//! looks up no interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::quote;

/// The longest host name in its written form (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;

/// The longest label of a host name (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// The longest name of a network interface.
///
/// It is `IFNAMSIZ` without the zero byte (netdevice(7)).
const MAX_INTERFACE: usize = 15;

/// An IP address with its zone, in the host of an [`Endpoint`](crate::Endpoint).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpLiteral<'a> {
    /// The address. An IPv4-mapped IPv6 address is the IPv4 address that it contains.
    pub ip: IpAddr,
    /// The name or number of the interface after `%`.
    ///
    /// Only a link-local IPv6 address has one.
    pub zone: Option<&'a str>,
}

/// Reads a parsed host as an IP address; `None` for a host name and an empty host.
pub fn literal(host: &str) -> Option<IpLiteral<'_>> {
    let (ip, zone) = split_zone(host);
    let ip = ip.parse::<IpAddr>().ok()?.to_canonical();
    Some(IpLiteral { ip, zone })
}

fn split_zone(host: &str) -> (&str, Option<&str>) {
    let zone = host.split_once('%');
    zone.map_or((host, None), |(ip, zone)| (ip, Some(zone)))
}

/// Whether a host is a link-local address without a zone.
///
/// No socket can be bound to such an address (ipv6(7)).
pub(crate) fn lacks_zone(host: &str) -> bool {
    literal(host).is_some_and(|literal| literal.zone.is_none() && is_link_local(literal.ip))
}

/// Whether two host names are the same.
///
/// Case and a dot at the end are ignored (RFC 1034).
pub(crate) fn is_same_name(one: &str, other: &str) -> bool {
    let without_dot = |name: &'_ str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    without_dot(one) == without_dot(other)
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Reads a host and removes the brackets of an IPv6 address.
///
/// The error is a reason that follows the whole address in a message.
pub(crate) fn parse(host: &str) -> Result<String, String> {
    if let Some(inner) = host.strip_prefix('[') {
        return parse_ipv6(inner);
    }
    if host.contains(':') {
        return Err(
            "has more than one ':'; an IPv6 address needs brackets, such as '[::1]:8080'".into(),
        );
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        check_unicast(ip.into(), host)?;
        return Ok(host.to_owned());
    }
    if host.is_empty() {
        return Ok(host.to_owned());
    }
    if is_almost_ipv4(host) {
        return Err(format!(
            "has the host {}, which is not an IPv4 address",
            quote(host)
        ));
    }
    if !is_host_name(host) {
        return Err(format!(
            "has the host {}, which is neither an address nor a host name",
            quote(host)
        ));
    }
    Ok(host.to_owned())
}

fn parse_ipv6(inner: &str) -> Result<String, String> {
    let Some(host) = inner.strip_suffix(']') else {
        return Err("has no ']:' before the port, expected an address such as '[::1]:8080'".into());
    };
    let (ip, zone) = split_zone(host);
    let Ok(ip) = ip.parse::<Ipv6Addr>() else {
        return Err(format!(
            "has {} in brackets, which is not an IPv6 address",
            quote(host)
        ));
    };
    check_unicast(IpAddr::from(ip).to_canonical(), host)?;
    if let Some(zone) = zone {
        check_zone(ip.into(), zone)?;
    }
    Ok(host.to_owned())
}

/// Rejects group addresses.
///
/// A TCP socket with such an address accepts no connection, or cannot be bound at all. A UDP socket
/// would have to join the group.
fn check_unicast(ip: IpAddr, host: &str) -> Result<(), String> {
    let kind = match ip {
        _ if ip.is_multicast() => "multicast",
        IpAddr::V4(Ipv4Addr::BROADCAST) => "broadcast",
        IpAddr::V4(_) | IpAddr::V6(_) => return Ok(()),
    };
    Err(format!(
        "has the host {}, which is a {kind} address and belongs to no single host",
        quote(host)
    ))
}

/// Checks the zone of an address.
///
/// Only link-local addresses have a zone: the kernel ignores the zone of other addresses (ipv6(7)).
fn check_zone(ip: IpAddr, zone: &str) -> Result<(), String> {
    if !is_link_local(ip) {
        return Err(format!(
            "has the zone {}, but only link-local addresses (fe80::/10) have a zone; remove {}",
            quote(zone),
            quote(&format!("%{zone}"))
        ));
    }
    if !is_interface(zone) {
        return Err(format!(
            "has the zone {}, expected the name or the number of an interface such as 'eth0'",
            quote(zone)
        ));
    }
    Ok(())
}

/// Whether Linux allows this name or number of an interface.
///
/// Characters that separate the parts of an address are excluded. Interfaces are numbered from 1.
fn is_interface(zone: &str) -> bool {
    const SEPARATORS: &[u8] = b"/:,=?[]%";
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !SEPARATORS.contains(&byte);
    let is_zero = is_all(zone, |byte| byte == b'0');
    zone.len() <= MAX_INTERFACE
        && is_all(zone, is_allowed)
        && ![".", ".."].contains(&zone)
        && !is_zero
}

/// Whether the resolver of the system might read a host name as an IPv4 address.
///
/// For `inet_aton(3)`, `127.1` and `0x7f000001` are `127.0.0.1`. No top-level domain is all digits
/// (RFC 1123, section 2.1), so this rejects no real host name.
fn is_almost_ipv4(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    is_all(last, |byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| is_all(digits, |byte| byte.is_ascii_hexdigit()))
}

/// Whether a text is a host name (RFC 1123, section 2.1).
///
/// Its labels have only letters, digits and inner hyphens. A dot may end the name.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        label.len() <= MAX_LABEL
            && is_all(label, |byte| byte == b'-' || byte.is_ascii_alphanumeric())
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= MAX_HOST
        && host
            .strip_suffix('.')
            .unwrap_or(host)
            .split('.')
            .all(is_label)
}

fn is_all(text: &str, is_allowed: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_all_kinds_are_read() {
        for host in [
            "",
            "0.0.0.0",
            "localhost",
            "a",
            "4chan.org",
            "xn--bcher-kva.example",
            "example.org.",
            "Host-1",
            "db.0x",
            "1a",
        ] {
            assert_eq!(parse(host).as_deref(), Ok(host));
        }
        assert_eq!(parse("[::ffff:1.2.3.4]").as_deref(), Ok("::ffff:1.2.3.4"));
    }

    #[test]
    fn a_host_that_may_be_read_as_ipv4_is_rejected() {
        for host in [
            "1.2.3",
            "256.0.0.1",
            "01.2.3.4",
            "1.2.3.4.",
            "1.2.3.4.5",
            "127.1",
            "0",
            "0x7f000001",
            "0X7F.0x1",
        ] {
            let reason = format!("has the host '{host}', which is not an IPv4 address");
            assert_eq!(parse(host), Err(reason));
        }
    }

    #[test]
    fn a_text_that_is_no_host_name_is_rejected() {
        let label = "l".repeat(MAX_LABEL + 1);
        let long = ["l".repeat(49).as_str(); 6].join(".");
        for host in [
            "*",
            ".",
            "a..b",
            ".a",
            "-a",
            "a-",
            "a.-b",
            "under_score",
            "b\u{fc}cher",
            "a@b",
            "a]",
            &label,
            &long,
        ] {
            let reason = parse(host).unwrap_err();
            assert!(
                reason.ends_with("which is neither an address nor a host name"),
                "{host}: {reason}"
            );
        }
    }

    #[test]
    fn ipv6_needs_brackets_and_nothing_else() {
        for (host, reason) in [
            (
                "::1",
                "has more than one ':'; an IPv6 address needs brackets, such as '[::1]:8080'",
            ),
            (
                "[::1",
                "has no ']:' before the port, expected an address such as '[::1]:8080'",
            ),
            (
                "[::1]x",
                "has no ']:' before the port, expected an address such as '[::1]:8080'",
            ),
            ("[]", "has '' in brackets, which is not an IPv6 address"),
            (
                "[1.2.3.4]",
                "has '1.2.3.4' in brackets, which is not an IPv6 address",
            ),
            (
                "[eth0%fe80::1]",
                "has 'eth0%fe80::1' in brackets, which is not an IPv6 address",
            ),
        ] {
            assert_eq!(parse(host), Err(reason.to_owned()));
        }
    }

    #[test]
    fn a_link_local_address_has_a_zone() {
        for zone in [
            "eth0",
            "1",
            "lo",
            "eth0.100",
            "br-1a2b3c",
            "wlp0s20f3",
            "25",
        ] {
            let host = format!("fe80::1%{zone}");
            assert_eq!(parse(&format!("[{host}]")).as_ref(), Ok(&host));
            let read = literal(&host).expect("it is an address");
            assert_eq!(read.zone, Some(zone));
            assert!(!lacks_zone(&host));
        }
        assert!(lacks_zone("fe80::1") && lacks_zone("febf::1"));
        assert!(!lacks_zone("::1") && !lacks_zone("fec0::1") && !lacks_zone("localhost"));
    }

    #[test]
    fn an_impossible_zone_is_rejected() {
        let long = "i".repeat(MAX_INTERFACE + 1);
        for zone in [
            "", "0", "00", ".", "..", "a b", "a/b", "a:b", "a%b", "\u{fc}0", &long,
        ] {
            let reason = parse(&format!("[fe80::1%{zone}]")).expect_err(zone);
            assert!(
                reason.ends_with("expected the name or the number of an interface such as 'eth0'"),
                "{zone}: {reason}"
            );
        }
    }

    #[test]
    fn only_a_link_local_address_has_a_zone() {
        for ip in ["::1", "::", "2001:db8::1", "fec0::1", "::ffff:127.0.0.1"] {
            assert_eq!(
                parse(&format!("[{ip}%lo]")),
                Err(
                    "has the zone 'lo', but only link-local addresses (fe80::/10) have a zone; remove '%lo'"
                        .to_owned()
                )
            );
        }
    }

    #[test]
    fn a_group_address_is_rejected() {
        for (host, kind) in [
            ("224.0.0.1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("[ff02::1]", "multicast"),
            ("[ff02::1%lo]", "multicast"),
            ("[::ffff:224.0.0.1]", "multicast"),
        ] {
            let reason = parse(host).expect_err(host);
            assert!(reason.contains(&format!("is a {kind} address")), "{reason}");
        }
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let ip = |host| literal(host).map(|literal| literal.ip.to_string());
        assert_eq!(ip("::ffff:127.0.0.1").as_deref(), Some("127.0.0.1"));
        assert_eq!(ip("0:0:0:0:0:0:0:1").as_deref(), Some("::1"));
        assert_eq!((ip(""), ip("localhost")), (None, None));
    }
}
