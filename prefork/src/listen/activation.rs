//! Socket activation: sockets that the process which started this one has opened
//! (`sd_listen_fds(3)`).
//!
//! systemd opens the sockets of a socket unit before it starts the service, and keeps a copy of
//! each. A listener uses the passed socket with its name, or else one at its address. Nothing here
//! calls `shutdown(2)`, which would end the copies too.

use std::fmt;
use std::iter;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use prefork_options::{Addr, Transport};
use socket2::SockRef;

use super::open_socket::address_of;
use crate::error::Error;
use crate::sys;
use crate::sys::env::is_secure;
use crate::sys::fds::FIRST_FD;

/// The name of a socket whose unit sets none (`FileDescriptorName=` in systemd.socket(5)).
const UNNAMED: &str = "unknown";

/// A socket that was passed to this process.
#[derive(Debug)]
pub(super) struct PassedSocket {
    fd: OwnedFd,
    /// Not unique: all sockets of one unit have the same name.
    name: String,
}

impl PassedSocket {
    pub(super) fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        self.name == name
    }

    /// Its address, if it has the type for this transport. The error is a reason.
    pub(super) fn address(&self, transport: Transport) -> Result<Addr, String> {
        address_of(&self.fd, transport)
    }
}

impl fmt::Display for PassedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd {}", self.number())?;
        if !self.has_name(UNNAMED) {
            write!(f, ", named '{}'", self.name.escape_debug())?;
        }
        let address = self.address(Transport::Stream);
        match address.or_else(|reason| self.address(Transport::Datagram).map_err(|_| reason)) {
            Ok(address) => write!(f, ", at {address}"),
            Err(reason) => write!(f, ", {reason}"),
        }
    }
}

/// Takes over the sockets that were passed to this process.
///
/// A start calls this before it opens any descriptor: a wrong number in the variables must not name
/// one of its own.
///
/// # Errors
/// The variables are wrong, or a descriptor is not open.
pub(crate) fn adopt_passed_sockets() -> Result<(), Error> {
    passed_sockets().map(drop)
}

/// The sockets that were passed to this process and that no start has closed.
///
/// They stay open here, so that each start in this process can use them. A program with more
/// privileges than its user trusts no variables.
pub(super) fn passed_sockets() -> Result<MutexGuard<'static, Vec<PassedSocket>>, Error> {
    static PASSED: OnceLock<Result<Mutex<Vec<PassedSocket>>, String>> = OnceLock::new();
    let passed = PASSED.get_or_init(|| {
        let lookup = |name: &str| std::env::var(name).ok().filter(|_| !is_secure());
        let announced = announced(lookup, sys::process::own_id)?;
        let adopted = announced.filter_map(|(number, name)| adopt(number, name));
        let adopted: Result<Vec<_>, String> = adopted.collect();
        adopted.map(Mutex::new)
    });
    match passed {
        Ok(passed) => Ok(passed.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(reason) => Err(Error::Activation {
            reason: reason.clone(),
        }),
    }
}

/// Closes the passed sockets that are not used. Returns a warning that describes them.
pub(super) fn close_unused(is_used: impl Fn(RawFd) -> bool) -> Option<String> {
    let mut passed = passed_sockets().ok()?;
    let left_over = passed.extract_if(.., |socket| !is_used(socket.number()));
    let described: Vec<String> = left_over.map(|socket| socket.to_string()).collect();
    (!described.is_empty()).then(|| {
        let sockets = described.join("; ");
        format!("closed what socket activation passed and no listener uses: {sockets}")
    })
}

/// Takes over a descriptor. Anything but a socket stays as it is: it is not for a listener.
fn adopt(number: RawFd, name: String) -> Option<Result<PassedSocket, String>> {
    let fd = sys::fds::duplicate(number).and_then(|fd| {
        let is_socket = SockRef::from(&fd).r#type().is_ok();
        is_socket.then(|| sys::fds::adopt(number)).transpose()
    });
    let fd = fd.map_err(|_| format!("LISTEN_FDS announces fd {number}, which is not open"));
    fd.transpose().map(|fd| Ok(PassedSocket { fd: fd?, name }))
}

