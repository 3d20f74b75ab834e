//! A server with TLS, HTTP/2 and HTTP/1.1, and a plain listener that redirects.
//!
//! ```text
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
//!     -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout key.pem -out cert.pem
//! cargo run --release -p prefork-examples --features tls --example https
//! curl --cacert cert.pem https://localhost:8443/   # hello from worker 0 (pid 4711)
//! curl http://127.0.0.1:8080/                      # 308, redirects to the address above
//! PREFORK_TLS_CERT=/etc/ssl/server.pem PREFORK_TLS_KEY=/etc/ssl/server.key \
//!     cargo run --release -p prefork-examples --features tls --example https
//! ```
//!
//! If the files of the certificate are replaced, every worker that starts later uses the new ones.

use std::io;

use axum::Router;
use axum::extract::State;
use axum::response::Redirect;
use axum::routing::get;
use prefork::Worker;
use prefork::net::{Listener, TlsListener};

#[prefork::main(
    listen = ["http=127.0.0.1:8080", "https=tls://127.0.0.1:8443"],
    tls_cert = "cert.pem",
    tls_key = "key.pem",
    tls_alpn = ["h2", "http/1.1"],
)]
async fn main(http: Listener, https: TlsListener, worker: Worker) -> io::Result<()> {
    let redirect =
        Router::new().fallback(move || async { Redirect::permanent("https://localhost:8443/") });
    let app = Router::new().route("/", get(hello)).with_state(worker);
    let plain = axum::serve(http, redirect).with_graceful_shutdown(prefork::shutdown());
    let secure = axum::serve(https, app).with_graceful_shutdown(prefork::shutdown());
    let (plain, secure) = tokio::join!(plain.into_future(), secure.into_future());
    plain.and(secure)
}

async fn hello(State(worker): State<Worker>) -> String {
    let pid = std::process::id();
    format!("hello from worker {} (pid {pid})\n", worker.slot())
}
