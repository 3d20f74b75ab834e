//! A program whose lints forgive nothing, with another crate's attribute below ours.

#![deny(warnings, missing_docs, unused_qualifications, unreachable_pub)]
#![deny(clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

use std::process::ExitCode;

use prefork::net::Listener;
use prefork::Worker;

/// Ends with a status that only this function gives.
#[prefork::main(workers = 0, listen = "127.0.0.1:0", recover_threshold = 8)]
#[tokio::main(flavor = "current_thread")]
async fn main(listener: Listener, worker: Worker) -> ExitCode {
    tokio::task::yield_now().await;
    assert_eq!(worker.slot(), 0);
    drop(listener);
    ExitCode::from(5)
}
