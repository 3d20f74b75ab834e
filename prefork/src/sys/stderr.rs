//! Writing to stderr without ever waiting for its reader.
//!
//! Other processes share stderr with this one, so that its description must not be made
//! non-blocking. How a write that does not block is done depends on what stderr is:
//!
//! - pipe: `RWF_NOWAIT` (`pwritev2(2)`), from Linux 6.5 on, and before as for a terminal
//! - socket: `MSG_DONTWAIT` (`send(2)`)
//! - terminal: a description of its own, opened by `/proc/self/fd`, with `O_NONBLOCK`. `poll(2)` is
//!   no help: a terminal is ready if it has room for one byte, and a write waits for the rest
//! - terminal or pipe that cannot be opened again (no `/proc`, or another user's): a thread writes,
//!   one line at a time
//! - everything else, above all files: a plain write. A disk is waited for; a limit of the size of
//!   files (`ulimit -f`) costs the line

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{FileStat, fstat};

#[cfg(all(target_os = "linux", not(prefork_portable)))]
use self::own::Own;
use super::pair::QUIET;

/// Pipes take as much at once without splitting it (`pipe(7)`: at least 4096 bytes).
pub(crate) const MAX_LINE: usize = 4096;

static WRITER: Mutex<Writer> = Mutex::new(Writer::new());

/// Writes one line if that is possible now.
///
/// Of a line that was taken in part, the rest is written before the next line.
///
/// # Errors
/// `WouldBlock` if nothing of it was taken because nobody reads; `EBADF`, `EPIPE` and the like.
pub(crate) fn write_now(line: &[u8]) -> io::Result<()> {
    let mut writer = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    writer.write(io::stderr().as_fd(), line)
}

/// What is known of the file that was written to last.
struct Writer {
    file: Option<Identity>,
    /// Of a line that was taken in part, what is left.
    rest: Vec<u8>,
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    own: Own,
}

/// `dup2(2)` may put another file in the place of stderr at any time.
type Identity = (libc::dev_t, libc::ino_t, libc::dev_t);

impl Writer {
    const fn new() -> Self {
        Self {
            file: None,
            rest: Vec::new(),
            #[cfg(all(target_os = "linux", not(prefork_portable)))]
            own: Own::new(),
        }
    }

    fn write(&mut self, stderr: BorrowedFd<'_>, line: &[u8]) -> io::Result<()> {
        let line = &line[..line.len().min(MAX_LINE)];
        let stat = fstat(stderr)?;
        let file = Some((stat.st_dev, stat.st_ino, stat.st_rdev));
        if self.file != file {
            // The rest of a line belongs to the file that has its beginning.
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

    /// Writes as much as is possible now; returns how much that was.
    fn write_some(
        &mut self,
        stderr: BorrowedFd<'_>,
        stat: FileStat,
        text: &[u8],
    ) -> io::Result<usize> {
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFSOCK => {
                let flags = MsgFlags::MSG_DONTWAIT | QUIET;
                Ok(send(stderr.as_raw_fd(), text, flags)?)
            }
            libc::S_IFIFO => match write_nowait(stderr, text) {
                Err(error) if is_unsupported(&error) => self.write_otherwise(stderr, text),
                result => result,
            },
            libc::S_IFCHR => self.write_otherwise(stderr, text),
            _ => without_limit(|| nix::unistd::write(stderr, text)),
        }
    }

    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    fn write_otherwise(&mut self, stderr: BorrowedFd<'_>, text: &[u8]) -> io::Result<usize> {
        self.own.write(stderr, text)
    }

    /// No master runs here, which alone must never wait.
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

fn is_unsupported(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(
        number,
        Some(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL)
    )
}

/// A terminal with `stty tostop` sends SIGTTOU to background processes that write. With a handler
/// the write would begin again, and be signaled again, without end; blocked, it goes through
/// (termios(3), TOSTOP).
fn without_stop<T>(write: impl FnOnce() -> nix::Result<T>) -> io::Result<T> {
    let stop = SigSet::from(Signal::SIGTTOU);
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&stop), Some(&mut before))?;
    let result = write();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    Ok(result?)
}

/// A file may have reached the limit of this process (`RLIMIT_FSIZE` of `getrlimit(2)`). The write fails then, and the
/// kernel sends the thread SIGXFSZ, whose default would end the process for a line of its log: it is taken back.
fn without_limit<T>(write: impl FnOnce() -> nix::Result<T>) -> io::Result<T> {
    let limit = SigSet::from(Signal::SIGXFSZ);
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&limit), Some(&mut before))?;
    let result = write();
    if matches!(result, Err(Errno::EFBIG)) && is_pending(Signal::SIGXFSZ) {
        let _ = limit.wait();
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    Ok(result?)
}

