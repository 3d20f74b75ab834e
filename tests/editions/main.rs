//! A program under strict lints, with the attribute of another crate below prefork's.

#![deny(warnings, missing_docs, unused_qualifications, unreachable_pub)]
#![deny(clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

use std::process::ExitCode;

use prefork::net::Listener;
use prefork::Worker;

/// Returns a status that no other code returns.
#[prefork::main(workers = 0, listen = "127.0.0.1:0", recover_threshold = 8)]
#[tokio::main(flavor = "current_thread")]
async fn main(listener: Listener, worker: Worker) -> ExitCode {
    tokio::task::yield_now().await;
    assert_eq!(worker.slot(), 0);
    drop(listener);
    ExitCode::from(5)
}
