//! `Stream` as a connection of a tonic server.

use tonic::transport::server::{Connected, TcpConnectInfo};

use super::{AsyncSocket, Stream};

/// The extension [`TcpConnectInfo`] of a request, from which tonic takes `remote_addr()`.
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
impl Connected for Stream<AsyncSocket> {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

/// A client of a unix socket has no address.
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
impl Connected for AsyncSocket {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        match self {
            Self::Tcp(tcp) => tcp.connect_info(),
            Self::Unix(_) => TcpConnectInfo {
                local_addr: None,
                remote_addr: None,
            },
        }
    }
}
