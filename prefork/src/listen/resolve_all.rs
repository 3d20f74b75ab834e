//! Resolves all listeners and checks that their addresses do not overlap.
//!
//! It compares resolved addresses. Overlaps that the text of the option shows were rejected
//! earlier.

use std::net::{IpAddr, SocketAddr};

use prefork_options::Network;
use prefork_options::overlap;

use super::resolve::resolve_one;
use crate::config::ListenSpec;
use crate::error::{Error, OptionError};

/// The address of a listener, resolved and ready to bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResolvedTarget {
    pub(crate) addr: SocketAddr,
    /// Whether an IPv6 socket rejects IPv4 (`IPV6_V6ONLY`, ipv6(7)). `None` keeps the default of
    /// the system.
    pub(crate) only_v6: Option<bool>,
}

/// Resolves every listener and binds none.
///
/// `label` names what set the list of listeners: a variable or the option.
///
/// # Errors
/// The first listener whose host has no address in the network, or all listeners that overlap an
/// earlier one.
pub(crate) fn resolve_targets(
    endpoints: &[ListenSpec],
    network: Option<Network>,
    label: &str,
) -> Result<Vec<ResolvedTarget>, Error> {
    let addrs = endpoints
        .iter()
        .map(|endpoint| resolve_one(endpoint, network));
    let addrs = addrs.collect::<Result<Vec<_>, _>>()?;
    let errors = overlaps(endpoints, &addrs);
    if !errors.is_empty() {
        let bad = |reason| OptionError {
            label: label.to_owned(),
            reason,
        };
        return Err(Error::Options(errors.into_iter().map(bad).collect()));
    }
    let target = |&addr| ResolvedTarget {
        addr,
        only_v6: only_v6(addr, &addrs, network),
    };
    Ok(addrs.iter().map(target).collect())
}

/// Returns an error for each address that an earlier one overlaps. Port 0 never overlaps.
fn overlaps(endpoints: &[ListenSpec], addrs: &[SocketAddr]) -> Vec<String> {
    let mistake = |(index, &second): (usize, &SocketAddr)| {
        let mut before = addrs[..index].iter().enumerate();
        let (other, overlap) = before.find_map(|(other, &first)| {
            let is_same_port = first.port() == second.port() && second.port() != 0;
            let overlap =
                is_same_port.then(|| overlap::between(&with_zone(first), &with_zone(second)));
            Some((other, overlap??))
        })?;
        let display = |index: usize| display_address(&endpoints[index], addrs[index]);
        Some(
            overlap
                .mistake(&display(other), &display(index))
                .to_string(),
        )
    };
    addrs.iter().enumerate().filter_map(mistake).collect()
}

/// Returns the listener as written, and after a host name also its address.
fn display_address(endpoint: &ListenSpec, addr: SocketAddr) -> String {
    if endpoint.is_literal() {
        return endpoint.to_string();
    }
    format!("{endpoint} ({addr})")
}

fn with_zone(addr: SocketAddr) -> (IpAddr, u32) {
    match addr {
        SocketAddr::V4(addr) => ((*addr.ip()).into(), 0),
        SocketAddr::V6(addr) => ((*addr.ip()).into(), addr.scope_id()),
    }
}

