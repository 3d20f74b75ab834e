//! Writes lines to stderr without waiting for its reader.
//!
//! Other processes share stderr with this one, so its open file description must stay blocking. The
//! kind of stderr decides how a line is written:
//!
//! - Pipe: with `RWF_NOWAIT` (`pwritev2(2)`); before Linux 6.5, like a terminal.
//! - Socket: with `MSG_DONTWAIT` (`send(2)`).
//! - Terminal: to a separate description with `O_NONBLOCK`, opened through `/proc/self/fd`.
//!   `poll(2)` does not help: a terminal is writable if it can take one byte, and a write then
//!   waits for the rest.
//! - Terminal or pipe that cannot be opened again (no `/proc`, or owned by another user): on a
//!   thread, one line at a time.
//! - Everything else, mostly files: with a plain write, which waits for the disk. If the file has
//!   reached the size limit of the process (`ulimit -f`), the line is dropped.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{FileStat, fstat};

#[cfg(all(target_os = "linux", not(prefork_portable)))]
use self::own::OwnDescription;
use super::seqpacket::NOSIGNAL;

/// The longest line in bytes.
///
/// A pipe takes a line of this length as a whole (`PIPE_BUF` in pipe(7)).
pub(crate) const MAX_LINE: usize = 4096;

static WRITER: Mutex<StderrWriter> = Mutex::new(StderrWriter::new());

/// Writes one line if this is possible without waiting.
///
/// If stderr takes only a part of the line, the rest is written before the next line.
///
/// # Errors
/// `WouldBlock` if stderr took nothing of the line; `EBADF`, `EPIPE` and other errors of the write.
pub(crate) fn write_now(line: &[u8]) -> io::Result<()> {
    let mut writer = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    writer.write(io::stderr().as_fd(), line)
}

/// Whether stderr has room for log lines besides other output.
///
/// A pipe or a socket has room if it is at most a quarter full. A pipe of 16 pages is full after 16
/// writes of more than half a page, so its bytes are not its whole length. All others have room.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn has_room() -> bool {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::sys::socket::{getsockopt, sockopt::SndBuf};

    let stderr = io::stderr();
    let Ok(stat) = fstat(&stderr) else {
        return true;
    };
    let (request, capacity) = match stat.st_mode & libc::S_IFMT {
        libc::S_IFIFO => {
            let size = fcntl(&stderr, FcntlArg::F_GETPIPE_SZ);
            (
                libc::FIONREAD,
                size.ok().and_then(|size| usize::try_from(size).ok()),
            )
        }
        libc::S_IFSOCK => (libc::TIOCOUTQ, getsockopt(&stderr, SndBuf).ok()),
        _ => return true,
    };
    let mut queued: libc::c_int = 0;
    // SAFETY: both requests store one integer, which outlives the call.
    let result = unsafe { libc::ioctl(stderr.as_raw_fd(), request, &raw mut queued) };
    let queued = usize::try_from(queued).unwrap_or(0);
    result < 0 || capacity.is_none_or(|capacity| queued <= capacity / 4)
}

/// The state of the last write.
struct StderrWriter {
    file: Option<FileIdentity>,
    /// The rest of a line that was written in part.
    rest: Vec<u8>,
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    own: OwnDescription,
}

/// Identifies the file behind stderr, because `dup2(2)` may replace it at any time.
type FileIdentity = (libc::dev_t, libc::ino_t, libc::dev_t);

impl StderrWriter {
    const fn new() -> Self {
        Self {
            file: None,
            rest: Vec::new(),
            #[cfg(all(target_os = "linux", not(prefork_portable)))]
            own: OwnDescription::new(),
        }
    }

