//! The grammar of a list of addresses, their names and their conflicts.
//!
//! It knows that names are unique, and the default names. A single [`Address`] is in
//! [`address`].

use std::net::SocketAddr;

use crate::error::quote;
use crate::option_value::Sealed;
use crate::{Address, IntoOption, Literals, Network, OptionValue, ParseError, address};

/// The largest number of listeners.
///
/// Each listener costs a descriptor in every worker.
pub const MAX_LISTENERS: usize = 64;

/// Reads addresses that are separated by commas, and names them with [`name`].
///
/// # Errors
///
/// The error of the first invalid address, and the errors of [`name`].
pub fn parse(text: &str) -> Result<Vec<Address>, ParseError> {
    name(read(text)?).map_err(|clash| clash.error)
}

/// Reads addresses that are separated by commas, and adds no names.
///
/// # Errors
///
/// The error of the first invalid address.
pub fn read(text: &str) -> Result<Vec<Address>, ParseError> {
    text.split(',').map(address::parse).collect()
}

/// Names each address without a name by its index: `listener0`, `listener1`, …
///
/// # Errors
///
/// The first duplicate name, or more than [`MAX_LISTENERS`] addresses.
pub fn name(mut addresses: Vec<Address>) -> Result<Vec<Address>, ListError> {
    for index in 0..addresses.len() {
        if index == MAX_LISTENERS {
            let error = ParseError::new(format!(
                "{} addresses are too many, expected at most {MAX_LISTENERS}",
                addresses.len()
            ));
            return Err(ListError { index, error });
        }
        let (before, rest) = addresses.split_at_mut(index);
        let name = rest[0].name.get_or_insert_with(|| default_name(index));
        if let Some(first) = before
            .iter()
            .find(|other| other.name.as_ref() == Some(name))
        {
            let error = ParseError::new(format!(
                "{} and {} are both named {}, expected unique names",
                quote(&first.to_string()),
                quote(&rest[0].to_string()),
                quote(&first.name.clone().unwrap_or_default()),
            ));
            return Err(ListError { index, error });
        }
    }
    Ok(addresses)
}

/// Combines the addresses of the operator with those that the program declares.
///
/// If each address of the operator has the name of a declared one, it replaces that one and the
/// others stay. If any has another name or none, the operator's list replaces the whole list.
/// Whether its names fit the arguments of `main` is checked later.
pub fn override_named(declared: &[Address], by_operator: Vec<Address>) -> Vec<Address> {
    let Ok(declared) = name(declared.to_vec()) else {
        return by_operator;
    };
    let is_declared = |address: &Address| {
        address.name.is_some() && declared.iter().any(|other| other.name == address.name)
    };
    // A name that occurs twice is an error of the operator. It is found later in the unchanged
    // list.
    if !by_operator.iter().all(is_declared) || name(by_operator.clone()).is_err() {
        return by_operator;
    }
    let replaced = |old: Address| {
        let new = by_operator.iter().find(|new| new.name == old.name);
        new.cloned().unwrap_or(old)
    };
    declared.into_iter().map(replaced).collect()
}

/// Finds addresses that cannot be bound together with an earlier one.
///
/// Their endpoints are equal, or one covers all interfaces at the port of the other. Port 0 and an
/// open port never overlap. The addresses of a host name are not known here, so a host name only
/// overlaps with the same name.
pub fn overlaps(addresses: &[Address], network: Option<Network>) -> Vec<ListError> {
    let clash = |(index, second): (usize, &Address)| {
        let mut before = addresses[..index].iter();
        let (first, overlap) =
            before.find_map(|first| Some((first, first.overlap(second, network)?)))?;
        let error = overlap.mistake(&first.to_string(), &second.to_string());
        Some(ListError { index, error })
    };
    addresses.iter().enumerate().filter_map(clash).collect()
}

/// The name of the listener at this index, if its address has no name.
pub fn default_name(index: usize) -> String {
    format!("listener{index}")
}

