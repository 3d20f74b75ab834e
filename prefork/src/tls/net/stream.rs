//! An accepted connection whose TLS handshake is complete.
//!
//! Like the plain stream it remembers whether the application has read from it. Reads of the
//! handshake do not count: they contain no request.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use prefork_options::Addr;
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server;

use crate::net::stream::{peer_addr, set_nodelay};
use crate::net::{AsyncSocket, Stream};

/// An accepted TLS connection, returned by [`TlsListener::accept`](super::TlsListener::accept).
///
/// `AsyncWriteExt::shutdown` sends `close_notify` (RFC 8446, 6.1), which proves to the client that
/// the data is complete, and closes the sending side. Dropping the stream closes the socket without
/// `close_notify`, as in `tokio_rustls`; bytes that were written and not flushed may be lost.
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
#[derive(Debug)]
pub struct TlsStream {
    /// Boxed: a TLS session is large, and servers move their streams.
    inner: Stream<Box<server::TlsStream<AsyncSocket>>>,
}

impl TlsStream {
    pub(super) fn new(mut inner: Stream<Box<server::TlsStream<AsyncSocket>>>) -> Self {
        // With TLS 1.2 the client waits for the server's Finished before it sends a request.
        inner.note_answered();
        let (_, session) = inner.io.get_mut();
        // Nothing is left to process; the call only returns how many bytes the session holds.
        let state = session.process_new_packets();
        if state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0) {
            inner.note_holds_bytes();
        }
        Self { inner }
    }

    /// Returns the address of the client.
    ///
    /// # Errors
    /// The error of getpeername(2): the connection is closed.
    pub fn peer_addr(&self) -> io::Result<Addr> {
        peer_addr(self.as_fd())
    }

    /// Sets the value of the option `TCP_NODELAY` (tcp(7)).
    ///
    /// If it is true, the kernel sends small writes without delay. Default: the option `nodelay` of
    /// the listener, or false. A unix socket never delays a write, so there it does nothing.
    ///
    /// # Errors
    /// The error of setsockopt(2): the connection is closed.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        set_nodelay(self.as_fd(), nodelay)
    }

    /// Returns the negotiated protocol (ALPN, RFC 7301), such as `b"h2"`.
    ///
    /// `None` if the client offered no protocol or the configuration contains none.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session().alpn_protocol()
    }

    /// Returns the server name that the client requested (SNI, RFC 6066).
    ///
    /// The name is in lower case. `None` if the client requested none.
    pub fn server_name(&self) -> Option<&str> {
        self.session().server_name()
    }

    /// Returns the certificate chain of the client, its own certificate first.
    ///
    /// `None` if the configuration does not request certificates or the client sent none. With
    /// axum, a handler gets them as connect info through an
    /// `impl Connected<IncomingStream<'_, TlsListener>>` that reads `stream.io()`.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session().peer_certificates()
    }

    /// Returns the socket and the TLS session.
    pub fn get_ref(&self) -> (&AsyncSocket, &ServerConnection) {
        self.inner.io.get_ref()
    }

    /// Returns the inner stream.
    ///
    /// After this, a stop does not wait for the first read of the stream.
    pub fn into_inner(self) -> server::TlsStream<AsyncSocket> {
        *self.inner.into_inner()
    }

    #[cfg(feature = "tonic")]
    pub(super) fn tls(&self) -> &server::TlsStream<AsyncSocket> {
        &self.inner.io
    }

    fn session(&self) -> &ServerConnection {
        self.get_ref().1
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, has_space) = (buffer.filled().len(), buffer.remaining() > 0);
        let result = Pin::new(&mut self.inner.io).poll_read(cx, buffer);
        let is_end = match &result {
            Poll::Ready(Ok(())) => has_space && buffer.filled().len() == before,
            // The client closed its sending side without `close_notify`.
            Poll::Ready(Err(error)) => error.kind() == io::ErrorKind::UnexpectedEof,
            Poll::Pending => {
                // A part of a TLS record may have left the socket.
                self.inner.note_partial_read();
                false
            }
        };
        self.inner.note_poll(cx, result, is_end)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner.io).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner.io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner.io).poll_shutdown(cx)
    }
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().0.as_fd()
    }
}
