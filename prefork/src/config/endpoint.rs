//! Where one listener is bound: an address that lacks nothing any more.
//!
//! It knows how declared addresses, the operator's, and `PORT` become these; it resolves and binds nothing.

use std::fmt;

use prefork_options::{Address, host, list};

use super::Options;
use super::origin::{Layers, Origin};

/// A listener as it is to be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    /// As in [`Address`].
    pub(crate) host: String,
    /// 0 lets the system choose.
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
}

/// What an operator says over what the program declares.
///
/// Where each of the operator's addresses is called like a declared one, these are replaced and the others stay. With any
/// other name, or without one, the list is replaced: its names are the operator's as well, and whether they fit is seen
/// when the arguments of `main` are held against them.
pub(super) fn over(declared: &[Address], said: Vec<Address>) -> Vec<Address> {
    let Ok(declared) = list::name(declared.to_vec()) else {
        return said;
    };
    let is_declared = |address: &Address| {
        address.name.is_some() && declared.iter().any(|other| other.name == address.name)
    };
    // A name that is said twice is a mistake of the operator's, and is found in the list as it was said.
    if !said.iter().all(is_declared) || list::name(said.clone()).is_err() {
        return said;
    }
    let replaced = |old: Address| {
        let new = said.iter().find(|new| new.name == old.name);
        new.cloned().unwrap_or(old)
    };
    declared.into_iter().map(replaced).collect()
}

/// Names and completes the addresses; what cannot be is kept as a mistake, with port 0 in its place.
pub(super) fn endpoints(
    addresses: &[Address],
    port: Option<u16>,
    options: &mut Options,
) -> Vec<Endpoint> {
    // Of a list that another one replaces nothing is reported, only its form is needed.
    let is_known = options.listen.is_known();
    for address in addresses {
        if is_known && address.port.or(port).is_none() {
            let place = place_of(address, &options.listen);
            options.mistake(&place, &without_port(address));
        }
    }
    let place = &options.listen.place("listen");
    // `PORT` may give one to several that differ in nothing else.
    let complete = |address: &Address| Address {
        port: address.port.or(port),
        ..address.clone()
    };
    let complete: Vec<Address> = addresses.iter().map(complete).collect();
    let named = list::name(complete.clone());
    let named = if is_known {
        check_overlaps(named.as_ref().unwrap_or(&complete), place, options);
        options.check(place, named.map_err(|clash| clash.error))
    } else {
        named.ok()
    };
    let endpoint = |address: Address| Endpoint {
        name: address.name.unwrap_or_default(),
        host: address.host,
        port: address.port.unwrap_or(0),
        is_tls: address.is_tls,
    };
    let named = named.unwrap_or_default().into_iter();
    named.map(endpoint).collect()
}

/// Keeps the addresses that cannot be bound beside each other as mistakes: of the operator's network, if the program's list
/// was good without it.
fn check_overlaps(addresses: &[Address], place: &str, options: &mut Options) {
    let network = &options.network;
    // What a missing host means is unknown.
    if !network.is_known() {
        return;
    }
    let clashes = list::overlaps(addresses, network.value().copied());
    let before = network.overridden().last().map(|said| said.value);
    let without = list::overlaps(addresses, before);
    let by_network = match (network.origin(), options.listen.origin()) {
        (Origin::Variable(variable), Origin::Default | Origin::Program(..)) => Some(variable),
        (_, _) => None,
    };
    for clash in clashes {
        let is_by_list = without.iter().any(|other| other.place == clash.place);
        let by_network = by_network.as_deref().filter(|_| !is_by_list);
        options.mistake(by_network.unwrap_or(place), &clash.error);
    }
}

/// Whom a mistake in one address is told by: of the operator's list, where the program does not declare it in the same
/// words.
pub(super) fn place_of(address: &Address, listen: &Layers<Vec<Address>>) -> String {
    let before = listen.overridden().last();
    let declared = before.map(|said| list::name(said.value.clone()));
    match declared {
        Some(Ok(declared)) if declared.contains(address) => "listen".to_owned(),
        Some(_) | None => listen.place("listen"),
    }
}

fn without_port(address: &Address) -> String {
    let with = Address {
        port: Some(8080),
        ..address.clone()
    };
    format!(
        "'{address}' has no port, write it behind the address as in '{with}', or set the variable PORT"
    )
}

