//! The builder, with options from flags: `cargo run --bin flags -- --workers 4 --grace 10s`.

use std::process::ExitCode;

use axum::{Router, routing::get};
use prefork::{Prefork, Worker};

/// Says hello from each of its workers.
#[derive(clap::Parser)]
struct Flags {
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// A number, or a part of the CPUs such as "50%" or "auto-1"
    #[arg(long, default_value = "auto")]
    workers: String,
    /// How long a stop may take
    #[arg(long, default_value = "5s")]
    grace: String,
}

fn main() -> ExitCode {
    let flags: Flags = clap::Parser::parse();
    // A text means the same as in the environment. An invalid one is an error of the start.
    Prefork::new()
        .listen(flags.listen)
        .workers(flags.workers)
        .shutdown_grace_period(flags.grace)
        .main(serve)
}

async fn serve(worker: Worker) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let listener = worker.listener("listener0")?;
    let hello = format!("hello from worker {}\n", worker.slot());
    let app = Router::new().route("/", get(async || hello));
    let server = axum::serve(listener, app);
    Ok(server.with_graceful_shutdown(prefork::shutdown()).await?)
}
