//! The host part of an address.
//!
//! It knows how IPv4 and IPv6 addresses and host names are written; it asks no resolver.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::quote;

/// The longest host name in its written form (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;

/// The longest label of a host name (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// Reads a host and takes the brackets from an IPv6 address; the error is a reason to be put behind the whole address.
pub(crate) fn parse(host: &str) -> Result<String, String> {
    if let Some(inner) = host.strip_prefix('[') {
        return parse_ipv6(inner);
    }
    if host.contains(':') {
        return Err(
            "has more than one ':'; an IPv6 address needs brackets, such as '[::1]:8080'".into(),
        );
    }
    if host.is_empty() || host.parse::<Ipv4Addr>().is_ok() {
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
        return Err(
            "has a '[' without ']:' before the port, expected it as in '[::1]:8080'".into(),
        );
    };
    if host.parse::<Ipv6Addr>().is_err() {
        return Err(format!(
            "has {} in brackets, which is not an IPv6 address",
            quote(host)
        ));
    }
    Ok(host.to_owned())
}

/// Whether the system's resolver might read a host as a number: `127.1` and `0x7f000001` are `127.0.0.1` to
/// `inet_aton(3)`. No top-level domain is all digits (RFC 1123, section 2.1), so nothing of value is lost.
fn is_almost_ipv4(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    is_all(last, |byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| is_all(digits, |byte| byte.is_ascii_hexdigit()))
}

/// RFC 1123, section 2.1: labels of letters, digits and inner hyphens; one dot may end the name.
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
    fn hosts_of_all_sorts_are_read() {
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
    fn almost_ipv4_is_refused() {
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
    fn what_is_no_host_name_is_refused() {
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
                "has a '[' without ']:' before the port, expected it as in '[::1]:8080'",
            ),
            (
                "[::1]x",
                "has a '[' without ']:' before the port, expected it as in '[::1]:8080'",
            ),
            ("[]", "has '' in brackets, which is not an IPv6 address"),
            (
                "[1.2.3.4]",
                "has '1.2.3.4' in brackets, which is not an IPv6 address",
            ),
            (
                "[fe80::1%eth0]",
                "has 'fe80::1%eth0' in brackets, which is not an IPv6 address",
            ),
        ] {
            assert_eq!(parse(host), Err(reason.to_owned()));
        }
    }
}
