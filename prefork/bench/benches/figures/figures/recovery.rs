//! The time from SIGKILL of the only worker to the first answer of its replacement, or of a standby.

use crate::figure::{Goal, Row, Unit, seconds};
use crate::samples::Compared;
use crate::server::{Kind, Server, settle};

const ROUNDS: usize = 300;

pub(crate) fn rows() -> Vec<Row> {
    let row = |baseline, what| {
        let compared = beside(baseline, Kind::Prefork);
        Row::ratio(what, &compared, Unit::Milliseconds, Goal::AtMost(1.10))
    };
    let standby = beside(Kind::Baseline, Kind::Standby);
    vec![
        row(
            Kind::Baseline,
            "SIGKILL of a worker → the next one answers (goal < 3 ms)",
        ),
        row(
            Kind::ThreadedBaseline,
            "the same beside a baseline whose workers have a second thread, too",
        ),
        Row::ratio(
            "SIGKILL of a worker → the standby answers, beside a baseline without one",
            &standby,
            Unit::Milliseconds,
            Goal::AtMost(0.30),
        ),
    ]
}

fn beside(kind: Kind, measured: Kind) -> Compared {
    let (baseline, again, prefork) = (
        Server::ready(kind, 1),
        Server::ready(kind, 1),
        Server::ready(measured, 1),
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
