//! The time from SIGKILL of the only worker to the first answer of its replacement.

use crate::figure::{Goal, Row, Unit, seconds};
use crate::samples::Compared;
use crate::server::{Kind, Server, settle};

const ROUNDS: usize = 300;

pub(crate) fn rows() -> Vec<Row> {
    let row = |baseline, what| {
        let compared = beside(baseline);
        Row::ratio(what, &compared, Unit::Milliseconds, Goal::AtMost(1.10))
    };
    vec![
        row(
            Kind::Baseline,
            "SIGKILL of a worker → the next one answers (goal < 3 ms)",
        ),
        row(
            Kind::ThreadedBaseline,
            "the same beside a baseline whose workers have a second thread, too",
        ),
    ]
}

fn beside(kind: Kind) -> Compared {
    let (baseline, again, prefork) = (
        Server::ready(kind, 1),
        Server::ready(kind, 1),
        Server::ready(Kind::Prefork, 1),
    );
    settle();
    let kill = |server: &Server| [seconds(server.kill_worker())];
    let [compared] = Compared::in_turn(
        ROUNDS,
        || kill(&baseline),
        || kill(&again),
        || kill(&prefork),
    );
    compared
}