/// Decides whether an IPv6 socket accepts IPv6 only.
///
/// A socket at `[::]` that also accepts IPv4 cannot be bound together with an IPv4 listener of the
/// same port. So the network selects the families, and next to such a listener the socket accepts
/// IPv6 only.
fn only_v6(addr: SocketAddr, all: &[SocketAddr], network: Option<Network>) -> Option<bool> {
    if addr.is_ipv4() {
        return None;
    }
    let is_ipv4_on_the_port = |other: &SocketAddr| other.is_ipv4() && other.port() == addr.port();
    if addr.port() != 0 && all.iter().any(is_ipv4_on_the_port) {
        return Some(true);
    }
    network.map(|network| network == Network::Tcp6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(text: &str) -> Vec<ListenSpec> {
        text.split(',').map(ListenSpec::of).collect()
    }

    fn only(text: &str, network: Option<Network>) -> Vec<Option<bool>> {
        let targets = resolve_targets(&endpoints(text), network, "listen").expect(text);
        targets.iter().map(|target| target.only_v6).collect()
    }

    #[test]
    fn an_ipv4_listener_of_the_same_port_limits_all_interfaces_to_ipv6() {
        let (tcp, tcp6) = (Some(Network::Tcp), Some(Network::Tcp6));
        for (text, network, expected) in [
            ("[::]:80", None, [None].as_slice()),
            ("[::]:80", tcp, &[Some(false)]),
            ("[::]:80", tcp6, &[Some(true)]),
            (":80", tcp, &[Some(false)]),
            ("0.0.0.0:80,[::]:80", None, &[None, Some(true)]),
            ("[::]:80,0.0.0.0:80", None, &[Some(true), None]),
            ("a=[::]:80,b=:80", None, &[Some(true), None]),
            ("tls://[::]:80,127.0.0.1:80", None, &[Some(true), None]),
            ("[::]:80,localhost:80", None, &[Some(true), None]),
            ("[::]:80,[::ffff:127.0.0.1]:80", None, &[Some(true), None]),
            ("[::]:80,0.0.0.0:80", tcp, &[Some(true), None]),
            (":80,127.0.0.1:80", tcp, &[Some(true), None]),
            ("0.0.0.0:80,[::]:81", None, &[None, None]),
            ("0.0.0.0:0,[::]:0", tcp, &[None, Some(false)]),
        ] {
            assert_eq!(only(text, network), expected, "{text} {network:?}");
        }
    }

    fn errors(text: &str, addrs: &[&str]) -> Vec<String> {
        let addrs: Vec<SocketAddr> = addrs.iter().map(|text| text.parse().expect(text)).collect();
        overlaps(&endpoints(text), &addrs)
    }

    #[test]
    fn the_addresses_of_host_names_are_compared_too() {
        assert_eq!(
            errors(
                "a=localhost:80,b=127.0.0.1:80",
                &["127.0.0.1:80", "127.0.0.1:80"]
            ),
            ["'a=localhost:80 (127.0.0.1:80)' and 'b=127.0.0.1:80' are the same address"]
        );
        assert_eq!(
            errors("a=localhost:80,b=[::]:80", &["[::1]:80", "[::]:80"]),
            [
                "'b=[::]:80' covers 'a=localhost:80 ([::1]:80)', so only one of them can be bound; \
                 remove one or change its port"
            ]
        );
        for (text, addrs) in [
            ("a=localhost:80,b=[::1]:80", ["127.0.0.1:80", "[::1]:80"]),
            (
                "a=localhost:80,b=localhost:81",
                ["127.0.0.1:80", "127.0.0.1:81"],
            ),
            (
                "a=localhost:0,b=127.0.0.1:0",
                ["127.0.0.1:0", "127.0.0.1:0"],
            ),
        ] {
            assert_eq!(errors(text, &addrs), [""; 0], "{text}");
        }
    }

    #[test]
    fn the_name_and_the_index_of_an_interface_are_the_same_zone() {
        let text = "a=[fe80::1%lo]:80,b=[fe80::1%1]:80,c=[fe80::1%eth0]:80";
        let found = errors(
            text,
            &["[fe80::1%1]:80", "[fe80::1%1]:80", "[fe80::1%2]:80"],
        );
        assert_eq!(
            found,
            ["'a=[fe80::1%lo]:80' and 'b=[fe80::1%1]:80' are the same address"]
        );
    }

    #[test]
    fn overlapping_addresses_are_an_error_of_what_set_the_list() {
        let list = endpoints("a=localhost:80,b=:80");
        let error =
            resolve_targets(&list, None, "PREFORK_LISTEN").expect_err("the addresses overlap");
        assert_eq!(error.exit_code(), 78);
        assert!(
            error
                .to_string()
                .starts_with("PREFORK_LISTEN: 'b=:80' covers"),
            "{error}"
        );
    }
}
