//! Several addresses, and what they are called.
//!
//! It knows that names are unique and what the unnamed are called; the single [`Address`] is next door.

use crate::error::quote;
use crate::{Address, ParseError, address};

/// The most listeners that one program may have; each costs every child a descriptor.
pub const MAX_LISTENERS: usize = 64;

/// Reads addresses with commas between them and gives each a name, see [`name`].
///
/// # Errors
///
/// The first address that cannot be read, or whatever [`name`] refuses.
pub fn parse(text: &str) -> Result<Vec<Address>, ParseError> {
    name(read(text)?).map_err(|clash| clash.error)
}

/// Reads addresses with commas between them and leaves the unnamed without a name.
///
/// # Errors
///
/// The first address that cannot be read.
pub fn read(text: &str) -> Result<Vec<Address>, ParseError> {
    text.split(',').map(address::parse).collect()
}

/// Gives each unnamed address the name of its place: `listener0`, `listener1`, …
///
/// # Errors
///
/// The first name that is there already, or more than [`MAX_LISTENERS`] addresses.
pub fn name(mut addresses: Vec<Address>) -> Result<Vec<Address>, Clash> {
    for place in 0..addresses.len() {
        if place == MAX_LISTENERS {
            let error = ParseError::new(format!(
                "{} addresses are too many, expected at most {MAX_LISTENERS}",
                addresses.len()
            ));
            return Err(Clash { place, error });
        }
        let (before, rest) = addresses.split_at_mut(place);
        let name = rest[0].name.get_or_insert_with(|| name_of_place(place));
        if let Some(first) = before
            .iter()
            .find(|other| other.name.as_ref() == Some(name))
        {
            let error = ParseError::new(format!(
                "{} and {} are both called {}, expected a name of its own for each",
                quote(&first.to_string()),
                quote(&rest[0].to_string()),
                quote(&first.name.clone().unwrap_or_default()),
            ));
            return Err(Clash { place, error });
        }
    }
    Ok(addresses)
}

/// Finds the addresses that stand in the list already: the same host and port, whatever they are called.
///
/// Port 0 is another one each time, and what an open one will be is not known here.
pub fn doubles(addresses: &[Address]) -> Vec<Clash> {
    let is_same = |a: &Address, b: &Address| {
        a.port.is_some_and(|port| port != 0) && (&a.host, a.port) == (&b.host, b.port)
    };
    let double = |(place, second): (usize, &Address)| {
        let mut before = addresses[..place].iter();
        let first = before.find(|first| is_same(first, second))?;
        let error = ParseError::new(format!(
            "{} and {} are the same address",
            quote(&first.to_string()),
            quote(&second.to_string())
        ));
        Some(Clash { place, error })
    };
    addresses.iter().enumerate().filter_map(double).collect()
}

/// What an address at this place is called that was given no name.
pub fn name_of_place(place: usize) -> String {
    format!("listener{place}")
}

/// An address that cannot stay in its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// Its place, counted from 0.
    pub place: usize,
    /// What is wrong with it.
    pub error: ParseError,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let addresses = parse(text).expect("the list is good");
        addresses
            .into_iter()
            .filter_map(|address| address.name)
            .collect()
    }

    #[test]
    fn the_unnamed_are_called_by_their_place() {
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
                "'a=:80' and 'a=:82' are both called 'a', expected a name of its own for each",
            ),
            (
                "listener1=:80,:81",
                "'listener1=:80' and 'listener1=:81' are both called 'listener1', expected a name of its own for each",
            ),
            (
                ":80,listener0=:81",
                "'listener0=:80' and 'listener0=:81' are both called 'listener0', expected a name of its own for each",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_same_address_twice_is_told_at_its_second_place() {
        let told = |text: &str| {
            let found = doubles(&read(text).expect("the list is good")).into_iter();
            let found = found.map(|clash| format!("{} {}", clash.place, clash.error));
            found.collect::<Vec<_>>()
        };
        assert_eq!(
            told("a=:80,b=:81,c=:80,[::1]:81,:81"),
            [
                "2 'a=:80' and 'c=:80' are the same address",
                "4 'b=:81' and ':81' are the same address"
            ]
        );
        assert_eq!(told(":0,:0,a=0.0.0.0,b=0.0.0.0,:80,127.0.0.1:80"), [""; 0]);
    }

    #[test]
    fn every_place_needs_an_address() {
        for text in ["", ",", ":80,", ",:80", ":80,,:81"] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.starts_with("the address is empty"), "{message}");
        }
        assert!(parse(":80, :81").is_err());
    }

    #[test]
    fn there_are_not_too_many() {
        let list = |count| vec![":0"; count].join(",");

        assert!(parse(&list(MAX_LISTENERS)).is_ok());
        assert_eq!(
            parse(&list(MAX_LISTENERS + 1)).unwrap_err().to_string(),
            "65 addresses are too many, expected at most 64"
        );
    }
}
