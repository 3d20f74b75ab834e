//! An axum server whose responses announce in a drain that their connection closes.
//!
//! With the argument `plain` they do not. With `waits`, `main` waits for the end of all streams.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use prefork::Worker;
use prefork::http::DrainLayer;
use prefork::net::Listener;
use prefork_tests::server::{hello, slow};

#[prefork::main(listen = "127.0.0.1:0")]
async fn main(listener: Listener, worker: Worker) -> std::io::Result<()> {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let app = Router::new()
        .route("/", get(hello))
        .route("/slow", get(slow))
        .route("/counts", get(counts))
        .with_state(worker);
    let app = match mode.as_str() {
        "plain" => app,
        _ => app.layer(DrainLayer::new()),
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await?;
    if mode == "waits" {
        prefork::streams_ended().await;
    }
    Ok(())
}

async fn counts(State(worker): State<Worker>) -> String {
    format!(
        "{} requests, {} in flight\n",
        worker.request_count(),
        worker.requests_in_flight()
    )
}
