//! The async side of listener and stream, on tokio.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::listener::{Listener, Socket, Step};
use super::stream::Stream;
use crate::sys::accept::Mode;

impl Listener {
    /// Waits for a connection; stays pending for ever once the worker was asked to go and nothing
    /// waits any more.
    ///
    /// Cancel safe: nothing is awaited between the system call and the return.
    ///
    /// # Errors
    /// What `accept(2)` lists. Running out of descriptors (`EMFILE`) leaves the connection waiting:
    /// close some before the next call.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn accept(&self) -> io::Result<(Stream<TcpStream>, SocketAddr)> {
        self.intake.note_accept();
        loop {
            let drain = self.intake.until_drain();
            let socket = match self.step(Mode::NonBlocking)? {
                Step::Wait(socket) => socket,
                Step::Drained(fd, peer, _socket) => {
                    return Ok(self.stream_on_tokio(TcpStream::from_std(fd.into())?, peer));
                }
                Step::Ended => return pending().await,
            };
            let mut drain = pin!(drain);
            let mut accept = pin!(socket.on_tokio()?.accept());
            let accepted = poll_fn(|cx| match drain.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => accept.as_mut().poll(cx).map(Some),
            });
            if let Some(accepted) = accepted.await {
                let (stream, peer) = accepted?;
                return Ok(self.stream_on_tokio(stream, peer));
            }
        }
    }

    /// In a drain: a connection that has waited, or `None` when accepting is over. Never waits.
    #[cfg(feature = "tls")]
    pub(super) fn next_queued(&self) -> io::Result<Option<(Stream<TcpStream>, SocketAddr)>> {
        match self.step(Mode::NonBlocking)? {
            Step::Drained(fd, peer, _socket) => {
                let stream = TcpStream::from_std(fd.into())?;
                Ok(Some(self.stream_on_tokio(stream, peer)))
            }
            Step::Wait(_) | Step::Ended => Ok(None),
        }
    }

    fn stream_on_tokio(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> (Stream<TcpStream>, SocketAddr) {
        (Stream::new(stream, &self.intake), peer)
    }
}

impl Socket {
    /// A second descriptor of the same socket, since a runtime wants to own what it waits for.
    fn on_tokio(&self) -> io::Result<&TcpListener> {
        if let Some(listener) = self.on_tokio.get() {
            return Ok(listener);
        }
        let copy = self.as_fd().try_clone_to_owned()?;
        let listener = TcpListener::from_std(copy.into())?;
        // A task that was as fast has made another; one of the two is dropped.
        Ok(self.on_tokio.get_or_init(|| listener))
    }
}

impl AsyncRead for Stream<TcpStream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_read(cx, buffer);
        if result.is_ready() {
            self.note_read();
        }
        result
    }
}

impl AsyncWrite for Stream<TcpStream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
