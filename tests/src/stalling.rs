//! An app with handlers that can block their thread.

use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use prefork::net::Listener;

/// `/` answers at once. `/stall?ms=N` blocks its thread, and with it all tasks on this thread.
/// `/slow?ms=N` waits without blocking.
///
/// # Errors
/// The errors of `axum::serve`.
pub async fn serve(listener: Listener) -> std::io::Result<()> {
    let app = Router::new()
        .route("/", get(async || "served\n"))
        .route("/stall", get(stall))
        .route("/slow", get(slow));
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

#[derive(serde::Deserialize)]
struct Time {
    ms: u64,
}

async fn stall(Query(time): Query<Time>) -> &'static str {
    println!("stalled");
    thread::sleep(Duration::from_millis(time.ms));
    "stalled\n"
}

async fn slow(Query(time): Query<Time>) -> &'static str {
    println!("waiting");
    tokio::time::sleep(Duration::from_millis(time.ms)).await;
    "waited\n"
}
