//! Writing to stderr without ever waiting for its reader.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};

/// Pipes take as much at once without splitting it (`pipe(7)`: at least 4096 bytes).
pub(crate) const MAX_LINE: usize = 4096;

/// Writes one line if that is possible now.
///
/// # Errors
/// `WouldBlock` when nobody reads; `EBADF`, `EPIPE` and the like when nobody will.
pub(crate) fn write_now(line: &[u8]) -> io::Result<()> {
    let line = &line[..line.len().min(MAX_LINE)];
    let written = if has_reader() {
        match write_nowait(line) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => write_if_ready(line),
            other => other,
        }
    } else {
        // A disk is waited for; it would only be asked again (and some file systems say
        // 'would block' to every write like the above).
        write_if_ready(line)
    }?;
    if written < line.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(())
}

/// Whether somebody at another end has to read what is written.
fn has_reader() -> bool {
    let kind = nix::sys::stat::fstat(io::stderr()).map(|stat| stat.st_mode & libc::S_IFMT);
    matches!(kind, Ok(libc::S_IFIFO | libc::S_IFSOCK))
}

/// `pwritev2(2)` at the current place with `RWF_NOWAIT`.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn write_nowait(line: &[u8]) -> io::Result<usize> {
    let part = libc::iovec {
        iov_base: line.as_ptr().cast_mut().cast(),
        iov_len: line.len(),
    };
    let number = io::stderr().as_raw_fd();
    // SAFETY: one part, which describes `line`; the kernel only reads it. The offset −1 (both
    // halves of it) means the file's own place.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pwritev2,
            number,
            &raw const part,
            1,
            -1_i64,
            -1_i64,
            libc::RWF_NOWAIT,
        )
    };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
fn write_nowait(_line: &[u8]) -> io::Result<usize> {
    Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}

/// A file that is ready takes a line as short as ours whole; only somebody who fills a pipe
/// between the two calls could make us wait.
fn write_if_ready(line: &[u8]) -> io::Result<usize> {
    let stderr = io::stderr();
    // A terminal with `stty tostop` sends this to background processes that write. With a handler
    // the write would begin again, and be signalled again, without end; blocked, it goes through
    // (termios(3), TOSTOP).
    let stop = SigSet::from(Signal::SIGTTOU);
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&stop), Some(&mut before))?;
    let result = poll_and_write(stderr.as_fd(), line);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    result
}

fn poll_and_write(stderr: BorrowedFd<'_>, line: &[u8]) -> io::Result<usize> {
    let mut polled = [PollFd::new(stderr, PollFlags::POLLOUT)];
    if poll(&mut polled, PollTimeout::ZERO)? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(nix::unistd::write(stderr, line)?)
}