    fn write(&mut self, stderr: BorrowedFd<'_>, line: &[u8]) -> io::Result<()> {
        let line = &line[..line.len().min(MAX_LINE)];
        let stat = fstat(stderr)?;
        let file = Some((stat.st_dev, stat.st_ino, stat.st_rdev));
        if self.file != file {
            // The rest of a line belongs to the previous file.
            *self = Self::new();
            self.file = file;
        }
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            let result = self.write_some(stderr, stat, &rest);
            let written = *result.as_ref().unwrap_or(&0);
            self.rest = rest[written..].to_vec();
            if written < rest.len() {
                return result.and(Err(io::ErrorKind::WouldBlock.into()));
            }
        }
        let written = self.write_some(stderr, stat, line)?;
        if written == 0 && !line.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.rest = line[written..].to_vec();
        Ok(())
    }

    /// Writes as many bytes as possible without waiting, and returns their number.
    fn write_some(
        &mut self,
        stderr: BorrowedFd<'_>,
        stat: FileStat,
        text: &[u8],
    ) -> io::Result<usize> {
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFSOCK => {
                let flags = MsgFlags::MSG_DONTWAIT | NOSIGNAL;
                Ok(send(stderr.as_raw_fd(), text, flags)?)
            }
            libc::S_IFIFO => match write_nowait(stderr, text) {
                Err(error) if is_unsupported(&error) => self.write_otherwise(stderr, text),
                result => result,
            },
            libc::S_IFCHR => self.write_otherwise(stderr, text),
            // A file that has reached the size limit of this process (`RLIMIT_FSIZE`).
            _ => taking_back(Signal::SIGXFSZ, Errno::EFBIG, || {
                nix::unistd::write(stderr, text)
            }),
        }
    }

    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    fn write_otherwise(&mut self, stderr: BorrowedFd<'_>, text: &[u8]) -> io::Result<usize> {
        self.own.write(stderr, text)
    }

    /// Writes if `poll(2)` reports stderr as writable, although the write may wait.
    ///
    /// Only a master must never wait, and no master runs on this system.
    #[cfg(not(all(target_os = "linux", not(prefork_portable))))]
    fn write_otherwise(&mut self, stderr: BorrowedFd<'_>, text: &[u8]) -> io::Result<usize> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

        let _ = &self.rest;
        without_stop(|| {
            let mut polled = [PollFd::new(stderr, PollFlags::POLLOUT)];
            if poll(&mut polled, PollTimeout::ZERO)? == 0 {
                return Err(Errno::EAGAIN);
            }
            nix::unistd::write(stderr, text)
        })
    }
}

pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(
        number,
        Some(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL)
    )
}

/// Runs a write with SIGTTOU blocked.
///
/// A terminal with `stty tostop` sends SIGTTOU to background processes that write. With a handler,
/// the write would be restarted and interrupted again, endlessly. With the signal blocked, the
/// write succeeds (termios(3), TOSTOP).
fn without_stop<T>(write: impl FnOnce() -> nix::Result<T>) -> io::Result<T> {
    let stop = SigSet::from(Signal::SIGTTOU);
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&stop), Some(&mut before))?;
    let result = write();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    Ok(result?)
}

/// Runs a write that the kernel may answer with this error and this signal to the thread.
///
/// The default action of the signal ends the process. This function takes the signal back.
pub(super) fn taking_back<T>(
    signal: Signal,
    with: Errno,
    write: impl FnOnce() -> nix::Result<T>,
) -> io::Result<T> {
    let limit = SigSet::from(signal);
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&limit), Some(&mut before))?;
    let result = write();
    if result.as_ref().err() == Some(&with) && is_pending(signal) {
        let _ = limit.wait();
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    Ok(result?)
}

