//! A socket that another process opened: whether it is what was announced, and its address.
//!
//! The socket is a listener that a master passed to a worker, or an inherited descriptor that the
//! option `listen` names.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{OwnedFd, RawFd};

use nix::sys::socket::{getsockopt, sockopt::AcceptConn};
use prefork_options::{Addr, Transport};
use socket2::{SockRef, Type};

use crate::sys;
use crate::sys::addr::from_sock_addr;

/// Returns the address of the socket behind an open number. The error is a reason.
///
/// # Errors
/// The number is not open, and the errors of [`address_of`].
pub(crate) fn address_of_open(number: RawFd, transport: Transport) -> Result<Addr, String> {
    let fd = sys::fds::duplicate(number).map_err(|_| "not open".to_owned())?;
    address_of(&fd, transport)
}

/// Returns the address of a socket that another process opened. The error is a reason.
///
/// # Errors
/// It is not a bound socket of this transport, or it is a stream socket that does not listen.
pub(super) fn address_of(fd: &OwnedFd, transport: Transport) -> Result<Addr, String> {
    let socket = SockRef::from(fd);
    let kind = match socket.r#type() {
        Ok(kind) => kind,
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {
            return Err("not a socket".to_owned());
        }
        Err(error) => return Err(format!("getsockopt(SO_TYPE) failed: {error}")),
    };
    let local = socket.local_addr().ok();
    let local = local.and_then(|local| from_sock_addr(&local));
    if transport == Transport::Datagram {
        return match (kind, local) {
            (Type::DGRAM, Some(Addr::UnixUnnamed)) => Err("not bound to a name".to_owned()),
            (Type::DGRAM, Some(local)) => Ok(canonical(local)),
            (Type::DGRAM, None) => Err("not an IP or unix socket".to_owned()),
            _ => Err("not a datagram socket".to_owned()),
        };
    }
    if kind != Type::STREAM {
        return Err("not a stream socket".to_owned());
    }
    match getsockopt(fd, AcceptConn) {
        Ok(true) => {}
        Ok(false) => return Err("not a listening socket".to_owned()),
        Err(errno) => return Err(format!("getsockopt(SO_ACCEPTCONN) failed: {errno}")),
    }
    let local = local.map(canonical);
    local.ok_or_else(|| "not an IP or unix socket".to_owned())
}

/// An IPv4-mapped address is the IPv4 address, as in the options.
fn canonical(addr: Addr) -> Addr {
    match addr {
        Addr::Ip(ip) => Addr::Ip(canonical_ip(ip)),
        other => other,
    }
}

/// Converts an IPv4-mapped address to IPv4, as for literal addresses.
pub(super) fn canonical_ip(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}
