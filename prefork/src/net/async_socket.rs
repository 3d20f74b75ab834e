//! The socket of an accepted connection on tokio: TCP or a unix socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::Socket;

/// The socket of an accepted connection, for async code.
///
/// The address of its listener decides the kind. Later versions can add variants.
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
#[derive(Debug)]
#[non_exhaustive]
pub enum AsyncSocket {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection of a unix socket.
    Unix(UnixStream),
}

impl AsyncSocket {
    /// Registers a non-blocking socket with the runtime.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub(super) fn register(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(tcp) => TcpStream::from_std(tcp).map(Self::Tcp),
            Socket::Unix(unix) => UnixStream::from_std(unix).map(Self::Unix),
        }
    }

    fn project(self: Pin<&mut Self>) -> Inner<'_> {
        match self.get_mut() {
            Self::Tcp(tcp) => Inner::Tcp(Pin::new(tcp)),
            Self::Unix(unix) => Inner::Unix(Pin::new(unix)),
        }
    }
}

enum Inner<'a> {
    Tcp(Pin<&'a mut TcpStream>),
    Unix(Pin<&'a mut UnixStream>),
}

impl AsFd for AsyncSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp) => tcp.as_fd(),
            Self::Unix(unix) => unix.as_fd(),
        }
    }
}

impl AsyncRead for AsyncSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.project() {
            Inner::Tcp(tcp) => tcp.poll_read(cx, buffer),
            Inner::Unix(unix) => unix.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for AsyncSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.project() {
            Inner::Tcp(tcp) => tcp.poll_write(cx, buffer),
            Inner::Unix(unix) => unix.poll_write(cx, buffer),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.project() {
            Inner::Tcp(tcp) => tcp.poll_write_vectored(cx, buffers),
            Inner::Unix(unix) => unix.poll_write_vectored(cx, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets have no buffer of their own.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            Inner::Tcp(tcp) => tcp.poll_shutdown(cx),
            Inner::Unix(unix) => unix.poll_shutdown(cx),
        }
    }
}