/// Whether a blocked signal is pending for this thread.
fn is_pending(signal: Signal) -> bool {
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is valid for a set, which the call fills.
    if unsafe { libc::sigpending(pending.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call has succeeded, so the set is initialized.
    let pending = unsafe { pending.assume_init() };
    // SAFETY: the set comes from the C library.
    unsafe { SigSet::from_sigset_t_unchecked(pending) }.contains(signal)
}

/// Calls `pwritev2(2)` at the current offset, with `RWF_NOWAIT`.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(super) fn write_nowait(stderr: BorrowedFd<'_>, text: &[u8]) -> io::Result<usize> {
    let part = libc::iovec {
        iov_base: text.as_ptr().cast_mut().cast(),
        iov_len: text.len(),
    };
    // SAFETY: one part, which describes `text`; the kernel only reads it. The offset −1, in two
    // halves, is the current offset of the file.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pwritev2,
            stderr.as_raw_fd(),
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
pub(super) fn write_nowait(_stderr: BorrowedFd<'_>, _text: &[u8]) -> io::Result<usize> {
    Err(Errno::EOPNOTSUPP.into())
}

/// Writes to terminals, and to pipes on older kernels.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod own {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
    use std::os::unix::fs::OpenOptionsExt;
    use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
    use std::time::Duration;

    use nix::errno::Errno;

    use super::without_stop;
    use crate::sys::light_thread;

    /// How long to wait for a thread that writes a line.
    ///
    /// It takes microseconds if a reader reads.
    const WRITE_TIMEOUT: Duration = Duration::from_millis(50);

    /// A non-blocking description of the file behind stderr, or a thread that writes.
    pub(super) struct OwnDescription {
        pub(super) description: Option<File>,
        /// The thread that still writes the last line.
        writing: Option<Receiver<()>>,
    }

    impl OwnDescription {
        pub(super) const fn new() -> Self {
            Self {
                description: None,
                writing: None,
            }
        }

        pub(super) fn write(&mut self, stderr: BorrowedFd<'_>, text: &[u8]) -> io::Result<usize> {
            if self.description.is_none() {
                self.description = open_again(stderr).ok();
            }
            let Some(description) = &self.description else {
                return self.write_on_a_thread(stderr, text);
            };
            match write(description.as_fd(), text) {
                // The terminal of this description was closed. Stderr may be a new terminal with
                // the same device number.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    let description = open_again(stderr)?;
                    let result = write(description.as_fd(), text);
                    self.description = Some(description);
                    result
                }
                result => result,
            }
        }

        /// Passes the line to a thread, which may wait for the reader.
        ///
        /// The line counts as written.
        fn write_on_a_thread(&mut self, stderr: BorrowedFd<'_>, text: &[u8]) -> io::Result<usize> {
            const STACK: usize = 256 * 1024;

            let before = self.writing.as_ref().map(Receiver::try_recv);
            if before == Some(Err(TryRecvError::Empty)) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let shared = stderr.try_clone_to_owned()?;
            let line = text.to_vec();
            let (done, is_done) = sync_channel(1);
            let write_all = move || {
                let mut rest = &line[..];
                while !rest.is_empty() {
                    match write(shared.as_fd(), rest) {
                        Ok(written) => rest = &rest[written..],
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        // There is no way to report the error.
                        Err(_) => break,
                    }
                }
                let _ = done.send(());
            };
            light_thread::start(c"prefork-stderr", STACK, write_all)?;
            self.writing = match is_done.recv_timeout(WRITE_TIMEOUT) {
                Ok(()) => None,
                Err(_) => Some(is_done),
            };
            Ok(text.len())
        }
    }

    /// Opens the file of a descriptor again (`proc_pid_fd(5)`).
    fn open_again(fd: BorrowedFd<'_>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        options.open(format!("/proc/self/fd/{}", fd.as_raw_fd()))
    }

    fn write(file: BorrowedFd<'_>, text: &[u8]) -> io::Result<usize> {
        match without_stop(|| nix::unistd::write(file, text)) {
            // Interrupted before a byte was written.
            Err(error) if error.raw_os_error() == Some(Errno::EINTR as i32) => {
                without_stop(|| nix::unistd::write(file, text))
            }
            result => result,
        }
    }
}

