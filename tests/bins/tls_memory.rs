//! A server with a certificate that is compiled into the program.

use prefork::net::TlsListener;
use tokio::io::AsyncWriteExt;

#[prefork::main(
    listen = "tls://127.0.0.1:0",
    workers = 2,
    tls_cert = include_bytes!("memory/cert.pem"),
    tls_key = include_bytes!("memory/key.pem"),
    tls_alpn = ["http/1.1"],
)]
async fn main(listener: TlsListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            stream.write_all(b"from memory\n").await?;
            stream.shutdown().await
        });
    }
}
