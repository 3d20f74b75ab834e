//! A descriptor that another thread closes, because its last close may block.
//!
//! **The reasoning.** A socket that was sent over a Unix socket is closed by whichever thread drops
//! the message. If this is the last reference, and the socket has unsent data and `SO_LINGER`, that
//! close waits for as long as the sender of the message wants. Before Linux 6.8 each close of a
//! Unix socket may also collect the garbage of other processes, and close what it finds.
//!
//! A plain `close(2)` on another thread is not enough. A child has a copy of every descriptor
//! between clone and exec, and the thread that starts it waits for the exec: if the other thread
//! closes in between, the child's copy is the last one. Therefore the helper thread takes a copy
//! into a descriptor table of its own, then the owner closes the shared one, which is not the last,
//! then the helper exits. The kernel closes the private table with the thread, and does not linger
//! for a thread that exits.
//!
//! **The price.** One short-lived thread for each of these descriptors.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An open descriptor; dropping it never blocks.
#[derive(Debug)]
pub(crate) struct BackgroundCloseFd {
    /// `None` only during the drop.
    fd: Option<OwnedFd>,
}

impl BackgroundCloseFd {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd: Some(fd) }
    }
}

impl AsFd for BackgroundCloseFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let fd = self.fd.as_ref();
        fd.expect("only `drop` takes it").as_fd()
    }
}

impl Drop for BackgroundCloseFd {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take() {
            closer::close(fd);
        }
    }
}

#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod closer {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use nix::unistd::{Pid, gettid};

    use crate::sys::one_shot::one_shot;
    use crate::sys::{fds, light_thread};

    /// The helper threads that this process may have at one time.
    const MAX_THREADS: usize = 16;

    /// The time that a helper thread has to copy the descriptor.
    const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

    struct Closers {
        /// Helper threads that may still run.
        threads: Vec<Pid>,
        /// Descriptors that still need a thread.
        ///
        /// The next close tries them again; the limit of open files bounds their number.
        kept: Vec<OwnedFd>,
    }

    static CLOSERS: Mutex<Closers> = Mutex::new(Closers {
        threads: Vec::new(),
        kept: Vec::new(),
    });

    /// Closes the descriptor on another thread, or keeps it open if there is none.
    pub(super) fn close(fd: OwnedFd) {
        let mut closers = CLOSERS.lock().unwrap_or_else(PoisonError::into_inner);
        closers.kept.push(fd);
        closers.threads.retain(|thread| is_running(*thread));
        while closers.threads.len() < MAX_THREADS {
            let Some(fd) = closers.kept.pop() else {
                return;
            };
            match close_on_thread(fd) {
                Ok(thread) => closers.threads.push(thread),
                Err(fd) => return closers.kept.push(fd),
            }
        }
    }

    /// Closes the shared descriptor while a helper thread holds a copy.
    ///
    /// The exit of that thread closes the copy.
    ///
    /// # Errors
    /// Returns the open descriptor if no thread or no private table is available.
    fn close_on_thread(fd: OwnedFd) -> Result<Pid, OwnedFd> {
        // The C library also needs part of it for thread locals.
        const STACK: usize = 256 * 1024;

        let number = fd.as_raw_fd();
        let (copied, has_copied) = one_shot::<io::Result<Pid>>();
        let (release, is_released) = one_shot::<()>();
        let hold = move || {
            let result = fds::keep_only(number).map(|()| gettid());
            copied.send(result);
            // Waits until the owner closes the shared descriptor: it must not be the last one.
            is_released.recv();
        };
        if light_thread::start(c"prefork-close", STACK, hold).is_err() {
            return Err(fd);
        }
        match has_copied.recv_timeout(CLOSE_TIMEOUT) {
            Some(Ok(thread)) => {
                drop(fd);
                drop(release);
                Ok(thread)
            }
            Some(Err(_)) | None => Err(fd),
        }
    }

    fn is_running(thread: Pid) -> bool {
        Path::new(&format!("/proc/self/task/{thread}")).exists()
    }
}

/// Without a master, no peer is another process, so a plain close is enough.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
mod closer {
    use std::os::fd::OwnedFd;

    pub(super) fn close(fd: OwnedFd) {
        drop(fd);
    }
}
