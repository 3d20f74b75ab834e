//! The time from SIGKILL of the only worker to the first answer of its replacement.

use crate::figure::{Goal, Row, Unit, seconds};
use crate::samples::Compared;
use crate::server::{Kind, Server, settle};

const ROUNDS: usize = 300;

pub(crate) fn rows() -> Vec<Row> {
    let row = |floor, what| {
        let compared = beside(floor);
        Row::ratio(what, &compared, Unit::Milliseconds, Goal::AtMost(1.10))
    };
    vec![
        row(
            Kind::Floor,
            "SIGKILL of a worker → the next one answers (goal < 3 ms)",
        ),
        row(
            Kind::ThreadedFloor,
            "the same beside a floor whose workers have a second thread, too",
        ),
    ]
}

fn beside(kind: Kind) -> Compared {
    let (floor, again, prefork) = (
        Server::ready(kind, 1),
        Server::ready(kind, 1),
        Server::ready(Kind::Prefork, 1),
    );
    settle();
    let kill = |server: &Server| [seconds(server.kill_worker())];
    let [compared] = Compared::in_turn(ROUNDS, || kill(&floor), || kill(&again), || kill(&prefork));
    compared
}
