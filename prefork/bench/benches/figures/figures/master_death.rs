//! The time from SIGKILL of the master to the exit of its last idle worker.

use crate::figure::{Row, Unit, seconds};
use crate::server::{Kind, Server, settle};

const ROUNDS: usize = 30;

pub(crate) fn rows() -> Vec<Row> {
    let row = |workers| {
        let samples: Vec<f64> = (0..ROUNDS).map(|_| last_worker_gone(workers)).collect();
        let what = format!("SIGKILL of the master → the last of {workers} idle workers is gone");
        Row::time(&what, &samples, Unit::Milliseconds, "≤ 5 ms")
    };
    vec![row(4), row(16)]
}

fn last_worker_gone(workers: usize) -> f64 {
    let server = Server::ready(Kind::Prefork, workers);
    settle();
    seconds(server.kill_master())
}
