//! The application that the servers of the figures serve, and the report that each worker of a
//! server sends to the bench.

use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use nix::time::{ClockId, clock_gettime};

/// Environment variable with the path of the socket on which workers report.
pub const BENCH: &str = "BENCH_SOCKET";

/// Environment variable with the time of the start order for this process.
///
/// In nanoseconds of the monotonic clock.
pub const ORDERED_AT: &str = "BENCH_ORDERED_AT";

/// Environment variable that gives the workers of the baseline a second thread.
pub const THREAD: &str = "BASELINE_THREAD";

static MAIN_AT: OnceLock<u64> = OnceLock::new();

/// The routes of the application.
///
/// `GET /` returns the worker's process id, padded to ten characters. `GET /slow?ms=…` returns the
/// same after a delay.
pub fn app() -> Router {
    Router::new()
        .route("/", get(hello))
        .route("/slow", get(slow))
}

async fn hello() -> String {
    format!("{:>10}", std::process::id())
}

#[derive(serde::Deserialize)]
struct Slow {
    ms: u64,
}

async fn slow(Query(slow): Query<Slow>) -> String {
    tokio::time::sleep(Duration::from_millis(slow.ms)).await;
    hello().await
}

/// Records when `main` began. Call it on the first line of `main`.
pub fn record_main() {
    MAIN_AT.get_or_init(monotonic_ns);
}

/// Reports to the bench that this process is about to serve.
///
/// The report contains the process id, and the time from the start order to `main`. If no start
/// order was recorded, the time is 0. Without [`BENCH`] in the environment, nothing is sent.
///
/// # Panics
/// If the process has no free descriptor.
pub fn report_ready() {
    let Some(bench) = std::env::var_os(BENCH) else {
        return;
    };
    let ordered_at = std::env::var(ORDERED_AT).ok();
    let ordered_at = ordered_at.and_then(|text| text.parse::<u64>().ok());
    let main_at = MAIN_AT.get_or_init(monotonic_ns);
    let took = ordered_at.map_or(0, |ordered_at| main_at.saturating_sub(ordered_at));
    let text = format!("{} {took}", std::process::id());
    let socket = UnixDatagram::unbound().expect("a descriptor is free");
    // The bench may have exited. The process that started this one stops it.
    let _ = socket.send_to(text.as_bytes(), bench);
}

/// Time of the monotonic clock, which all processes of a machine share, in nanoseconds.
///
/// # Panics
/// If the system has no monotonic clock.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the system has a monotonic clock");
    let now = Duration::from(now);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
