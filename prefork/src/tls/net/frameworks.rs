//! `TlsListener` and `TlsStream` as axum, tonic and other libraries with an accept loop take them.

use std::io;

use super::listener::TlsListener;
use super::stream::TlsStream;
#[cfg(feature = "stream")]
use crate::net::incoming::Incoming;

#[cfg(feature = "axum")]
impl axum::serve::Listener for TlsListener {
    type Io = TlsStream;
    type Addr = prefork_options::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        crate::net::axum::until_accepted(self.plain(), Self::accept(self).await).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Self::local_addr(self)
    }
}

#[cfg(feature = "stream")]
impl TlsListener {
    /// Returns a stream of connections whose handshake is complete, for example for tonic.
    ///
    /// It is to [`accept`](Self::accept) what
    /// [`Listener::incoming`](crate::net::Listener::incoming) is to
    /// [`Listener::accept`](crate::net::Listener::accept).
    ///
    /// # Errors
    /// Those of [`accept`](Self::accept). After an error the listener has ended, and the stream
    /// stays pending.
    ///
    /// # Panics
    /// Its `poll_next` panics in the cases of [`accept`](Self::accept).
    #[cfg_attr(docsrs, doc(cfg(feature = "stream")))]
    pub fn incoming(
        &self,
    ) -> impl futures_core::Stream<Item = io::Result<TlsStream>> + Unpin + Send + '_ {
        Incoming::new(self.plain(), || self.accept())
    }
}

/// The extension [`TlsConnectInfo`](tonic::transport::server::TlsConnectInfo) of a request, from
/// which tonic also takes `peer_certs()`.
#[cfg(feature = "tonic")]
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
impl tonic::transport::server::Connected for TlsStream {
    type ConnectInfo =
        tonic::transport::server::TlsConnectInfo<tonic::transport::server::TcpConnectInfo>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.tls().connect_info()
    }
}
