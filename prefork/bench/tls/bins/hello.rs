//! The application over TLS under prefork.
//!
//! `PREFORK_LISTEN`, `PREFORK_WORKERS`, `PREFORK_TLS_CERT` and `PREFORK_TLS_KEY` configure it.

use std::io;

use prefork::net::TlsListener;
use prefork_bench::app;

#[prefork::main(listen = "tls://127.0.0.1:0", recover_threshold = 1_000_000)]
#[tokio::main(flavor = "current_thread")]
async fn main(listener: TlsListener) -> io::Result<()> {
    app::report_ready();
    axum::serve(listener, app::app())
        .with_graceful_shutdown(prefork::shutdown())
        .await
}
