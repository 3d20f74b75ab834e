//! Something to poll that another thread can ring.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

#[cfg(all(target_os = "linux", not(prefork_portable)))]
use nix::sys::eventfd::{EfdFlags, EventFd};

use self::pair::Pair;

/// Readable from the first ring on until it is silenced; rings in between are one.
#[derive(Debug)]
pub(crate) enum Bell {
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    EventFd(EventFd),
    /// Where there is no eventfd(2), or a filter of system calls refuses it.
    Pair(Pair),
}

impl Bell {
    /// # Errors
    /// No descriptors left.
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(crate) fn new() -> io::Result<Self> {
        use nix::errno::Errno;

        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        match EventFd::from_value_and_flags(0, flags) {
            Ok(event) => Ok(Self::EventFd(event)),
            Err(Errno::EPERM | Errno::ENOSYS | Errno::EACCES) => Ok(Self::Pair(Pair::new()?)),
            Err(errno) => Err(errno.into()),
        }
    }

    /// # Errors
    /// No descriptors left.
    #[cfg(not(all(target_os = "linux", not(prefork_portable))))]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::Pair(Pair::new()?))
    }

    /// Never blocks; a bell that rings already stays as it is. Only `write(2)`, so that a handler of signals may ring.
    ///
    /// A write that fails is repeated: a signal whose ring was lost would wait for the next event. `EAGAIN` means that
    /// the bell rings.
    pub(crate) fn ring(&self) {
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            let written = match self {
                #[cfg(all(target_os = "linux", not(prefork_portable)))]
                Self::EventFd(event) => event.write(1).map(drop).map_err(io::Error::from),
                Self::Pair(pair) => pair.ring(),
            };
            match written {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    /// Never blocks, also when it does not ring.
    pub(crate) fn silence(&self) {
        match self {
            #[cfg(all(target_os = "linux", not(prefork_portable)))]
            Self::EventFd(event) => drop(event.read()),
            Self::Pair(pair) => pair.silence(),
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            #[cfg(all(target_os = "linux", not(prefork_portable)))]
            Self::EventFd(event) => event.as_fd(),
            Self::Pair(pair) => pair.as_fd(),
        }
    }
}

/// Two sockets that do what an eventfd(2) does.
mod pair {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    #[derive(Debug)]
    pub(crate) struct Pair {
        reader: UnixStream,
        writer: UnixStream,
    }

    impl Pair {
        pub(super) fn new() -> io::Result<Self> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Self { reader, writer })
        }

        /// # Errors
        /// `WouldBlock` for a full socket, which rings already.
        pub(super) fn ring(&self) -> io::Result<()> {
            (&self.writer).write(&[0]).map(drop)
        }

        pub(super) fn silence(&self) {
            let mut bytes = [0; 64];
            while (&self.reader)
                .read(&mut bytes)
                .is_ok_and(|read| read == bytes.len())
            {}
        }
    }

    impl AsFd for Pair {
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
    fn it_rings_until_it_is_silenced() {
        rings_until_it_is_silenced(&Bell::new().expect("descriptors"));
        rings_until_it_is_silenced(&Bell::Pair(Pair::new().expect("descriptors")));
    }

    fn rings_until_it_is_silenced(bell: &Bell) {
        let rings = || readable(&[bell.as_fd().as_raw_fd()]) == 1;
        bell.silence();
        assert!(!rings());
        bell.ring();
        bell.ring();
        assert!(rings());
        bell.silence();
        assert!(!rings());
    }
}
