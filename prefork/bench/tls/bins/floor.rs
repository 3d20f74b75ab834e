//! The application over TLS under the hand-made supervisor: `floor-tls ADDRESS WORKERS`, with the
//! certificate and the key where prefork finds them, too.
//!
//! A loop accepts, and a task for each connection does the handshake and serves: no limit, no
//! deadline, no stop.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prefork_bench::{app, floor};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

fn main() -> io::Result<()> {
    if let Some(listener) = floor::inherited() {
        match serve(listener)? {}
    }
    let mut args = std::env::args().skip(1);
    let addr = args.next().expect("the address comes first");
    let workers = args.next().and_then(|text| text.parse().ok());
    match floor::supervise(&addr, workers.expect("the number of workers comes second"))? {}
}

#[tokio::main(flavor = "current_thread")]
async fn serve(listener: std::net::TcpListener) -> io::Result<Infallible> {
    let acceptor = TlsAcceptor::from(Arc::new(config()));
    let listener = TcpListener::from_std(listener)?;
    let app = app::app();
    app::say_ready();
    loop {
        let (stream, _peer) = listener.accept().await?;
        tokio::spawn(talk(stream, acceptor.clone(), app.clone()));
    }
}

/// What a client does wrong is its own affair.
async fn talk(stream: TcpStream, acceptor: TlsAcceptor, app: Router) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = TowerToHyperService::new(app);
    // As `axum::serve` does it.
    let _ = Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

/// With tickets, as prefork has them, so that a handshake costs both the same.
fn config() -> ServerConfig {
    let place = |name| std::env::var_os(name).expect("certificate and key are named");
    let certs = CertificateDer::pem_file_iter(place("PREFORK_TLS_CERT"))
        .and_then(Iterator::collect)
        .expect("certificates");
    let key = PrivateKeyDer::from_pem_file(place("PREFORK_TLS_KEY")).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .expect("they fit");
    config.ticketer = ring::Ticketer::new().expect("random bytes");
    config
}
