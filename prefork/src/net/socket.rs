//! The socket of an accepted connection: TCP or a unix socket.
//!
//! It knows the two kinds and nothing about listeners and drains.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use prefork_options::Addr;

/// The socket of an accepted connection, for blocking code.
///
/// The address of its listener decides the kind. Later versions can add variants.
#[derive(Debug)]
#[non_exhaustive]
pub enum Socket {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection of a unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// The socket of a connection with this client.
    pub(super) fn new(fd: OwnedFd, peer: &Addr) -> Self {
        match peer {
            Addr::Ip(_) => Self::Tcp(fd.into()),
            // The other families are those of unix sockets.
            _ => Self::Unix(fd.into()),
        }
    }

    /// Returns a second descriptor of the socket.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(tcp) => tcp.try_clone().map(Self::Tcp),
            Self::Unix(unix) => unix.try_clone().map(Self::Unix),
        }
    }

    /// Closes the receiving side, the sending side or both (shutdown(2)).
    ///
    /// # Errors
    /// The connection is closed.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.shutdown(how),
            Self::Unix(unix) => unix.shutdown(how),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp) => tcp.as_fd(),
            Self::Unix(unix) => unix.as_fd(),
        }
    }
}

impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(tcp) => (&mut &*tcp).read(buffer),
            Socket::Unix(unix) => (&mut &*unix).read(buffer),
        }
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(tcp) => (&mut &*tcp).read_vectored(buffers),
            Socket::Unix(unix) => (&mut &*unix).read_vectored(buffers),
        }
    }
}

impl Write for &Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(tcp) => (&mut &*tcp).write(buffer),
            Socket::Unix(unix) => (&mut &*unix).write(buffer),
        }
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(tcp) => (&mut &*tcp).write_vectored(buffers),
            Socket::Unix(unix) => (&mut &*unix).write_vectored(buffers),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&mut &*self).read_vectored(buffers)
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&mut &*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
