//! An app behind TLS. The test decides how long the stop takes, so that no timeout and no slow
//! machine changes the result.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use prefork::net::{Listener, TlsListener};

/// `/block` blocks the only thread until the stop begins. A stop waits until the listeners are
/// closed. `/release` closes `held`, on which the app does not accept.
#[prefork::main(listen = ["https=tls://127.0.0.1:0", "held=127.0.0.1:0"], workers = 1)]
async fn main(https: TlsListener, held: Listener) -> io::Result<()> {
    let held = Arc::new(Mutex::new(Some(held)));
    let release = async move || {
        drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
        "released\n"
    };
    let app = Router::new()
        .route("/", get(async || "served\n"))
        .route("/block", get(block))
        .route("/release", get(release));
    let https = https.handshake_timeout(Duration::from_mins(10));
    axum::serve(https, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

async fn block() -> &'static str {
    println!("blocked");
    let stop = prefork::shutdown();
    while !stop.is_requested() {
        thread::sleep(Duration::from_millis(1));
    }
    "blocked\n"
}