/// Returns the descriptors that the variables announce, and their names.
///
/// Variables for another process announce none: a program below a wrapper inherits them too. The
/// number is not checked, so the iterator can be far longer than the list of open descriptors.
///
/// # Errors
/// The variables are for this process and do not have the form of `sd_listen_fds_with_names(3)`.
fn announced(
    lookup: impl Fn(&str) -> Option<String>,
    own_id: impl FnOnce() -> Option<u64>,
) -> Result<impl Iterator<Item = (RawFd, String)>, String> {
    let sockets = |numbers: Range<RawFd>, names: Vec<String>| {
        let unnamed = iter::repeat_with(|| UNNAMED.to_owned());
        numbers.zip(names.into_iter().chain(unnamed))
    };
    let none = || sockets(FIRST_FD..FIRST_FD, Vec::new());
    let (Some(pid), Some(count)) = (lookup("LISTEN_PID"), lookup("LISTEN_FDS")) else {
        return Ok(none());
    };
    let is_for_us = pid.parse() == Ok(std::process::id())
        && lookup("LISTEN_PIDFDID").is_none_or(|id| {
            // Without an id of its own, the process can only compare its pid.
            own_id().is_none_or(|own| id.parse() == Ok(own))
        });
    if !is_for_us {
        return Ok(none());
    }
    let numbers = count.parse().ok().and_then(|count: RawFd| {
        let end = FIRST_FD.checked_add(count).filter(|_| count >= 0)?;
        Some(FIRST_FD..end)
    });
    let Some(numbers) = numbers else {
        let count = count.escape_debug();
        return Err(format!(
            "LISTEN_FDS is '{count}', expected a number of descriptors"
        ));
    };
    let names = lookup("LISTEN_FDNAMES").filter(|_| !numbers.is_empty());
    let names: Option<Vec<String>> =
        names.map(|names| names.split(':').map(str::to_owned).collect());
    if let Some(names) = names.as_ref().filter(|names| names.len() != numbers.len()) {
        let (names, count) = (names.len(), numbers.len());
        return Err(format!(
            "LISTEN_FDNAMES has {names} names for {count} descriptors (LISTEN_FDS)"
        ));
    }
    Ok(sockets(numbers, names.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Vec<(RawFd, String)>, String> {
        let own = std::process::id().to_string();
        let lookup = |name: &str| {
            let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
            Some(value.replace("OWN", &own))
        };
        announced(lookup, || Some(7)).map(Iterator::collect)
    }

    #[test]
    fn the_variables_announce_descriptors_and_names() {
        let named = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned());
            Ok((FIRST_FD..).zip(names).collect::<Vec<_>>())
        };
        for (variables, expected) in [
            (&[][..], &[][..]),
            (&[("LISTEN_FDS", "1")], &[]),
            (&[("LISTEN_PID", "OWN")], &[]),
            (&[("LISTEN_PID", "1"), ("LISTEN_FDS", "x")], &[]),
            (&[("LISTEN_PID", "OWN"), ("LISTEN_FDS", "0")], &[]),
            (
                &[("LISTEN_PID", "OWN"), ("LISTEN_FDS", "2")],
                &[UNNAMED, UNNAMED],
            ),
            (
                &[
                    ("LISTEN_PID", "OWN"),
                    ("LISTEN_FDS", "2"),
                    ("LISTEN_FDNAMES", "http:https"),
                ],
                &["http", "https"],
            ),
            (
                &[
                    ("LISTEN_PID", "OWN"),
                    ("LISTEN_FDS", "1"),
                    ("LISTEN_PIDFDID", "7"),
                ],
                &[UNNAMED],
            ),
            (
                &[
                    ("LISTEN_PID", "OWN"),
                    ("LISTEN_FDS", "1"),
                    ("LISTEN_PIDFDID", "8"),
                ],
                &[],
            ),
        ] {
            assert_eq!(read(variables), named(expected), "{variables:?}");
        }
    }

    /// The first one that is not open ends the start. Nothing is allocated for the others.
    #[test]
    fn a_number_far_above_the_open_descriptors_costs_nothing() {
        let own = std::process::id().to_string();
        let lookup = |name: &str| match name {
            "LISTEN_PID" => Some(own.clone()),
            "LISTEN_FDS" => Some("2000000000".to_owned()),
            _ => None,
        };
        let mut announced = announced(lookup, || None).expect("a number");
        assert_eq!(announced.next(), Some((FIRST_FD, UNNAMED.to_owned())));
    }

    #[test]
    fn wrong_variables_are_errors_that_name_them() {
        for (count, names, expected) in [
            (
                "-1",
                None,
                "LISTEN_FDS is '-1', expected a number of descriptors",
            ),
            (
                "",
                None,
                "LISTEN_FDS is '', expected a number of descriptors",
            ),
            (
                "2147483647",
                None,
                "LISTEN_FDS is '2147483647', expected a number of descriptors",
            ),
            (
                "2",
                Some("http"),
                "LISTEN_FDNAMES has 1 names for 2 descriptors (LISTEN_FDS)",
            ),
            (
                "1",
                Some("http:https"),
                "LISTEN_FDNAMES has 2 names for 1 descriptors (LISTEN_FDS)",
            ),
        ] {
            let mut variables = vec![("LISTEN_PID", "OWN"), ("LISTEN_FDS", count)];
            variables.extend(names.map(|names| ("LISTEN_FDNAMES", names)));
            assert_eq!(read(&variables), Err(expected.to_owned()));
        }
    }
}