impl Endpoint {
    /// Whether the host is known without a resolver.
    pub(crate) fn is_literal(&self) -> bool {
        self.host.is_empty() || host::literal(&self.host).is_some()
    }
}

#[cfg(test)]
impl Endpoint {
    /// From an address with a port.
    pub(crate) fn of(text: &str) -> Self {
        let address: Address = text.parse().expect(text);
        Self {
            name: address.name.unwrap_or_default(),
            host: address.host,
            port: address.port.expect("the tests name ports"),
            is_tls: address.is_tls,
        }
    }
}

impl fmt::Display for Endpoint {
    /// As people write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            host,
            port,
            is_tls,
        } = self;
        let address = Address {
            name: Some(name.clone()),
            host: host.clone(),
            port: Some(*port),
            is_tls: *is_tls,
        };
        address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over_text(declared: &str, said: &str) -> String {
        let read = |text| list::read(text).expect("good addresses");
        let texts = over(&read(declared), read(said))
            .into_iter()
            .map(|a| a.to_string());
        texts.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn names_that_are_declared_take_the_places_of_those() {
        for (said, list) in [
            ("http=:81", "http=:81,admin=:9000"),
            ("admin=:1", "http=:80,admin=:1"),
            ("admin=:1,http=:2", "http=:2,admin=:1"),
        ] {
            assert_eq!(over_text("http=:80,admin=:9000", said), list);
        }
        assert_eq!(
            over_text(":80,:81", "listener1=:8"),
            "listener0=:80,listener1=:8"
        );
    }

    #[test]
    fn anything_else_replaces_the_list() {
        for said in [
            ":81",
            ":81,:82",
            "http=:81,:82",
            "web=:81",
            "http=:1,web=:2",
            "http=:1,http=:2",
        ] {
            assert_eq!(over_text("http=:80,admin=:9000", said), said);
        }
        assert_eq!(over_text(":80", "http=:81"), "http=:81");
    }

    fn completed(text: &str, port: Option<u16>) -> Result<String, String> {
        let mut options = Options::default();
        let list = list::read(text).expect("good addresses");
        let endpoints = endpoints(&list, port, &mut options);
        if let Some(mistake) = options.mistakes.first() {
            return Err(mistake.to_string());
        }
        Ok(endpoints
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(","))
    }

    #[test]
    fn a_port_that_was_left_open_is_filled() {
        assert_eq!(
            completed("0.0.0.0,[::1],x=:80", Some(5)).as_deref(),
            Ok("listener0=0.0.0.0:5,listener1=[::1]:5,x=:80")
        );
        assert_eq!(completed(":", Some(5)).as_deref(), Ok("listener0=:5"));
        assert_eq!(
            completed(":0,:0", None).as_deref(),
            Ok("listener0=:0,listener1=:0")
        );
    }

    #[test]
    fn a_port_that_stays_open_is_refused_with_both_ways_out() {
        assert_eq!(
            completed("http=0.0.0.0", None),
            Err("listen: 'http=0.0.0.0' has no port, write it behind the address as in 'http=0.0.0.0:8080', or set the \
                 variable PORT"
                .to_owned())
        );
    }

    #[test]
    fn an_address_that_another_one_covers_is_refused_once_the_port_is_known() {
        let list = "a=0.0.0.0,b=127.0.0.1";
        assert_eq!(
            completed(list, Some(5)),
            Err("listen: 'a=0.0.0.0:5' covers 'b=127.0.0.1:5', so only one of them can be bound; remove one or change its port"
                .to_owned())
        );
        assert!(completed(list, Some(0)).is_ok(), "each is another port");
        assert!(completed("a=0.0.0.0,b=[::]", Some(5)).is_ok());
    }

    #[test]
    fn two_listeners_at_one_address_are_refused() {
        assert_eq!(
            completed("a=0.0.0.0,b=0.0.0.0", Some(5)),
            Err("listen: 'a=0.0.0.0:5' and 'b=0.0.0.0:5' are the same address".to_owned())
        );
        let mut options = Options::default();
        options.mistake("workers", &"another mistake");
        let list = list::read("a=:80,a=:80").expect("good addresses");
        endpoints(&list, None, &mut options);
        assert_eq!(options.mistakes.len(), 3, "{:?}", options.mistakes);
    }
}
