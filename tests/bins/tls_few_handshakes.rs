//! A server that allows four TLS handshakes at once, so that few clients reach the limit.

use axum::Router;
use axum::routing::get;
use prefork::net::TlsListener;

#[prefork::main(listen = "tls://127.0.0.1:0")]
async fn main(listener: TlsListener) -> std::io::Result<()> {
    let app = Router::new().route("/", get(async || "hello\n"));
    axum::serve(listener.max_handshakes(4), app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}
