//! An axum server behind TLS. The environment sets the certificate.

use axum::Router;
use axum::routing::get;
use prefork::net::TlsListener;
use prefork::{Configuration, Worker};
use prefork_tests::server::{hello, slow};

#[prefork::main(listen = "tls://127.0.0.1:0", tls_alpn = "h2,http/1.1", configure = leave)]
async fn main(listener: TlsListener, worker: Worker) -> std::io::Result<()> {
    let app = Router::new()
        .route("/", get(hello))
        .route("/slow", get(slow))
        .with_state(worker);
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

/// Changes the working directory, after prefork has determined the base of relative paths.
fn leave(_: &mut Configuration) -> std::io::Result<()> {
    std::env::set_current_dir("/")
}
