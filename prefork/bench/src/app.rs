//! The application that every server of the bench serves, and how its workers tell the bench that
//! they are there.

use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use nix::time::{ClockId, clock_gettime};

/// Names the socket on which the bench hears of workers.
pub const BENCH: &str = "BENCH_SOCKET";

/// The time of the order to start this process, in nanoseconds of the monotonic clock.
pub const ORDERED_AT: &str = "BENCH_ORDERED_AT";

/// Gives the workers of the floor a second thread.
pub const THREAD: &str = "FLOOR_THREAD";

static MAIN_AT: OnceLock<u64> = OnceLock::new();

/// `GET /` answers with the worker's process id, ten characters wide, and `GET /slow?ms=…` with the
/// same after a while.
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

/// To be called on the first line of `main`.
pub fn note_main() {
    MAIN_AT.get_or_init(monotonic_ns);
}

/// Tells the bench, if one listens, that this process is about to serve: its id, and how long after
/// the order its `main` began, if somebody noted the order.
///
/// # Panics
/// No descriptors left.
pub fn say_ready() {
    let Some(bench) = std::env::var_os(BENCH) else {
        return;
    };
    let ordered_at = std::env::var(ORDERED_AT).ok();
    let ordered_at = ordered_at.and_then(|text| text.parse::<u64>().ok());
    let main_at = MAIN_AT.get_or_init(monotonic_ns);
    let took = ordered_at.map_or(0, |ordered_at| main_at.saturating_sub(ordered_at));
    let text = format!("{} {took}", std::process::id());
    let socket = UnixDatagram::unbound().expect("a socket can be made");
    // The bench may be gone; whoever started us ends us.
    let _ = socket.send_to(text.as_bytes(), bench);
}

/// The clock that all processes of a machine share.
///
/// # Panics
/// On a system without it.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("this clock is always there");
    let now = Duration::from(now);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
