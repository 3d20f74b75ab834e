//! An HTTP server on axum, one worker per CPU.
//!
//! ```text
//! cargo run --release -p prefork-examples --example hello
//! curl http://127.0.0.1:8080/              # hello from worker 0 (pid 4711)
//! curl http://127.0.0.1:8080/slow?ms=1000  # answers after a second, even if the server is stopped meanwhile
//! curl http://127.0.0.1:8080/abort         # aborts this worker; the master starts another one
//! ```

use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Query, State};
use axum::routing::get;
use axum::serve::ListenerExt;
use prefork::net::Listener;
use prefork::{Addr, Worker};

#[prefork::main(listen = "127.0.0.1:8080")]
async fn main(listener: Listener, worker: Worker) -> std::io::Result<()> {
    let app = Router::new()
        .route("/", get(hello))
        .route("/slow", get(slow))
        .route("/abort", get(abort))
        .route("/peer", get(peer))
        .with_state(worker)
        .into_make_service_with_connect_info::<Addr>();
    // `tap_io` makes the peer's address available to handlers. A server that does not need the
    // address passes `listener` itself.
    axum::serve(listener.tap_io(|_| {}), app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

async fn hello(State(worker): State<Worker>) -> String {
    let pid = std::process::id();
    format!("hello from worker {} (pid {pid})\n", worker.slot())
}

#[derive(serde::Deserialize)]
struct Slow {
    ms: u64,
}

async fn slow(State(worker): State<Worker>, Query(slow): Query<Slow>) -> String {
    tokio::time::sleep(Duration::from_millis(slow.ms)).await;
    hello(State(worker)).await
}

async fn abort() {
    std::process::abort();
}

async fn peer(ConnectInfo(peer): ConnectInfo<Addr>) -> String {
    format!("hello {peer}\n")
}