#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::pty::openpty;

    use super::*;

    /// Writes numbered lines until one is rejected; returns the number of written lines.
    fn fill(writer: &mut StderrWriter, to: impl AsFd) -> usize {
        let rejected = (0..100_000).find_map(|number| {
            let line = format!("line {number}\n");
            let error = writer.write(to.as_fd(), line.as_bytes()).err()?;
            Some((number, error.kind()))
        });
        let (taken, kind) = rejected.expect("the file has no reader");
        assert_eq!(kind, io::ErrorKind::WouldBlock);
        taken
    }

    /// Reads all lines, including a last line that is written after them.
    fn whole_lines(writer: &mut StderrWriter, to: impl AsFd, from: &mut impl Read) -> Vec<String> {
        let mut text = Vec::new();
        let mut is_last_written = false;
        let mut buffer = [0; 4096];
        while !text.ends_with(b"last\n") {
            let count = from.read(&mut buffer).expect("readable");
            text.extend(buffer[..count].iter().filter(|byte| **byte != b'\r'));
            is_last_written = is_last_written || writer.write(to.as_fd(), b"last\n").is_ok();
        }
        let text = String::from_utf8(text).expect("UTF-8, as it was written");
        text.lines().map(str::to_owned).collect()
    }

    fn is_complete(lines: &[String], taken: usize) {
        let expected: Vec<_> = (0..taken).map(|number| format!("line {number}")).collect();
        assert_eq!(lines[..taken], expected);
        // No part of a rejected line.
        assert_eq!(lines[taken..], ["last"]);
    }

    #[test]
    fn a_terminal_without_a_reader_rejects_lines_and_cuts_none() {
        let pty = openpty(None, None).expect("a terminal");
        let mut writer = StderrWriter::new();
        let taken = fill(&mut writer, &pty.slave);
        assert!(taken > 10, "{taken}");
        let mut master = File::from(pty.master);
        let lines = whole_lines(&mut writer, &pty.slave, &mut master);
        is_complete(&lines, taken);
    }

    #[test]
    fn the_shared_description_of_a_terminal_stays_blocking() {
        let pty = openpty(None, None).expect("a terminal");
        StderrWriter::new()
            .write(pty.slave.as_fd(), b"x\n")
            .expect("a writable terminal");
        let flags = fcntl(&pty.slave, FcntlArg::F_GETFL).expect("open");
        assert!(!OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK));
    }

    #[test]
    fn a_pipe_and_a_socket_without_a_reader_reject_lines_and_cut_none() {
        let (mut reader, pipe) = io::pipe().expect("descriptors");
        let mut writer = StderrWriter::new();
        let taken = fill(&mut writer, &pipe);
        is_complete(&whole_lines(&mut writer, &pipe, &mut reader), taken);

        let (mut far, near) = UnixStream::pair().expect("descriptors");
        // So small that a line is written in parts.
        let socket = socket2::SockRef::from(&near);
        socket.set_send_buffer_size(1).expect("a socket");
        let taken = fill(&mut writer, &near);
        is_complete(&whole_lines(&mut writer, &near, &mut far), taken);
    }

    #[test]
    fn a_pipe_is_opened_again_if_the_kernel_lacks_nowait_writes() {
        let (mut reader, pipe) = io::pipe().expect("descriptors");
        let mut own = OwnDescription::new();
        let line = [b'x'; MAX_LINE];
        let taken = (0..1000).take_while(|_| own.write(pipe.as_fd(), &line).is_ok());
        let taken = taken.count();
        assert!(own.description.is_some());
        drop((own, pipe));
        let mut text = Vec::new();
        reader.read_to_end(&mut text).expect("readable");
        assert_eq!(text.len(), taken * MAX_LINE);
    }

    #[test]
    fn a_file_that_replaces_stderr_gets_the_whole_next_line() {
        let pty = openpty(None, None).expect("a terminal");
        let mut writer = StderrWriter::new();
        fill(&mut writer, &pty.slave);
        let other = openpty(None, None).expect("a terminal");
        writer
            .write(other.slave.as_fd(), b"next\n")
            .expect("a writable terminal");
        let mut buffer = [0; 64];
        let count = File::from(other.master)
            .read(&mut buffer)
            .expect("readable");
        assert_eq!(&buffer[..count], b"next\r\n");
    }

    #[test]
    fn a_line_is_appended_to_a_file_in_append_mode() {
        let mut log = tempfile::tempfile().expect("a file");
        fcntl(&log, FcntlArg::F_SETFL(OFlag::O_APPEND)).expect("a file");
        let mut writer = StderrWriter::new();
        writer.write(log.as_fd(), b"one\n").expect("a disk");
        io::Seek::rewind(&mut log).expect("a file");
        log.flush().expect("a file");
        writer.write(log.as_fd(), b"two\n").expect("a disk");
        io::Seek::rewind(&mut log).expect("a file");
        let mut text = String::new();
        log.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "one\ntwo\n");
    }
}
