//! Writes a message to a pipe or socket as a whole, without waiting and without SIGPIPE.
//!
//! Other processes may share the open file description, so it must not become non-blocking.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::fstat;

use super::seqpacket::NOSIGNAL;
use super::stderr::{is_unsupported, taking_back, write_nowait};

/// The longest message in bytes, which a pipe takes as a whole or not at all (`PIPE_BUF`, pipe(7)).
pub(crate) const MAX_MESSAGE: usize = super::stderr::MAX_LINE;

pub(crate) fn is_pipe_or_socket(fd: &impl AsFd) -> bool {
    matches!(kind(fd.as_fd()), Ok(libc::S_IFIFO | libc::S_IFSOCK))
}

/// # Errors
/// `WouldBlock` if the reader is too slow, `EPIPE` if it is gone, `EBADF` if the descriptor is not
/// writable, `WriteZero` if a stream socket took only a part.
pub(crate) fn write_whole(fd: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    let written = if kind(fd)? == libc::S_IFSOCK {
        send(fd.as_raw_fd(), message, MsgFlags::MSG_DONTWAIT | NOSIGNAL)?
    } else {
        taking_back(Signal::SIGPIPE, Errno::EPIPE, || write_to_pipe(fd, message))?
    };
    if written < message.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(())
}

fn write_to_pipe(fd: BorrowedFd<'_>, message: &[u8]) -> nix::Result<usize> {
    let errno = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    match write_nowait(fd, message) {
        // Before Linux 6.5. A writable pipe takes this length, unless another process fills it at
        // the same moment (pipe(7)).
        Err(error) if is_unsupported(&error) => {
            let mut polled = [PollFd::new(fd, PollFlags::POLLOUT)];
            if poll(&mut polled, PollTimeout::ZERO)? == 0 {
                // The end for reading never becomes writable.
                let flags = fcntl(fd, FcntlArg::F_GETFL)?;
                return Err(match flags & libc::O_ACCMODE {
                    libc::O_RDONLY => Errno::EBADF,
                    _ => Errno::EAGAIN,
                });
            }
            nix::unistd::write(fd, message)
        }
        result => result.map_err(errno),
    }
}

fn kind(fd: BorrowedFd<'_>) -> io::Result<libc::mode_t> {
    Ok(fstat(fd)?.st_mode & libc::S_IFMT)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_full_pipe_and_a_full_socket_are_errors_and_nothing_waits() {
        let (reader, writer) = pipe().expect("free descriptors");
        let (one, other) = UnixStream::pair().expect("free descriptors");
        for fd in [writer.as_fd(), one.as_fd()] {
            let error = (0..10_000).find_map(|_| write_whole(fd, &[b'a'; 512]).err());
            let kind = error.expect("it is full").kind();
            assert!(matches!(
                kind,
                io::ErrorKind::WouldBlock | io::ErrorKind::WriteZero
            ));
        }
        drop((reader, other));
    }

    #[test]
    fn a_closed_and_a_read_only_pipe_are_errors() {
        let (reader, writer) = pipe().expect("free descriptors");
        let error = write_whole(reader.as_fd(), b"a").expect_err("it is for reading");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        drop(reader);
        let error = write_whole(writer.as_fd(), b"a").expect_err("no reader");
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    }

    #[test]
    fn the_reader_gets_the_message() {
        let (mut reader, writer) = pipe().expect("free descriptors");
        assert!(is_pipe_or_socket(&writer));
        write_whole(writer.as_fd(), b"READY=1\n").expect("the pipe is empty");
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("a text");
        assert_eq!(text, "READY=1\n");
    }
}
