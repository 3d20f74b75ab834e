//! Two sockets that are connected with each other and keep messages apart.

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::socket::MsgFlags;

/// For a send: a peer that is gone is an error, not a signal.
pub(crate) const QUIET: MsgFlags = MsgFlags::from_bits_retain(libc::MSG_NOSIGNAL);

/// Both ends, close-on-exec and non-blocking.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        flags,
    )?)
}

/// The same in more calls, where a socket cannot be made so in one.
///
/// # Errors
/// As above, and `EPROTONOSUPPORT` where the system has no such sockets (macOS): channels are a master's, and it has none.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use socket2::{Domain, Socket, Type};

    let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
    one.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    Ok((one.into(), other.into()))
}
