//! Taking connections from a listening socket, and asking how many wait there.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use socket2::SockAddr;

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

/// `accept4(2)`, close-on-exec. The socket gets its mode in the same call: the standard library
/// would spend a second one on it.
///
/// # Errors
/// `WouldBlock` when nobody waits; else what the man page lists.
pub(crate) fn accept(listener: BorrowedFd<'_>, mode: Mode) -> io::Result<(OwnedFd, SocketAddr)> {
    let flags = match mode {
        Mode::Blocking => libc::SOCK_CLOEXEC,
        Mode::NonBlocking => libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
    };
    let accept4 = |storage: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
        // SAFETY: socket2 gives the place for an address and its length, as accept4 wants them.
        let number = unsafe { libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    };
    // SAFETY: on success accept4 has filled in the address and its length.
    let (socket, peer) = unsafe { SockAddr::try_init(accept4) }?;
    let peer = peer.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    Ok((socket, peer))
}

/// How many connections wait to be accepted: for a listening socket `tcpi_unacked` of `tcp(7)`'s
/// `TCP_INFO` is the length of its accept queue. `None` where the kernel does not say.
#[cfg(target_os = "linux")]
pub(crate) fn queue_length(listener: BorrowedFd<'_>) -> Option<usize> {
    // SAFETY: tcp_info is plain data, for which all zeroes is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the pointers describe `info` and its size; the kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return None;
    }
    usize::try_from(info.tcpi_unacked).ok()
}

/// Other systems have no such figure.
#[cfg(not(target_os = "linux"))]
pub(crate) fn queue_length(_listener: BorrowedFd<'_>) -> Option<usize> {
    None
}
