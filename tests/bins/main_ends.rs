//! A server with a `main` that ends on request: `/end/return`, `/end/error`, `/end/panic`.
//!
//! The first argument changes this. With `hold`, a blocking task keeps the process from exiting.
//! With `never`, `main` neither serves nor ends. With another argument, `main` ends at once in the
//! way that the argument names.

use std::sync::Arc;
use std::time::Duration;
use std::{env, io, thread};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use prefork::Worker;
use prefork::net::Listener;
use prefork_tests::server::name_of;
use tokio::sync::mpsc::{Sender, channel};

#[prefork::main(listen = "127.0.0.1:0", workers = 1)]
async fn main(listener: Listener, worker: Worker) -> io::Result<()> {
    let mode = env::args().nth(1).unwrap_or_default();
    let (sender, mut asked) = channel(1);
    if mode == "hold" {
        tokio::task::spawn_blocking(hold);
    } else if mode == "never" {
        return std::future::pending().await;
    } else if !mode.is_empty() {
        return finish(&mode);
    }
    let app = Router::new()
        .route("/", get(async move || name_of(&worker)))
        .route("/end/{how}", get(ask))
        .with_state(Arc::new(sender));
    let serve = axum::serve(listener, app).with_graceful_shutdown(prefork::shutdown());
    tokio::select! {
        served = async { serve.await } => served,
        how = asked.recv() => finish(how.as_deref().unwrap_or_default()),
    }
}

async fn ask(State(sender): State<Arc<Sender<String>>>, Path(how): Path<String>) -> &'static str {
    // A second request is ignored.
    let _ = sender.try_send(how);
    "asked\n"
}

/// Blocks its thread until the process exits.
fn hold() {
    loop {
        thread::sleep(Duration::from_hours(1));
    }
}

fn finish(how: &str) -> io::Result<()> {
    match how {
        "error" => Err(io::Error::other("lost the database\nand \x1b[2J")),
        "panic" => panic!("lost the plot"),
        "long" => Err(io::Error::other("x".repeat(100_000))),
        "exit" => std::process::exit(9),
        _ => Ok(()),
    }
}
