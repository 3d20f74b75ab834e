//! The application over TLS under the hand-written supervisor: `baseline-tls ADDRESS WORKERS`.
//!
//! `PREFORK_TLS_CERT` and `PREFORK_TLS_KEY` set the certificate and the key, as with prefork. A
//! loop accepts connections. For each one a task does the handshake and serves. The server has no
//! limits, no deadlines and no graceful stop.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prefork_bench::{app, baseline};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

fn main() -> io::Result<()> {
    if let Some(listener) = baseline::inherited() {
        match serve(listener)? {}
    }
    let mut args = std::env::args().skip(1);
    let addr = args.next().expect("the first argument is the address");
    let workers = args.next().and_then(|text| text.parse().ok());
    match baseline::supervise(
        &addr,
        workers.expect("the second argument is the number of workers"),
    )? {}
}

#[tokio::main(flavor = "current_thread")]
async fn serve(listener: std::net::TcpListener) -> io::Result<Infallible> {
    let acceptor = TlsAcceptor::from(Arc::new(config()));
    let listener = TcpListener::from_std(listener)?;
    let app = app::app();
    app::report_ready();
    loop {
        let (stream, _peer) = listener.accept().await?;
        tokio::spawn(serve_connection(stream, acceptor.clone(), app.clone()));
    }
}

/// Serves one connection. Errors of the client are ignored.
async fn serve_connection(stream: TcpStream, acceptor: TlsAcceptor, app: Router) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = TowerToHyperService::new(app);
    // The same calls as in `axum::serve`.
    let _ = Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

/// Builds a configuration with session tickets, as in prefork, so that handshakes cost the same.
fn config() -> ServerConfig {
    let path = |name| std::env::var_os(name).expect("the variable with the path is set");
    let certs = CertificateDer::pem_file_iter(path("PREFORK_TLS_CERT"))
        .and_then(Iterator::collect)
        .expect("the file contains certificates");
    let key =
        PrivateKeyDer::from_pem_file(path("PREFORK_TLS_KEY")).expect("the file contains a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .expect("the key matches the certificate");
    config.ticketer = ring::Ticketer::new().expect("random bytes are available");
    config
}
