//! Something to poll that another thread can ring.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
use self::portable::Inner;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
use nix::sys::eventfd::EventFd as Inner;

/// Readable from the first ring on until it is silenced; rings in between are one.
#[derive(Debug)]
pub(crate) struct Bell(Inner);

impl Bell {
    /// # Errors
    /// No descriptors left.
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(crate) fn new() -> io::Result<Self> {
        use nix::sys::eventfd::EfdFlags;

        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self(Inner::from_value_and_flags(0, flags)?))
    }

    /// # Errors
    /// No descriptors left.
    #[cfg(not(all(target_os = "linux", not(prefork_portable))))]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Inner::new()?))
    }

    /// Never blocks; a bell that rings already stays as it is.
    pub(crate) fn ring(&self) {
        let _ = self.0.write(1);
    }

    /// Never blocks, also when it does not ring.
    pub(crate) fn silence(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Where there is no eventfd(2): a pair of sockets with the same methods.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
mod portable {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    #[derive(Debug)]
    pub(super) struct Inner {
        reader: UnixStream,
        writer: UnixStream,
    }

    impl Inner {
        pub(super) fn new() -> io::Result<Self> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Self { reader, writer })
        }

        pub(super) fn write(&self, _: u64) -> io::Result<()> {
            (&self.writer).write(&[0]).map(drop)
        }

        pub(super) fn read(&self) -> io::Result<()> {
            let mut bytes = [0; 64];
            while (&self.reader).read(&mut bytes)? == bytes.len() {}
            Ok(())
        }
    }

    impl AsFd for Inner {
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
        let bell = Bell::new().expect("descriptors");
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
