//! Taking connections from a listening socket, and asking how many wait there.

use std::io;
use std::net::SocketAddr;
#[cfg(any(feature = "tls", all(target_os = "linux", not(prefork_portable))))]
use std::os::fd::RawFd;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use socket2::{SockAddr, SockAddrStorage};

/// Whether reads of the accepted socket wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Reads wait for bytes.
    Blocking,
    /// Reads return `WouldBlock`; what an async runtime wants.
    #[cfg_attr(
        not(feature = "tokio"),
        expect(dead_code, reason = "an async runtime's")
    )]
    NonBlocking,
}

/// Takes a connection that waits.
///
/// # Errors
/// `WouldBlock` when nobody waits; else what accept4(2) lists.
pub(crate) fn accept(listener: BorrowedFd<'_>, mode: Mode) -> io::Result<(OwnedFd, SocketAddr)> {
    let accept = |storage: *mut SockAddrStorage, length: *mut libc::socklen_t| {
        accept_into(listener, mode, storage, length)
    };
    // SAFETY: on success `accept_into` has filled in the address and its length.
    let (socket, peer) = unsafe { SockAddr::try_init(accept) }?;
    let peer = peer.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    Ok((socket, peer))
}

/// `accept4(2)`, close-on-exec. The socket gets its mode in the same call: the standard library
/// would spend a second one on it.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn accept_into(
    listener: BorrowedFd<'_>,
    mode: Mode,
    storage: *mut SockAddrStorage,
    length: *mut libc::socklen_t,
) -> io::Result<OwnedFd> {
    let flags = match mode {
        Mode::Blocking => libc::SOCK_CLOEXEC,
        Mode::NonBlocking => libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
    };
    // SAFETY: socket2 gives the place for an address and its length, as accept4 wants them.
    let number = unsafe { libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `accept(2)` and what is to be said about the socket afterwards: not all systems have accept4, and on some the socket
/// has the mode of the listener.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
fn accept_into(
    listener: BorrowedFd<'_>,
    mode: Mode,
    storage: *mut SockAddrStorage,
    length: *mut libc::socklen_t,
) -> io::Result<OwnedFd> {
    // SAFETY: socket2 gives the place for an address and its length, as accept wants them.
    let number = unsafe { libc::accept(listener.as_raw_fd(), storage.cast(), length) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let settings = socket2::SockRef::from(&socket);
    settings.set_cloexec(true)?;
    settings.set_nonblocking(matches!(mode, Mode::NonBlocking))?;
    #[cfg(target_vendor = "apple")]
    settings.set_nosigpipe(true)?;
    Ok(socket)
}

/// How many connections wait to be accepted: for a listening socket `tcpi_unacked` of `tcp(7)`'s
/// `TCP_INFO` is the length of its accept queue. `None` where the kernel does not say.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn queue_length(listener: BorrowedFd<'_>) -> Option<usize> {
    usize::try_from(tcp_info(listener.as_raw_fd())?.tcpi_unacked).ok()
}

/// Other systems have no such figure.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) fn queue_length(_listener: BorrowedFd<'_>) -> Option<usize> {
    None
}

/// How many bytes have come on a connection since it is there, read or not (RFC 4898,
/// `tcpEStatsAppHCThruOctetsReceived`). `None` where the kernel does not say.
#[cfg(all(feature = "tls", target_os = "linux", not(prefork_portable)))]
pub(crate) fn bytes_received(connection: RawFd) -> Option<u64> {
    Some(tcp_info(connection)?.tcpi_bytes_received)
}

/// Other systems have no such figure.
#[cfg(all(feature = "tls", not(all(target_os = "linux", not(prefork_portable)))))]
pub(crate) fn bytes_received(_connection: RawFd) -> Option<u64> {
    None
}

#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn tcp_info(socket: RawFd) -> Option<libc::tcp_info> {
    // SAFETY: tcp_info is plain data, for which all zeroes is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the pointers describe `info` and its size; the kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    (result == 0).then_some(info)
}
