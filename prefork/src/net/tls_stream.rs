//! An accepted connection whose TLS handshake is over.
//!
//! Like the plain stream it remembers whether anybody has read from it. What counts is a read of the
//! application's: that the handshake has read the socket says nothing about a request.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server;

use super::stream::Stream;

/// A connection from [`TlsListener::accept`](super::TlsListener::accept): what is written to it is
/// encrypted, what is read from it was.
///
/// Shutting it down (`AsyncWriteExt::shutdown`) tells the client that nothing was cut off
/// (`close_notify`, RFC 8446, 6.1) and ends the sending side. Dropping it closes the socket and says
/// nothing, as with `tokio_rustls`; what was written and not flushed may be lost then.
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
#[derive(Debug)]
pub struct TlsStream {
    /// Boxed, since a session of TLS is large and every server moves its streams about.
    inner: Stream<Box<server::TlsStream<TcpStream>>>,
}

impl TlsStream {
    pub(super) fn new(mut inner: Stream<Box<server::TlsStream<TcpStream>>>) -> Self {
        // With TLS 1.2 the client waits for our last word before it sends a request.
        inner.note_answered();
        let (_, session) = inner.io.get_mut();
        // Nothing new is there to process: this is how the session tells what it holds.
        let state = session.process_new_packets();
        if state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0) {
            inner.note_holds_bytes();
        }
        Self { inner }
    }

    /// Who connected.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }

    /// Sends small writes at once (`TCP_NODELAY`, tcp(7)); off by default, as the system has it.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.tcp().set_nodelay(nodelay)
    }

    /// The protocol that both sides agreed on (ALPN, RFC 7301), such as `b"h2"`; `None` where the
    /// client offered none, or the configuration names none.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session().alpn_protocol()
    }

    /// The name of the server that the client asked for (SNI, RFC 6066), in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.session().server_name()
    }

    /// The client's certificates, its own first; `None` where the configuration asks for none, or
    /// the client gave none. With axum a handler gets it as connect info, by an
    /// `impl Connected<IncomingStream<'_, TlsListener>>` that asks `stream.io()`.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session().peer_certificates()
    }

    /// The connection below and the TLS session over it, for what they know and for their options.
    pub fn get_ref(&self) -> (&TcpStream, &ServerConnection) {
        self.inner.io.get_ref()
    }

    /// Gives the stream inside. A stop does not wait for its first read any more.
    pub fn into_inner(self) -> server::TlsStream<TcpStream> {
        *self.inner.into_inner()
    }

    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
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
                // Part of a record may have left the socket.
                self.inner.note_heard();
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
        self.tcp().as_fd()
    }
}
