//! Descriptors that this process knows by number.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{getsockopt, sockopt::AcceptConn};
use socket2::{SockRef, Type};

/// The first descriptor that a child inherits, after stdin, stdout and stderr.
///
/// systemd uses the same number (`SD_LISTEN_FDS_START`).
pub(crate) const FIRST_FD: RawFd = 3;

/// Takes ownership of an inherited descriptor and marks it close-on-exec.
///
/// Programs that this process starts do not get it.
///
/// # Errors
/// `EBADF` if the number is not open.
pub(crate) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number < FIRST_FD {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the borrow lasts for one call, which returns an error if the number is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: the number is open, and the protocol of inheritance makes this process its owner;
    // the caller adopts each number once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Returns a second descriptor, close-on-exec, of the file behind an open number.
///
/// # Errors
/// `EBADF` if the number is not open.
pub(crate) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    if number < FIRST_FD {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the borrow lasts for one call, which returns an error if the number is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned()
}

/// Closes the file behind a descriptor, and opens the file of another one under its number.
///
/// The number is never free in between, so a borrow of the descriptor stays valid. The descriptor
/// is close-on-exec.
///
/// # Errors
/// `EBADF` if the number is not below the limit of the process (`RLIMIT_NOFILE`).
pub(crate) fn replace(fd: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<()> {
    let (fd, other) = (fd.as_raw_fd(), other.as_raw_fd());
    loop {
        // SAFETY: two numbers, which differ and are open. The owner of the first one still owns it.
        #[cfg(all(target_os = "linux", not(prefork_portable)))]
        let result = unsafe { libc::dup3(other, fd, libc::O_CLOEXEC) };
        // SAFETY: as above. A program that another thread executes before the next call inherits
        // the descriptor; these systems have no workers.
        #[cfg(not(all(target_os = "linux", not(prefork_portable))))]
        let result = unsafe { libc::dup2(other, fd) };
        if result >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        // Linux returns `EBUSY` while another thread is in open(2) or dup(2) (dup(2)).
        let is_busy = error.raw_os_error() == Some(libc::EBUSY);
        if !is_busy && error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    #[cfg(not(all(target_os = "linux", not(prefork_portable))))]
    // SAFETY: two numbers; the descriptor is open.
    let _ = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    Ok(())
}

/// Gives the calling thread a private descriptor table with only this descriptor.
///
/// The table of the other threads does not change. The kernel closes what the private table holds
/// when the thread exits.
///
/// # Errors
/// `ENOMEM`, or `EPERM` from a seccomp filter. The thread may still share the table of the others.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn keep_only(fd: RawFd) -> io::Result<()> {
    let number = fd.unsigned_abs();
    // `CLOSE_RANGE_UNSHARE` copies the table first, so that nothing is closed for other threads
    // (close_range(2)).
    close_range(number + 1, u32::MAX, libc::CLOSE_RANGE_UNSHARE)?;
    match number.checked_sub(1) {
        Some(last) => close_range(0, last, 0),
        None => Ok(()),
    }
}

#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn close_range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: three numbers. Only `keep_only` calls this, on a table that the calling thread does
    // not share, so that no owner of a descriptor loses it.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Counts the descriptors that have bytes to read or have reached their end.
///
/// The caller keeps them open during the call.
pub(crate) fn readable(numbers: &[RawFd]) -> usize {
    numbers.len() - unreadable(numbers).len()
}

/// Returns the descriptors without bytes to read that have not reached their end.
///
/// The caller keeps them open during the call.
pub(crate) fn unreadable(numbers: &[RawFd]) -> Vec<RawFd> {
    let mut polled: Vec<libc::pollfd> = numbers
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let count = libc::nfds_t::try_from(polled.len()).unwrap_or(libc::nfds_t::MAX);
    // SAFETY: the pointer and the count describe one vector of initialized entries.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), count, 0) };
    let is_silent = |entry: &&libc::pollfd| result < 0 || entry.revents == 0;
    polled
        .iter()
        .filter(is_silent)
        .map(|entry| entry.fd)
        .collect()
}

/// Closes the receiving side of a socket.
///
/// Reads that wait return 0, and so do later reads without buffered bytes. The caller keeps the
/// socket open during the call.
pub(crate) fn end_reads(socket: RawFd) {
    // It fails only if the connection has ended, which ends reads too.
    let _ = nix::sys::socket::shutdown(socket, nix::sys::socket::Shutdown::Read);
}

/// A listening IP socket of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnListener {
    pub(crate) number: RawFd,
    pub(crate) addr: SocketAddr,
    /// Whether it rejects IPv4 (`IPV6_V6ONLY` in ipv6(7)).
    pub(crate) is_only_v6: bool,
}

/// The open listening IP sockets of this process.
///
/// Only for error messages: another thread may close one at the same time.
pub(crate) fn own_listeners() -> impl Iterator<Item = OwnListener> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter_map(|number: RawFd| {
        // SAFETY: the borrow lasts for a few calls, which return errors if the number is not open,
        // and change nothing.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if !getsockopt(&fd, AcceptConn).unwrap_or(false) {
            return None;
        }
        let socket = SockRef::from(&fd);
        let addr = socket.local_addr().ok()?.as_socket()?;
        Some(OwnListener {
            number,
            addr,
            is_only_v6: addr.is_ipv6() && socket.only_v6().unwrap_or(false),
        })
    })
}

/// Whether the number is an open seqpacket socket, as channels are.
pub(crate) fn is_seqpacket(number: RawFd) -> bool {
    if number < FIRST_FD {
        return false;
    }
    // SAFETY: the borrow lasts for one call, which returns an error if the number is not open, and
    // changes nothing.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    SockRef::from(&fd)
        .r#type()
        .is_ok_and(|r#type| r#type == Type::SEQPACKET)
}

/// Whether a trusted parent created the socket (`SO_PEERCRED` in unix(7)).
///
/// A trusted parent is root, or has the same effective user and group as this process.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn is_by_trusted_parent(fd: impl AsFd) -> bool {
    use nix::sys::socket::sockopt::PeerCredentials;
    use nix::unistd::{getegid, geteuid, getppid};

    let Ok(peer) = getsockopt(&fd, PeerCredentials) else {
        return false;
    };
    let is_same = peer.uid() == geteuid().as_raw() && peer.gid() == getegid().as_raw();
    peer.pid() == getppid().as_raw() && (peer.uid() == 0 || is_same)
}

/// No masters run on other systems.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) fn is_by_trusted_parent(_fd: impl AsFd) -> bool {
    false
}