/// Whether a signal waits that this thread blocks.
fn is_pending(signal: Signal) -> bool {
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: a place for a set, which the call fills.
    if unsafe { libc::sigpending(pending.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call has succeeded.
    let pending = unsafe { pending.assume_init() };
    // SAFETY: it comes from the C library.
    unsafe { SigSet::from_sigset_t_unchecked(pending) }.contains(signal)
}

/// `pwritev2(2)` at the current place with `RWF_NOWAIT`.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn write_nowait(stderr: BorrowedFd<'_>, text: &[u8]) -> io::Result<usize> {
    let part = libc::iovec {
        iov_base: text.as_ptr().cast_mut().cast(),
        iov_len: text.len(),
    };
    // SAFETY: one part, which describes `text`; the kernel only reads it. The offset −1 (both
    // halves of it) means the file's own place.
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
fn write_nowait(_stderr: BorrowedFd<'_>, _text: &[u8]) -> io::Result<usize> {
    Err(Errno::EOPNOTSUPP.into())
}

/// Terminals, and pipes on older kernels.
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
    use crate::sys::thread;

    /// How long a thread is waited for that writes a line. It takes microseconds if somebody reads.
    const PATIENCE: Duration = Duration::from_millis(50);

    /// A way to the file that does not block, whatever the shared description does.
    pub(super) struct Own {
        pub(super) description: Option<File>,
        /// The thread that writes the last line still.
        writing: Option<Receiver<()>>,
    }

    impl Own {
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
                // The terminal of this description was closed; stderr may be a new one of the same
                // number.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    let description = open_again(stderr)?;
                    let result = write(description.as_fd(), text);
                    self.description = Some(description);
                    result
                }
                result => result,
            }
        }

        /// The line counts as taken when a thread has it, which may wait for the reader then.
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
                        // There is no other way to report it.
                        Err(_) => break,
                    }
                }
                let _ = done.send(());
            };
            thread::start(c"prefork-stderr", STACK, write_all)?;
            self.writing = match is_done.recv_timeout(PATIENCE) {
                Ok(()) => None,
                Err(_) => Some(is_done),
            };
            Ok(text.len())
        }
    }

    /// Opens the file of a descriptor anew (`proc_pid_fd(5)`).
    fn open_again(fd: BorrowedFd<'_>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        options.open(format!("/proc/self/fd/{}", fd.as_raw_fd()))
    }

    fn write(file: BorrowedFd<'_>, text: &[u8]) -> io::Result<usize> {
        match without_stop(|| nix::unistd::write(file, text)) {
            // Interrupted before it took a byte.
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

    /// Writes numbered lines until one is refused; returns how many were taken.
    fn fill(writer: &mut Writer, to: impl AsFd) -> usize {
        let refused = (0..100_000).find_map(|number| {
            let line = format!("line {number}\n");
            let error = writer.write(to.as_fd(), line.as_bytes()).err()?;
            Some((number, error.kind()))
        });
        let (taken, kind) = refused.expect("nobody reads");
        assert_eq!(kind, io::ErrorKind::WouldBlock);
        taken
    }

    /// Reads all lines that wait, after one more was written behind them.
    fn whole_lines(writer: &mut Writer, to: impl AsFd, from: &mut impl Read) -> Vec<String> {
        let mut text = Vec::new();
        let mut is_last_written = false;
        let mut buffer = [0; 4096];
        while !text.ends_with(b"last\n") {
            let count = from.read(&mut buffer).expect("readable");
            text.extend(buffer[..count].iter().filter(|byte| **byte != b'\r'));
            is_last_written = is_last_written || writer.write(to.as_fd(), b"last\n").is_ok();
        }
        let text = String::from_utf8(text).expect("as it was written");
        text.lines().map(str::to_owned).collect()
    }

    fn is_complete(lines: &[String], taken: usize) {
        let expected: Vec<_> = (0..taken).map(|number| format!("line {number}")).collect();
        assert_eq!(lines[..taken], expected);
        // Nothing stands between, and nothing of what was refused.
        assert_eq!(lines[taken..], ["last"]);
    }

    #[test]
    fn a_terminal_that_nobody_reads_refuses_lines_and_cuts_none() {
        let pty = openpty(None, None).expect("a terminal");
        let mut writer = Writer::new();
        let taken = fill(&mut writer, &pty.slave);
        assert!(taken > 10, "{taken}");
        let mut master = File::from(pty.master);
        let lines = whole_lines(&mut writer, &pty.slave, &mut master);
        is_complete(&lines, taken);
    }

    #[test]
    fn the_shared_description_of_a_terminal_stays_blocking() {
        let pty = openpty(None, None).expect("a terminal");
        Writer::new()
            .write(pty.slave.as_fd(), b"x\n")
            .expect("room");
        let flags = fcntl(&pty.slave, FcntlArg::F_GETFL).expect("open");
        assert!(!OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK));
    }

    #[test]
    fn a_pipe_and_a_socket_that_nobody_reads_refuse_lines_and_cut_none() {
        let (mut reader, pipe) = io::pipe().expect("descriptors");
        let mut writer = Writer::new();
        let taken = fill(&mut writer, &pipe);
        is_complete(&whole_lines(&mut writer, &pipe, &mut reader), taken);

        let (mut far, near) = UnixStream::pair().expect("descriptors");
        // So small that a line does not fit in one part.
        let socket = socket2::SockRef::from(&near);
        socket.set_send_buffer_size(1).expect("a socket");
        let taken = fill(&mut writer, &near);
        is_complete(&whole_lines(&mut writer, &near, &mut far), taken);
    }

    #[test]
    fn a_pipe_is_opened_again_where_a_write_cannot_be_told_not_to_wait() {
        let (mut reader, pipe) = io::pipe().expect("descriptors");
        let mut own = Own::new();
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
    fn a_file_that_takes_the_place_of_stderr_gets_the_next_line_whole() {
        let pty = openpty(None, None).expect("a terminal");
        let mut writer = Writer::new();
        fill(&mut writer, &pty.slave);
        let other = openpty(None, None).expect("a terminal");
        writer.write(other.slave.as_fd(), b"next\n").expect("room");
        let mut buffer = [0; 64];
        let count = File::from(other.master)
            .read(&mut buffer)
            .expect("readable");
        assert_eq!(&buffer[..count], b"next\r\n");
    }

    #[test]
    fn a_log_that_is_appended_to_stays_so() {
        let mut log = tempfile::tempfile().expect("a file");
        fcntl(&log, FcntlArg::F_SETFL(OFlag::O_APPEND)).expect("a file");
        let mut writer = Writer::new();
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