/// An address that conflicts with an earlier one, or is one too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError {
    /// Its index in the list, from 0.
    pub index: usize,
    /// The reason.
    pub error: ParseError,
}

impl OptionValue for Vec<Address> {
    const EXPECTED: &'static str = "an address such as \"127.0.0.1:8080\" or an array of addresses";
    const LITERALS: Literals = Literals::Addresses;
    const TEXTS: &'static str = "
127.0.0.1:8080 |
:0 |
http=[::1]:80 |
0.0.0.0 |
http=: |
http=:80,[::1]:81 |
:80,:81, | the address is empty, expected 'host:port' such as '127.0.0.1:8080'
:80, :81 | ' :81' contains white space, expected 'host:port' such as '127.0.0.1:8080'
| the address is empty, expected 'host:port' such as '127.0.0.1:8080'
127.0.0.1:65536 | '127.0.0.1:65536' has a port over 65535, expected a number from 0 to 65535
8080 | '8080' is only a port, expected ':8080'
127.0.0.1: | '127.0.0.1:' has no port after ':', expected a number from 0 to 65535, or no ':' to use the variable PORT
::1:80 | '::1:80' has more than one ':'; an IPv6 address needs brackets, such as '[::1]:8080'
http://127.0.0.1:80 | 'http://127.0.0.1:80' is a URL, remove 'http://'; expected …
[fe80::1%lo]:80 |
a=tls://[fe80::1%1]:80 |
[fe80::1]:80 | '[fe80::1]:80' is a link-local address without a zone, expected [fe80::1%eth0]:80
[fe80::1%]:80 | '[fe80::1%]:80' has the zone '', expected the name or the number of an interface such as 'eth0'
[::1%lo]:80 | '[::1%lo]:80' has the zone 'lo', but only link-local addresses (fe80::/10) have a zone; remove '%lo'
224.0.0.1:80 | '224.0.0.1:80' has the host '224.0.0.1', which is a multicast address and belongs to no single host
HTTP=127.0.0.1:80 | 'HTTP=127.0.0.1:80' has the name 'HTTP', expected only 'a' to 'z', '0' to '9' and '_'
/run/app.sock | '/run/app.sock' is a path, for a unix socket use 'unix:/run/app.sock'
http=unix:/run/app.sock?mode=0660&group=www-data |
unix:@app,tls://unix:@tls,unixgram:/run/log |
unix:app.sock | 'unix:app.sock' has the relative path 'app.sock', expected …
udp://[::1]:53,fd:3,tls://fd:4 |
fd:1 | 'fd:1' is descriptor 1, which is stdin, stdout or stderr; expected 3 or more
tcp4://:80?backlog=64&nodelay=true,tcp6://:80 |
:80?backlock=64 | ':80?backlock=64' has the unknown option 'backlock', did you mean 'backlog'?
unix:/a?nodelay=true | 'unix:/a?nodelay=true' has the option 'nodelay', which only TCP listeners have
";

    /// Adds no names. They are checked after the lists of all sources were combined.
    fn parse(text: &str) -> Result<Self, ParseError> {
        read(text)
    }

    fn parse_element(text: &str) -> Result<Self, ParseError> {
        Ok(vec![address::parse(text)?])
    }

    fn check(text: &str) -> Result<(), ParseError> {
        parse(text).map(drop)
    }

    fn display(&self) -> String {
        let texts: Vec<String> = self.iter().map(ToString::to_string).collect();
        texts.join(",")
    }
}

impl Sealed for SocketAddr {}

impl IntoOption<Vec<Address>> for SocketAddr {
    fn into_option(self) -> Result<Vec<Address>, ParseError> {
        read(&self.to_string())
    }
}

impl<A: IntoOption<Vec<Address>>, const N: usize> IntoOption<Vec<Address>> for [A; N] {
    fn into_option(self) -> Result<Vec<Address>, ParseError> {
        join(self)
    }
}

