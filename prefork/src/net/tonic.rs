//! `Stream` as a connection of a tonic server.

use tokio::net::TcpStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::Stream;

/// The extension [`TcpConnectInfo`] of a request, from which tonic takes `remote_addr()`.
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
impl Connected for Stream<TcpStream> {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}
