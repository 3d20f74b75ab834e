//! The expansion adds no warnings under strict lints.

#![deny(warnings, missing_docs, unused_qualifications, unreachable_pub)]
#![forbid(unsafe_code)]

use std::process::ExitCode;

use prefork::Worker;

/// Serves.
#[prefork::main(workers = 0, listen = ["127.0.0.1:0"], shutdown_grace_period = "0s")]
#[tokio::main]
async fn main(worker: Worker) -> ExitCode {
    tokio::task::yield_now().await;
    let _worker = worker;
    ExitCode::SUCCESS
}
