//! Addresses of one port that cannot be bound together.
//!
//! It compares IP addresses and does not know how they were written. An IPv4 address and an IPv6
//! address overlap only if the IPv6 socket accepts IPv4 in any case (`v6only=false`): otherwise,
//! `[::]` is bound for IPv6 only if an IPv4 listener has the same port.

use std::net::IpAddr;

use crate::ParseError;
use crate::error::quote;

/// How two addresses overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// They are equal.
    Same,
    /// The first address covers all interfaces, and therefore the second address.
    Covers,
    /// The second address covers all interfaces, and therefore the first address.
    Covered,
}

/// An IP address to bind, without its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAddr<Z> {
    /// The address.
    pub ip: IpAddr,
    /// The zone of a link-local address.
    pub zone: Z,
    /// Whether its IPv6 socket accepts IPv4 in any case.
    pub is_dual_stack: bool,
}

/// Compares two addresses of the same port.
pub fn between<Z: PartialEq>(first: &HostAddr<Z>, second: &HostAddr<Z>) -> Option<Overlap> {
    if first.ip == second.ip && first.zone == second.zone {
        return Some(Overlap::Same);
    }
    if first.covers(second) {
        return Some(Overlap::Covers);
    }
    second.covers(first).then_some(Overlap::Covered)
}

impl<Z> HostAddr<Z> {
    fn covers(&self, other: &Self) -> bool {
        let is_one_family = self.ip.is_ipv4() == other.ip.is_ipv4();
        self.ip.is_unspecified() && (is_one_family || self.is_dual_stack)
    }
}

impl Overlap {
    /// The error for two addresses, as they were written.
    pub fn mistake(self, first: &str, second: &str) -> ParseError {
        let (first, second) = (quote(first), quote(second));
        ParseError::new(match self {
            Self::Same => format!("{first} and {second} are the same address"),
            Self::Covers => covers(&first, &second),
            Self::Covered => covers(&second, &first),
        })
    }
}

fn covers(all: &str, one: &str) -> String {
    format!("{all} covers {one}, so only one of them can be bound; remove one or change its port")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(ip: &str, zone: u32) -> HostAddr<u32> {
        HostAddr {
            ip: ip.parse().expect(ip),
            zone,
            is_dual_stack: false,
        }
    }

    #[test]
    fn an_address_of_all_interfaces_covers_those_of_its_family() {
        for (first, second, expected) in [
            ("0.0.0.0", "0.0.0.0", Some(Overlap::Same)),
            ("0.0.0.0", "127.0.0.1", Some(Overlap::Covers)),
            ("127.0.0.1", "0.0.0.0", Some(Overlap::Covered)),
            ("127.0.0.1", "127.0.0.2", None),
            ("::", "::1", Some(Overlap::Covers)),
            ("::1", "::", Some(Overlap::Covered)),
            ("::1", "::2", None),
            ("0.0.0.0", "::", None),
            ("::", "127.0.0.1", None),
            ("0.0.0.0", "::1", None),
        ] {
            let ip = |text: &str| host(text, 0);
            assert_eq!(
                between(&ip(first), &ip(second)),
                expected,
                "{first} {second}"
            );
        }
    }

    #[test]
    fn the_same_address_in_two_zones_does_not_overlap() {
        let ip = |zone| host("fe80::1", zone);
        assert_eq!(between(&ip(1), &ip(2)), None);
        assert_eq!(between(&ip(1), &ip(1)), Some(Overlap::Same));
        assert_eq!(between(&ip(1), &host("::", 0)), Some(Overlap::Covered));
    }

    #[test]
    fn a_dual_stack_address_covers_both_families() {
        let dual = HostAddr {
            is_dual_stack: true,
            ..host("::", 0)
        };
        for other in ["0.0.0.0", "127.0.0.1", "::1"] {
            assert_eq!(between(&dual, &host(other, 0)), Some(Overlap::Covers));
            assert_eq!(between(&host(other, 0), &dual), Some(Overlap::Covered));
        }
    }

    #[test]
    fn the_message_begins_with_the_covering_address() {
        let expected =
            "'a' covers 'b', so only one of them can be bound; remove one or change its port";
        assert_eq!(Overlap::Covers.mistake("a", "b").to_string(), expected);
        assert_eq!(Overlap::Covered.mistake("b", "a").to_string(), expected);
    }
}
