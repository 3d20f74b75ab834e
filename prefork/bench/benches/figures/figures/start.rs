//! The time from the start of the master to the first answer of one of two workers.

use crate::client;
use crate::figure::{Goal, Row, Unit, seconds};
use crate::samples::Compared;
use crate::server::{Kind, Server};

const ROUNDS: usize = 150;

pub(crate) fn rows() -> Vec<Row> {
    let [compared] = Compared::in_turn(
        ROUNDS,
        || first_answer(Kind::Baseline),
        || first_answer(Kind::Baseline),
        || first_answer(Kind::Prefork),
    );
    let what = "start of the master → first answer, 2 workers (goal < 4 ms)";
    vec![Row::ratio(
        what,
        &compared,
        Unit::Milliseconds,
        Goal::AtMost(1.15),
    )]
}

fn first_answer(kind: Kind) -> [f64; 1] {
    let server = Server::start(kind, 2);
    client::ask_until_answered(server.addr, None);
    let took = seconds(server.started_at.elapsed());
    // The second worker may still be starting.
    server.wait_for_reports();
    [took]
}
