//! Connected pairs of seqpacket sockets, which keep message boundaries.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

/// The flag for a send without SIGPIPE.
///
/// If the peer has closed its end, the send only returns an error.
pub(crate) const NOSIGNAL: MsgFlags = MsgFlags::from_bits_retain(libc::MSG_NOSIGNAL);

/// Received descriptors are close-on-exec.
#[cfg(target_os = "linux")]
const RECEIVE_FLAGS: MsgFlags = MsgFlags::MSG_CMSG_CLOEXEC;
/// Only a master sends descriptors, and no master runs on this system.
#[cfg(not(target_os = "linux"))]
const RECEIVE_FLAGS: MsgFlags = MsgFlags::empty();

/// Sends a message with descriptors, without waiting.
///
/// # Errors
/// Those of `sendmsg(2)`.
pub(crate) fn send_with_descriptors(
    socket: BorrowedFd<'_>,
    message: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> nix::Result<usize> {
    let numbers: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&numbers)];
    let flags = MsgFlags::MSG_DONTWAIT | NOSIGNAL;
    let parts = [IoSlice::new(message)];
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &parts, &control, flags, None)
}

/// Receives a message and up to two descriptors, without waiting. Returns the length of the message.
///
/// # Errors
/// Those of `recvmsg(2)`.
pub(crate) fn receive_with_descriptors(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> nix::Result<(usize, Vec<OwnedFd>)> {
    let mut control = nix::cmsg_space!([i32; 2]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = flags | MsgFlags::MSG_DONTWAIT | RECEIVE_FLAGS;
    let socket = socket.as_raw_fd();
    let message = recvmsg::<UnixAddr>(socket, &mut parts, Some(&mut control), flags)?;
    let mut descriptors = Vec::new();
    for part in message.cmsgs().into_iter().flatten() {
        let ControlMessageOwned::ScmRights(numbers) = part else {
            continue;
        };
        for number in numbers {
            // SAFETY: the kernel has just created this descriptor, and no other code knows it.
            descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    Ok((message.bytes, descriptors))
}

/// Creates both ends, close-on-exec and non-blocking.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        flags,
    )?)
}

/// Creates both ends, close-on-exec and non-blocking, in several calls.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`. `EPROTONOSUPPORT` if the system has no such sockets (macOS): only
/// a master has channels, and no master runs there.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use socket2::{Domain, Socket, Type};

    let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
    one.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    Ok((one.into(), other.into()))
}

/// Makes the kernel reject descriptors that the peer of this socket sends.
///
/// The peer's `sendmsg(2)` then fails with `EPERM`, and nothing is queued.
///
/// # Errors
/// `ENOPROTOOPT` before Linux 6.16.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn refuse_descriptors(socket: BorrowedFd<'_>) -> io::Result<()> {
    /// Missing in libc (`asm-generic/socket.h`).
    const SO_PASSRIGHTS: libc::c_int = 83;
    const LENGTH: libc::socklen_t = libc::c_int::BITS / 8;

    let off: libc::c_int = 0;
    // SAFETY: the pointer and the length describe one integer that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const off).cast(),
            LENGTH,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Does nothing, because without a master both ends of a channel belong to one process.
///
/// # Errors
/// None.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
pub(crate) fn refuse_descriptors(socket: BorrowedFd<'_>) -> io::Result<()> {
    let _ = socket.as_raw_fd();
    Ok(())
}
