//! A body that takes the configuration and does the handshakes itself, on blocking sockets.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

#[prefork::main(listen = "tls://127.0.0.1:0")]
fn main(listener: TcpListener, config: Arc<ServerConfig>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        // A failed client does not end the worker.
        let mut request = [0; 1024];
        if stream.read(&mut request).is_ok() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nby hand\n");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }
}
