//! `Stream` and `TlsStream` as connections of a tonic server.

use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tonic::transport::server::TlsConnectInfo;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::Stream;
#[cfg(feature = "tls")]
use super::TlsStream;

/// The extension [`TcpConnectInfo`] of a request, from which tonic takes `remote_addr()`.
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
impl Connected for Stream<TcpStream> {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

/// The extension [`TlsConnectInfo`] of a request, from which tonic also takes `peer_certs()`.
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
impl Connected for TlsStream {
    type ConnectInfo = TlsConnectInfo<TcpConnectInfo>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.tls().connect_info()
    }
}
