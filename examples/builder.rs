//! The builder: options set at run time, here from command-line flags.
//!
//! ```text
//! cargo run --release -p prefork-examples --example builder -- --listen 127.0.0.1:8081 --workers 4 --grace 10s
//! ```

use std::env;
use std::process::ExitCode;

use axum::Router;
use axum::routing::get;
use prefork::{Prefork, Worker};

fn main() -> ExitCode {
    let mut prefork = Prefork::new();
    prefork.listen("127.0.0.1:8080").handle_signals();
    let mut args = env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().unwrap_or_default();
        // A text has the same syntax as in the environment. `run` returns an error if it is
        // invalid.
        match flag.as_str() {
            "--listen" => prefork.listen(value),
            "--workers" => prefork.workers(value),
            "--grace" => prefork.shutdown_grace_period(value),
            _ => return usage(),
        };
    }
    prefork::report(prefork.run(serve))
}

async fn serve(worker: Worker) -> std::io::Result<()> {
    let listener = worker
        .listener("listener0")
        .map_err(std::io::Error::other)?;
    let hello = format!("hello from worker {}\n", worker.slot());
    let app = Router::new().route("/", get(async || hello));
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

fn usage() -> ExitCode {
    eprintln!("usage: builder [--listen ADDRESS] [--workers COUNT] [--grace TIME]");
    ExitCode::from(64)
}
