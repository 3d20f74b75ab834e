//! Workers that take back their readiness on request, for some time: `/not_ready?ms=500`. With
//! `/flap?times=1000` a worker does so many times in a row. `/is_stopping` is for health checks.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::get;
use prefork::net::Listener;
use prefork::{Worker, not_ready, notify_ready};
use prefork_tests::server::hello;

#[prefork::main(listen = "127.0.0.1:0", workers = 2)]
async fn main(listener: Listener, worker: Worker) -> std::io::Result<()> {
    let app = axum::Router::new()
        .route("/", get(hello))
        .route("/not_ready", get(pause))
        .route("/flap", get(flap))
        .route(
            "/is_stopping",
            get(async || format!("{}\n", prefork::is_stopping())),
        )
        .with_state(worker);
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

#[derive(serde::Deserialize)]
struct Pause {
    ms: u64,
}

async fn pause(State(worker): State<Worker>, Query(Pause { ms }): Query<Pause>) -> String {
    not_ready();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(ms));
        notify_ready();
    });
    hello(State(worker)).await
}

#[derive(serde::Deserialize)]
struct Flap {
    times: u32,
}

async fn flap(State(worker): State<Worker>, Query(Flap { times }): Query<Flap>) -> String {
    for _ in 0..times {
        worker.not_ready();
        worker.notify_ready();
        std::thread::sleep(Duration::from_micros(100));
    }
    hello(State(worker)).await
}
