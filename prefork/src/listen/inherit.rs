//! A child's side: taking the announced descriptors, each checked to be what it was announced as.

use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};

use nix::sys::socket::{getsockopt, sockopt::AcceptConn};
use socket2::{SockRef, Type};

use super::announce::ADDRS_VARIABLE;
use crate::error::Error;
use crate::sys;
use crate::sys::fds::FIRST_FD;

/// A listening socket that a master passed.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    pub(crate) fd: OwnedFd,
}

/// Takes the listeners that the variables announce.
///
/// # Errors
/// A variable that is missing or wrong, a descriptor that is not what it should be.
pub(crate) fn inherit(lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<Inherited>, Error> {
    let pid = read("LISTEN_PID", &lookup)?;
    if pid != std::process::id().to_string() {
        let reason = format!("it is not this process's id {}", std::process::id());
        return Err(wrong("LISTEN_PID", reason));
    }
    let count = read("LISTEN_FDS", &lookup)?;
    let addrs = read(ADDRS_VARIABLE, &lookup)?;
    let announced = parse_addrs(&addrs)?;
    if count != announced.len().to_string() {
        let reason = format!(
            "it does not fit {ADDRS_VARIABLE}, which names {}",
            announced.len()
        );
        return Err(wrong("LISTEN_FDS", reason));
    }
    (FIRST_FD..)
        .zip(announced)
        .map(|(number, (name, addr))| adopt(number, name, addr))
        .collect()
}

fn read(name: &'static str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, Error> {
    lookup(name).ok_or_else(|| wrong(name, "it is not set".to_owned()))
}

fn wrong(variable: &'static str, reason: String) -> Error {
    Error::Role { variable, reason }
}

fn parse_addrs(text: &str) -> Result<Vec<(String, SocketAddr)>, Error> {
    let entry = |entry: &str| {
        let (name, addr) = entry.split_once('=')?;
        Some((name.to_owned(), addr.parse().ok()?))
    };
    text.split(',')
        .filter(|text| !text.is_empty())
        .map(|text| {
            entry(text).ok_or_else(|| {
                let reason = format!("'{}' is not '<name>=<address>'", text.escape_debug());
                wrong(ADDRS_VARIABLE, reason)
            })
        })
        .collect()
}

fn adopt(number: RawFd, name: String, addr: SocketAddr) -> Result<Inherited, Error> {
    let refuse = |reason: String| Error::Inherited {
        listener: name.clone(),
        fd: number,
        reason,
    };
    let fd = sys::fds::adopt(number).map_err(|error| refuse(format!("not open: {error}")))?;
    let checked = check(&fd, addr);
    checked.map_err(refuse)?;
    Ok(Inherited { name, addr, fd })
}

fn check(fd: &OwnedFd, addr: SocketAddr) -> Result<(), String> {
    let socket = SockRef::from(fd);
    match socket.r#type() {
        Ok(Type::STREAM) => {}
        Ok(_) => return Err("not a stream socket".to_owned()),
        Err(_) => return Err("not a socket".to_owned()),
    }
    if !getsockopt(fd, AcceptConn).unwrap_or(false) {
        return Err("a socket that does not listen".to_owned());
    }
    match socket.local_addr().ok().and_then(|local| local.as_socket()) {
        Some(local) if local == addr => Ok(()),
        Some(local) => Err(format!("listens on {local}, not on {addr}")),
        None => Err("not an IP socket".to_owned()),
    }
}
