//! Accepts connections from a listening socket, reads the length of its queue, and wakes the
//! processes that wait for it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use prefork_options::Addr;
use socket2::{SockAddr, SockAddrStorage};

use super::addr::from_sock_addr;

/// Whether the accepted socket is blocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptMode {
    /// Reads wait for bytes.
    Blocking,
    /// Reads return `WouldBlock`, for an async runtime.
    #[cfg_attr(
        not(feature = "tokio"),
        expect(dead_code, reason = "only an async runtime uses it")
    )]
    NonBlocking,
}

/// Accepts a connection from the queue.
///
/// # Errors
/// `WouldBlock` if the queue is empty, and the errors of accept4(2).
pub(crate) fn accept(listener: BorrowedFd<'_>, mode: AcceptMode) -> io::Result<(OwnedFd, Addr)> {
    let accept = |storage: *mut SockAddrStorage, length: *mut libc::socklen_t| {
        accept_into(listener, mode, storage, length)
    };
    // SAFETY: on success `accept_into` has filled in the address and its length.
    let (socket, peer) = unsafe { SockAddr::try_init(accept) }?;
    let peer = from_sock_addr(&peer).ok_or(io::ErrorKind::Unsupported)?;
    Ok((socket, peer))
}

/// Registers a listening socket with the tokio runtime of this thread.
///
/// # Errors
/// The runtime cannot watch it.
#[cfg(feature = "tokio")]
pub(crate) fn watch(listener: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    use tokio::io::{Interest, unix::AsyncFd};

    // SAFETY: an `OwnedFd` is open and keeps its number until it is dropped; no code of this crate
    // opens another file under the number of a descriptor that it registers.
    let watched = unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

/// Calls `accept4(2)`, close-on-exec.
///
/// The call also sets the mode of the socket, for which the standard library needs a second call.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn accept_into(
    listener: BorrowedFd<'_>,
    mode: AcceptMode,
    storage: *mut SockAddrStorage,
    length: *mut libc::socklen_t,
) -> io::Result<OwnedFd> {
    let flags = match mode {
        AcceptMode::Blocking => libc::SOCK_CLOEXEC,
        AcceptMode::NonBlocking => libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
    };
    // SAFETY: socket2 passes memory for an address and its length, as accept4 requires.
    let number = unsafe { libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this descriptor; it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Calls `accept(2)`, and sets the flags of the socket afterwards.
///
/// Not all systems have accept4, and on some of them the socket inherits the mode of the listener.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
fn accept_into(
    listener: BorrowedFd<'_>,
    mode: AcceptMode,
    storage: *mut SockAddrStorage,
    length: *mut libc::socklen_t,
) -> io::Result<OwnedFd> {
    // SAFETY: socket2 passes memory for an address and its length, as accept requires.
    let number = unsafe { libc::accept(listener.as_raw_fd(), storage.cast(), length) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this descriptor; it has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let settings = socket2::SockRef::from(&socket);
    settings.set_cloexec(true)?;
    settings.set_nonblocking(matches!(mode, AcceptMode::NonBlocking))?;
    #[cfg(target_vendor = "apple")]
    settings.set_nosigpipe(true)?;
    Ok(socket)
}

/// Reads the number of connections in the accept queue; `None` if it is unknown.
///
/// For a listening socket, it is `tcpi_unacked` of `TCP_INFO` (`tcp(7)`).
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn queue_length(listener: BorrowedFd<'_>) -> Option<usize> {
    usize::try_from(tcp_info(listener.as_raw_fd())?.tcpi_unacked).ok()
}

/// The number is unknown on other systems.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) fn queue_length(_listener: BorrowedFd<'_>) -> Option<usize> {
    None
}

/// Wakes all processes that wait until the listening socket is readable.
///
/// Those that use `EPOLLEXCLUSIVE` (`epoll_ctl(2)`), too. They return from the wait only if a
/// connection is in the queue.
///
/// No system call has this purpose. On a listening socket, shutdown(2) of the sending side changes
/// nothing, and wakes all that wait: see `inet_shutdown` in `net/ipv4/af_inet.c` and `unix_shutdown`
/// in `net/unix/af_unix.c` of Linux. A test in `net/accept_poller.rs` checks both. Do not call this
/// for another socket: it could not send any more.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn wake_watchers(listener: BorrowedFd<'_>) {
    use nix::sys::socket::{Shutdown, shutdown};

    // It fails only if the socket no longer listens, and then it wakes them as well.
    let _ = shutdown(listener.as_raw_fd(), Shutdown::Write);
}

/// Other systems wake all processes for each connection.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) fn wake_watchers(_listener: BorrowedFd<'_>) {}

/// Reads the number of bytes that a connection has received; `None` if it is unknown.
///
/// It includes bytes that were not read yet (RFC 4898, `tcpEStatsAppHCThruOctetsReceived`).
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn bytes_received(connection: RawFd) -> Option<u64> {
    Some(tcp_info(connection)?.tcpi_bytes_received)
}

/// The number is unknown on other systems.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) fn bytes_received(_connection: RawFd) -> Option<u64> {
    None
}

#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn tcp_info(socket: RawFd) -> Option<libc::tcp_info> {
    // SAFETY: tcp_info is plain data, for which all zeroes are a valid value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the pointers describe `info` and its size; the kernel writes at most that many bytes.
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
