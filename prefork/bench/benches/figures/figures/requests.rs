//! The rate at which two workers answer requests, and their processor time for each.

use std::time::Duration;

use crate::figure::{Goal, Row, Unit, seconds};
use crate::load::{Connections, load};
use crate::samples::Compared;
use crate::server::{Kind, Server, settle};

const PAIRS: usize = 9;
const PERIOD: Duration = Duration::from_secs(5);

pub(crate) fn rows() -> Vec<Row> {
    let start = |kind| Server::ready(kind, 2);
    let servers = [
        start(Kind::Baseline),
        start(Kind::Baseline),
        start(Kind::Prefork),
    ];
    settle();
    let mut rows = measure(&servers, Connections::Kept, "on kept connections");
    rows.append(&mut measure(
        &servers,
        Connections::New,
        "on a new connection each",
    ));
    rows
}

fn measure(servers: &[Server; 3], connections: Connections, how: &str) -> Vec<Row> {
    let run = |server: &Server| {
        let before = server.workers_cpu_time();
        let answers = load(server.addr, connections, PERIOD) as f64;
        let spent = server.workers_cpu_time().saturating_sub(before);
        [answers / seconds(PERIOD), seconds(spent) / answers]
    };
    let [baseline, again, prefork] = servers;
    let [rates, costs] = Compared::in_turn(PAIRS, || run(baseline), || run(again), || run(prefork));
    vec![
        Row::ratio(
            &format!("requests {how}"),
            &rates,
            Unit::PerSecond,
            Goal::AtLeast(0.95),
        ),
        Row::ratio(
            &format!("processor time of the workers for each, {how}"),
            &costs,
            Unit::Microseconds,
            Goal::AtMost(1.05),
        ),
    ]
}
