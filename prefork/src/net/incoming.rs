//! Accepted connections as a stream, which is what libraries with an accept loop of their own take.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use prefork_options::Addr;

use super::{AsyncSocket, Listener, Stream};

impl Listener {
    /// Returns a stream of the connections that this task accepts, for example for tonic.
    ///
    /// It accepts like [`accept`](Self::accept), and stays pending after the worker was asked to
    /// stop and the queue is empty. It does not end, because a server may drop connections that it
    /// has not read yet when the stream of connections ends. So async code must also wait for
    /// [`shutdown`](crate::shutdown()). [`Stream::peer_addr`] returns the address of a client.
    ///
    /// # Errors
    /// Those of [`blocking_accept`](Self::blocking_accept). After an error the listener has ended,
    /// and the stream stays pending.
    ///
    /// # Panics
    /// Its `poll_next` panics in the cases of [`accept`](Self::accept).
    #[cfg_attr(docsrs, doc(cfg(feature = "stream")))]
    pub fn incoming(
        &self,
    ) -> impl futures_core::Stream<Item = io::Result<Stream<AsyncSocket>>> + Unpin + Send + '_ {
        Incoming::new(self, || self.accept())
    }
}

/// Calls an accept method again and again.
pub(crate) struct Incoming<'a, A, F> {
    listener: &'a Listener,
    accept: A,
    /// The call that is pending. One allocation serves all calls.
    pending: Pin<Box<F>>,
}

impl<'a, A: Fn() -> F, F> Incoming<'a, A, F> {
    pub(crate) fn new(listener: &'a Listener, accept: A) -> Self {
        Self {
            listener,
            pending: Box::pin(accept()),
            accept,
        }
    }
}

impl<A, F, S> futures_core::Stream for Incoming<'_, A, F>
where
    A: Fn() -> F + Unpin,
    F: Future<Output = io::Result<(S, Addr)>>,
{
    type Item = io::Result<S>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = ready!(self.pending.as_mut().poll(cx));
        let next = (self.accept)();
        self.pending.set(next);
        Poll::Ready(Some(self.listener.incoming_item(accepted)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_core::Stream as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::net::AcceptGate;

    #[test]
    fn incoming_returns_every_connection_and_then_stays_pending() {
        let bound = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = bound.local_addr().expect("bound");
        let listener = Listener::try_from(bound).expect("descriptors");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("descriptors").block_on(async {
            let mut incoming = listener.incoming();
            listener.tracker.close_gate(AcceptGate::Master);
            let _first = TcpStream::connect(addr).await.expect("it listens");
            let poll = poll_fn(|cx| Poll::Ready(Pin::new(&mut incoming).poll_next(cx)));
            assert!(poll.await.is_pending(), "the gate is closed");
            listener.tracker.open_gate(AcceptGate::Master);
            let accepted = poll_fn(|cx| Pin::new(&mut incoming).poll_next(cx)).await;
            accepted.expect("it does not end").expect("it listens");
            for _ in 0..2 {
                let mut client = TcpStream::connect(addr).await.expect("it listens");
                client.write_all(b"a").await.expect("there is space");
                let accepted = poll_fn(|cx| Pin::new(&mut incoming).poll_next(cx)).await;
                let mut stream = accepted.expect("it does not end").expect("it listens");
                assert_eq!(stream.read_u8().await.expect("a byte"), b'a');
            }
            listener.end();
            let poll = poll_fn(|cx| Poll::Ready(Pin::new(&mut incoming).poll_next(cx)));
            assert!(poll.await.is_pending());
        });
    }
}
