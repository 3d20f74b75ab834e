//! A pollable waker: one thread polls it, another thread or a signal handler wakes it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

#[cfg(all(target_os = "linux", not(prefork_portable)))]
use nix::sys::eventfd::{EfdFlags, EventFd};

use self::pair::WakerPair;

/// A descriptor that is readable from the first `wake` until `clear`.
#[derive(Debug)]
pub(crate) enum Waker {
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    EventFd(EventFd),
    /// If the system has no eventfd(2), or a seccomp filter rejects it.
    Pair(WakerPair),
}

impl Waker {
    /// Creates a waker that is not readable.
    ///
    /// # Errors
    /// No descriptors left.
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(crate) fn new() -> io::Result<Self> {
        use nix::errno::Errno;

        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        match EventFd::from_value_and_flags(0, flags) {
            Ok(event) => Ok(Self::EventFd(event)),
            Err(Errno::EPERM | Errno::ENOSYS | Errno::EACCES) => Ok(Self::Pair(WakerPair::new()?)),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Creates a waker that is not readable.
    ///
    /// # Errors
    /// No descriptors left.
    #[cfg(not(all(target_os = "linux", not(prefork_portable))))]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::Pair(WakerPair::new()?))
    }

    /// Makes the descriptor readable. Never blocks.
    ///
    /// It only calls `write(2)`, so a signal handler may call it. It repeats a failed write,
    /// because the signal would otherwise wait for the next event. `EAGAIN` means that the
    /// descriptor is readable already.
    pub(crate) fn wake(&self) {
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            let written = match self {
                #[cfg(all(target_os = "linux", not(prefork_portable)))]
                Self::EventFd(event) => event.write(1).map(drop).map_err(io::Error::from),
                Self::Pair(pair) => pair.wake(),
            };
            match written {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    /// Makes the descriptor unreadable. Never blocks.
    pub(crate) fn clear(&self) {
        match self {
            #[cfg(all(target_os = "linux", not(prefork_portable)))]
            Self::EventFd(event) => drop(event.read()),
            Self::Pair(pair) => pair.clear(),
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            #[cfg(all(target_os = "linux", not(prefork_portable)))]
            Self::EventFd(event) => event.as_fd(),
            Self::Pair(pair) => pair.as_fd(),
        }
    }
}

/// A socket pair, as a replacement of an eventfd(2).
mod pair {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    #[derive(Debug)]
    pub(crate) struct WakerPair {
        reader: UnixStream,
        writer: UnixStream,
    }

    impl WakerPair {
        pub(super) fn new() -> io::Result<Self> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Self { reader, writer })
        }

        /// # Errors
        /// `WouldBlock` if the socket is full, which means that it is readable already.
        pub(super) fn wake(&self) -> io::Result<()> {
            (&self.writer).write(&[0]).map(drop)
        }

        pub(super) fn clear(&self) {
            let mut bytes = [0; 64];
            while (&self.reader)
                .read(&mut bytes)
                .is_ok_and(|read| read == bytes.len())
            {}
        }
    }

    impl AsFd for WakerPair {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.reader.as_fd()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fds::readable;
    use std::os::fd::AsRawFd;

    #[test]
    fn it_is_readable_from_wake_to_clear() {
        is_readable_from_wake_to_clear(&Waker::new().expect("descriptors"));
        is_readable_from_wake_to_clear(&Waker::Pair(WakerPair::new().expect("descriptors")));
    }

    fn is_readable_from_wake_to_clear(waker: &Waker) {
        let is_readable = || readable(&[waker.as_fd().as_raw_fd()]) == 1;
        waker.clear();
        assert!(!is_readable());
        waker.wake();
        waker.wake();
        assert!(is_readable());
        waker.clear();
        assert!(!is_readable());
    }
}
