//! Where each listener is bound: resolved addresses that fit beside each other.
//!
//! It compares what was resolved; what can be compared before that was refused with the options.

use std::net::{IpAddr, SocketAddr};

use prefork_options::Network;
use prefork_options::overlap;

use super::resolve::resolve_one;
use crate::config::Endpoint;
use crate::error::{BadOption, Error};

/// Where a listener is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    /// Whether an IPv6 socket refuses IPv4 (`IPV6_V6ONLY`, ipv6(7)); `None` leaves that to the system.
    pub(crate) only_v6: Option<bool>,
}

/// Resolves every listener, and binds nothing. `place` is what set the list of listeners: a variable or the option.
///
/// # Errors
/// The first whose host has no address in the network, by its name; addresses that cannot be bound beside each other.
pub(crate) fn targets(
    endpoints: &[Endpoint],
    network: Option<Network>,
    place: &str,
) -> Result<Vec<Target>, Error> {
    let addrs = endpoints
        .iter()
        .map(|endpoint| resolve_one(endpoint, network));
    let addrs = addrs.collect::<Result<Vec<_>, _>>()?;
    let mistakes = overlaps(endpoints, &addrs);
    if !mistakes.is_empty() {
        let bad = |reason| BadOption {
            place: place.to_owned(),
            reason,
        };
        return Err(Error::Options(mistakes.into_iter().map(bad).collect()));
    }
    let target = |&addr| Target {
        addr,
        only_v6: only_v6(addr, &addrs, network),
    };
    Ok(addrs.iter().map(target).collect())
}

/// A mistake for each address that an earlier one overlaps. Port 0 is a different port each time.
fn overlaps(endpoints: &[Endpoint], addrs: &[SocketAddr]) -> Vec<String> {
    let mistake = |(place, &second): (usize, &SocketAddr)| {
        let mut before = addrs[..place].iter().enumerate();
        let (other, overlap) = before.find_map(|(other, &first)| {
            let is_same_port = first.port() == second.port() && second.port() != 0;
            let overlap =
                is_same_port.then(|| overlap::between(&with_zone(first), &with_zone(second)));
            Some((other, overlap??))
        })?;
        let shown = |place: usize| shown(&endpoints[place], addrs[place]);
        Some(overlap.mistake(&shown(other), &shown(place)).to_string())
    };
    addrs.iter().enumerate().filter_map(mistake).collect()
}

/// A host name is shown with the address that it stands for.
fn shown(endpoint: &Endpoint, addr: SocketAddr) -> String {
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

/// A socket at `[::]` that takes IPv4 as well cannot be bound beside an IPv4 listener of the same port. So the network says
/// which families it takes, and beside such a listener it takes IPv6 alone.
fn only_v6(addr: SocketAddr, all: &[SocketAddr], network: Option<Network>) -> Option<bool> {
    if addr.is_ipv4() {
        return None;
    }
    let is_beside = |other: &SocketAddr| other.is_ipv4() && other.port() == addr.port();
    if addr.port() != 0 && all.iter().any(is_beside) {
        return Some(true);
    }
    network.map(|network| network == Network::Tcp6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(text: &str) -> Vec<Endpoint> {
        text.split(',').map(Endpoint::of).collect()
    }

    fn only(text: &str, network: Option<Network>) -> Vec<Option<bool>> {
        let targets = targets(&endpoints(text), network, "listen").expect(text);
        targets.iter().map(|target| target.only_v6).collect()
    }

    #[test]
    fn beside_an_ipv4_listener_of_the_same_port_all_interfaces_are_those_of_ipv6() {
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

    fn mistakes(text: &str, addrs: &[&str]) -> Vec<String> {
        let addrs: Vec<SocketAddr> = addrs.iter().map(|text| text.parse().expect(text)).collect();
        overlaps(&endpoints(text), &addrs)
    }

    #[test]
    fn what_a_name_stands_for_is_compared_as_well() {
        assert_eq!(
            mistakes(
                "a=localhost:80,b=127.0.0.1:80",
                &["127.0.0.1:80", "127.0.0.1:80"]
            ),
            ["'a=localhost:80 (127.0.0.1:80)' and 'b=127.0.0.1:80' are the same address"]
        );
        assert_eq!(
            mistakes("a=localhost:80,b=[::]:80", &["[::1]:80", "[::]:80"]),
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
            assert_eq!(mistakes(text, &addrs), [""; 0], "{text}");
        }
    }

    #[test]
    fn one_interface_by_its_name_and_its_number_is_one_zone() {
        let text = "a=[fe80::1%lo]:80,b=[fe80::1%1]:80,c=[fe80::1%eth0]:80";
        let found = mistakes(
            text,
            &["[fe80::1%1]:80", "[fe80::1%1]:80", "[fe80::1%2]:80"],
        );
        assert_eq!(
            found,
            ["'a=[fe80::1%lo]:80' and 'b=[fe80::1%1]:80' are the same address"]
        );
    }

    #[test]
    fn addresses_that_overlap_are_a_mistake_of_what_set_the_list() {
        let list = endpoints("a=localhost:80,b=:80");
        let error = targets(&list, None, "PREFORK_LISTEN").expect_err("covered");
        assert_eq!(error.exit_code(), 78);
        assert!(
            error
                .to_string()
                .starts_with("PREFORK_LISTEN: 'b=:80' covers"),
            "{error}"
        );
    }
}
