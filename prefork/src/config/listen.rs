//! A complete address of one listener: its name, where it is bound, and its transport.
//!
//! It knows how `PORT` completes an address, and which addresses overlap. It resolves no names and
//! binds nothing.

use std::fmt;

use prefork_options::{Address, Endpoint, ListenerOptions, Transport, list};

use super::OptionLayers;
use super::layers::{Layers, Origin};

/// A listener with the address to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenSpec {
    pub(crate) name: String,
    /// Its port is not open.
    pub(crate) endpoint: Endpoint,
    pub(crate) transport: Transport,
    pub(crate) options: ListenerOptions,
    /// `main` takes it as a socket of std or tokio, so it must have one address.
    pub(crate) is_raw: bool,
    /// How many workers accept from each of its sockets. 0: all of them share one.
    pub(crate) ring_width: usize,
}

/// Gives every address a name and a port. Records an error for each that has no port, and uses port
/// 0.
pub(super) fn complete(
    addresses: &[Address],
    port: Option<u16>,
    options: &mut OptionLayers,
) -> Vec<ListenSpec> {
    // If an invalid list replaces this one, report no error about it.
    let is_known = options.listen.is_valid();
    let label = &options.listen.label("listen");
    // With the port of `PORT`, two addresses may become equal.
    let mut complete = addresses.to_vec();
    for address in &mut complete {
        if address.endpoint.is_open() {
            if is_known && port.is_none() {
                let label = label_of(address, &options.listen);
                options.add_error(&label, &without_port(address));
            }
            address.endpoint.set_port(port);
        }
    }
    let named = list::name(complete.clone());
    let named = if is_known {
        check_overlaps(named.as_ref().unwrap_or(&complete), label, options);
        options.check(label, named.map_err(|clash| clash.error))
    } else {
        named.ok()
    };
    let named = named.unwrap_or_default().into_iter();
    named.map(ListenSpec::from).collect()
}

/// Records an error for each address that overlaps with another one.
///
/// The label is the operator's `network`, if the program's list was valid without it.
fn check_overlaps(addresses: &[Address], label: &str, options: &mut OptionLayers) {
    let network = &options.network;
    // If `network` is invalid, the meaning of a missing host is unknown.
    if !network.is_valid() {
        return;
    }
    let clashes = list::overlaps(addresses, network.value().copied());
    let before = network.overridden().last().map(|layer| layer.value);
    let without_operator = list::overlaps(addresses, before);
    let by_network = match (network.origin(), options.listen.origin()) {
        (Origin::Variable(variable), Origin::Default | Origin::Program(..)) => Some(variable),
        (_, _) => None,
    };
    for clash in clashes {
        let is_by_list = without_operator
            .iter()
            .any(|other| other.index == clash.index);
        let by_network = by_network.as_deref().filter(|_| !is_by_list);
        options.add_error(by_network.unwrap_or(label), &clash.error);
    }
}

/// Label for an error of one address.
///
/// If the program declares the same address, it is `listen`; otherwise it is the label of the
/// operator's list.
pub(super) fn label_of(address: &Address, listen: &Layers<Vec<Address>>) -> String {
    let before = listen.overridden().last();
    let declared = before.map(|layer| list::name(layer.value.clone()));
    match declared {
        Some(Ok(declared)) if declared.contains(address) => "listen".to_owned(),
        Some(_) | None => listen.label("listen"),
    }
}

fn without_port(address: &Address) -> String {
    let mut with = address.clone();
    with.endpoint.set_port(Some(8080));
    format!("'{address}' has no port: add one, as in '{with}', or set the variable PORT")
}

impl From<Address> for ListenSpec {
    /// From an address with a name. An open port becomes port 0.
    fn from(address: Address) -> Self {
        let mut endpoint = address.endpoint;
        if endpoint.is_open() {
            endpoint.set_port(Some(0));
        }
        Self {
            name: address.name.unwrap_or_default(),
            endpoint,
            transport: address.transport,
            options: address.options,
            is_raw: false,
            ring_width: 0,
        }
    }
}

impl ListenSpec {
    /// Returns the address in the syntax of the option, without its name and its options.
    pub(crate) fn address(&self) -> String {
        format!("{}{}", self.transport.scheme(&self.endpoint), self.endpoint)
    }
}

#[cfg(test)]
impl ListenSpec {
    pub(crate) fn of(text: &str) -> Self {
        let spec: Self = text.parse::<Address>().expect(text).into();
        // Whether slots have sockets of their own is up to the test.
        Self {
            ring_width: 2,
            ..spec
        }
    }
}

impl fmt::Display for ListenSpec {
    /// Writes the address in the syntax of the option.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}{}", self.name, self.address(), self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(text: &str, port: Option<u16>) -> Result<String, String> {
        let mut options = OptionLayers::default();
        let list = list::read(text).expect("valid addresses");
        let specs = complete(&list, port, &mut options);
        if let Some(error) = options.errors.first() {
            return Err(error.to_string());
        }
        Ok(specs
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(","))
    }

    #[test]
    fn a_missing_port_is_filled_in() {
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
    fn a_port_that_stays_missing_is_rejected_with_both_remedies() {
        assert_eq!(
            completed("http=0.0.0.0", None),
            Err("listen: 'http=0.0.0.0' has no port: add one, as in 'http=0.0.0.0:8080', or set the \
                 variable PORT"
                .to_owned())
        );
    }

    #[test]
    fn an_address_that_another_one_covers_is_rejected_once_the_port_is_known() {
        let list = "a=0.0.0.0,b=127.0.0.1";
        assert_eq!(
            completed(list, Some(5)),
            Err("listen: 'a=0.0.0.0:5' covers 'b=127.0.0.1:5', so only one of them can be bound; remove one or change its port"
                .to_owned())
        );
        assert!(completed(list, Some(0)).is_ok(), "each gets another port");
        assert!(completed("a=0.0.0.0,b=[::]", Some(5)).is_ok());
    }

    #[test]
    fn two_listeners_at_one_address_are_rejected() {
        assert_eq!(
            completed("a=0.0.0.0,b=0.0.0.0", Some(5)),
            Err("listen: 'a=0.0.0.0:5' and 'b=0.0.0.0:5' are the same address".to_owned())
        );
        let mut options = OptionLayers::default();
        options.add_error("workers", &"another error");
        let list = list::read("a=:80,a=:80").expect("valid addresses");
        complete(&list, None, &mut options);
        assert_eq!(options.errors.len(), 3, "{:?}", options.errors);
    }
}