impl<T: IntoOption<Vec<Address>>> IntoOption<Vec<Address>> for Vec<T> {
    fn into_option(self) -> Result<Vec<Address>, ParseError> {
        join(self)
    }
}

fn join<A: IntoOption<Vec<Address>>>(
    values: impl IntoIterator<Item = A>,
) -> Result<Vec<Address>, ParseError> {
    let mut addresses = Vec::new();
    for value in values {
        addresses.append(&mut value.into_element()?);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let addresses = parse(text).expect("a valid list");
        addresses
            .into_iter()
            .filter_map(|address| address.name)
            .collect()
    }

    #[test]
    fn addresses_without_a_name_are_named_by_their_index() {
        assert_eq!(names(":80"), ["listener0"]);
        assert_eq!(
            names(":80,http=:81,[::1]:82"),
            ["listener0", "http", "listener2"]
        );
        assert_eq!(names("listener5=:80,:81"), ["listener5", "listener1"]);
    }

    #[test]
    fn names_are_unique() {
        for (text, message) in [
            (
                "a=:80,b=:81,a=:82",
                "'a=:80' and 'a=:82' are both named 'a', expected unique names",
            ),
            (
                "listener1=:80,:81",
                "'listener1=:80' and 'listener1=:81' are both named 'listener1', expected unique names",
            ),
            (
                ":80,listener0=:81",
                "'listener0=:80' and 'listener0=:81' are both named 'listener0', expected unique names",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    fn overlaps_of(text: &str, network: Option<Network>) -> Vec<String> {
        let list = read(text).expect("a valid list");
        let found = overlaps(&list, network).into_iter();
        found
            .map(|clash| format!("{} {}", clash.index, clash.error))
            .collect()
    }

    #[test]
    fn a_duplicate_address_is_reported_at_its_second_index() {
        assert_eq!(
            overlaps_of("a=:80,b=:81,c=:80,[::1]:81,:81", None),
            [
                "2 'a=:80' and 'c=:80' are the same address",
                "4 'b=:81' and ':81' are the same address"
            ]
        );
        for text in [
            "[::1]:80,[0:0:0:0:0:0:0:1]:80",
            "127.0.0.1:80,[::ffff:127.0.0.1]:80",
            ":80,0.0.0.0:80",
            "localhost:80,LocalHost.:80",
            "[fe80::1%lo]:80,[fe80:0::1%lo]:80",
            "tls://0.0.0.0:80,0.0.0.0:80",
            "tcp4://:80,:80",
            "udp://:80,udp://0.0.0.0:80",
            "unix:/a,tls://unix:/a?mode=0660",
            "unix:/a,unixgram:/a",
            "unix:@a,unix:@a",
            "fd:3,udp://fd:3",
        ] {
            let found = overlaps_of(text, None);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains("are the same address"), "{found:?}");
        }
        for text in [
            ":0,:0,a=0.0.0.0,b=0.0.0.0",
            "0.0.0.0:0,127.0.0.1:0",
            "localhost:80,localhost:81,127.0.0.1:80",
            "[fe80::1%lo]:80,[fe80::1%eth0]:80",
            "udp://:80,:80",
            "unix:@a,unixgram:@a,unix:@A,unix:/a",
            "fd:3,fd:4,unix:/3,:3",
            "tcp6://:80,tcp4://:80",
        ] {
            assert_eq!(overlaps_of(text, None), [""; 0], "{text}");
        }
    }

    #[test]
    fn an_address_that_another_one_covers_is_reported() {
        for (text, all, one) in [
            ("0.0.0.0:80,127.0.0.1:80", "0.0.0.0:80", "127.0.0.1:80"),
            ("127.0.0.1:80,0.0.0.0:80", "0.0.0.0:80", "127.0.0.1:80"),
            ("a=:80,127.0.0.1:80", "a=:80", "127.0.0.1:80"),
            ("[::]:80,[::1]:80", "[::]:80", "[::1]:80"),
            ("[fe80::1%lo]:80,[::]:80", "[::]:80", "[fe80::1%lo]:80"),
            (
                "0.0.0.0:80,[::ffff:127.0.0.1]:80",
                "0.0.0.0:80",
                "[::ffff:127.0.0.1]:80",
            ),
            (
                "0.0.0.0:80,[::]:80?v6only=false",
                "[::]:80?v6only=false",
                "0.0.0.0:80",
            ),
            (
                ":80?v6only=false,tls://localhost:81,tls://127.0.0.1:80",
                "[::]:80?v6only=false",
                "tls://127.0.0.1:80",
            ),
        ] {
            let index = text.matches(',').count();
            let expected = format!(
                "{index} '{all}' covers '{one}', so only one of them can be bound; remove one or change its port"
            );
            assert_eq!(overlaps_of(text, None), [expected]);
        }
    }

    #[test]
    fn both_families_can_use_one_port() {
        for text in [
            "0.0.0.0:80,[::]:80",
            "[::]:80,0.0.0.0:80",
            ":80,[::]:80",
            "[::]:80,127.0.0.1:80",
            "[::]:80,[::ffff:127.0.0.1]:80",
        ] {
            assert_eq!(overlaps_of(text, None), [""; 0], "{text}");
        }
    }

    #[test]
    fn an_empty_host_is_in_the_family_of_the_network() {
        let (tcp, tcp6) = (Some(Network::Tcp), Some(Network::Tcp6));
        for (text, network, count) in [
            (":80,[::]:80", None, 0),
            (":80,[::]:80", tcp6, 1),
            (":80,[::1]:80", tcp6, 1),
            (":80,[::]:80", tcp, 1),
            (":80,0.0.0.0:80", tcp, 0),
            (":80,127.0.0.1:80", Some(Network::Tcp4), 1),
        ] {
            assert_eq!(
                overlaps_of(text, network).len(),
                count,
                "{text} {network:?}"
            );
        }
    }

    #[test]
    fn an_empty_element_is_rejected() {
        for text in ["", ",", ":80,", ",:80", ":80,,:81"] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.starts_with("the address is empty"), "{message}");
        }
        assert!(parse(":80, :81").is_err());
    }

    #[test]
    fn the_number_of_addresses_is_limited() {
        let list = |count| vec![":0"; count].join(",");

        assert!(parse(&list(MAX_LISTENERS)).is_ok());
        assert_eq!(
            parse(&list(MAX_LISTENERS + 1)).unwrap_err().to_string(),
            "65 addresses are too many, expected at most 64"
        );
    }

    fn over_text(declared: &str, by_operator: &str) -> String {
        let parsed = |text| read(text).expect("valid addresses");
        let texts = override_named(&parsed(declared), parsed(by_operator))
            .into_iter()
            .map(|a| a.to_string());
        texts.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn an_address_with_a_declared_name_replaces_that_address() {
        for (by_operator, list) in [
            ("http=:81", "http=:81,admin=:9000"),
            ("admin=:1", "http=:80,admin=:1"),
            ("admin=:1,http=:2", "http=:2,admin=:1"),
        ] {
            assert_eq!(over_text("http=:80,admin=:9000", by_operator), list);
        }
        assert_eq!(
            over_text(":80,:81", "listener1=:8"),
            "listener0=:80,listener1=:8"
        );
    }

    #[test]
    fn any_other_address_replaces_the_list() {
        for by_operator in [
            ":81",
            ":81,:82",
            "http=:81,:82",
            "web=:81",
            "http=:1,web=:2",
            "http=:1,http=:2",
        ] {
            assert_eq!(over_text("http=:80,admin=:9000", by_operator), by_operator);
        }
        assert_eq!(over_text(":80", "http=:81"), "http=:81");
    }
}
