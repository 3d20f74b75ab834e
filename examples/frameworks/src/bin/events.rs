//! Server-sent events on axum.
//!
//! ```text
//! cargo run --bin events
//! curl http://127.0.0.1:8080/events   # data: tick, once a second, until the server stops
//! ```

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::{Stream, StreamExt};
use prefork::net::Listener;
use tokio_stream::wrappers::IntervalStream;

#[prefork::main(listen = "127.0.0.1:8080")]
async fn main(listener: Listener) -> std::io::Result<()> {
    let app = Router::new().route("/events", get(events));
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    let events = ticks.map(|_| Ok(Event::default().data("tick")));
    // The response has no end of its own, and a stop waits for its end.
    Sse::new(events.take_until(prefork::closing())).keep_alive(KeepAlive::default())
}
