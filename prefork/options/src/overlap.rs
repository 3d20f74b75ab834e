//! Addresses of one port that cannot be bound together.
//!
//! It compares IP addresses and does not know how they were written. An IPv4 address and an IPv6
//! address never overlap: if an IPv4 listener has the same port, `[::]` is bound for IPv6 only.

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

/// Compares two addresses of the same port, each with its zone.
pub fn between<Z: PartialEq>(first: &(IpAddr, Z), second: &(IpAddr, Z)) -> Option<Overlap> {
    if first.0.is_ipv4() != second.0.is_ipv4() {
        return None;
    }
    if first == second {
        return Some(Overlap::Same);
    }
    if first.0.is_unspecified() {
        return Some(Overlap::Covers);
    }
    second.0.is_unspecified().then_some(Overlap::Covered)
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
            let ip = |text: &str| (text.parse().expect(text), None::<u32>);
            assert_eq!(
                between(&ip(first), &ip(second)),
                expected,
                "{first} {second}"
            );
        }
    }

    #[test]
    fn the_same_address_in_two_zones_does_not_overlap() {
        let ip: IpAddr = "fe80::1".parse().expect("a valid address");
        let all: IpAddr = "::".parse().expect("a valid address");
        assert_eq!(between(&(ip, 1), &(ip, 2)), None);
        assert_eq!(between(&(ip, 1), &(ip, 1)), Some(Overlap::Same));
        assert_eq!(between(&(ip, 1), &(all, 0)), Some(Overlap::Covered));
    }

    #[test]
    fn the_message_begins_with_the_covering_address() {
        let expected =
            "'a' covers 'b', so only one of them can be bound; remove one or change its port";
        assert_eq!(Overlap::Covers.mistake("a", "b").to_string(), expected);
        assert_eq!(Overlap::Covered.mistake("b", "a").to_string(), expected);
    }
}
