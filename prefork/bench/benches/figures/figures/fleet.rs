//! Many workers: the time until all are ready, and the master's processor time for each.

use crate::figure::{Goal, Row, Unit, seconds};
use crate::proc;
use crate::samples::Compared;
use crate::server::{Kind, Server};

const FEW: usize = 16;
const MANY: usize = 200;

pub(crate) fn rows() -> Vec<Row> {
    let few = all_ready(FEW, 40);
    let many = all_ready(MANY, 15);
    let goal = Goal::AtMost(1.15);
    let each = |compared: &Compared, count: usize| compared.prefork() / count as f64;
    let growth = each(&many, MANY) / each(&few, FEW);
    let cpu: Vec<f64> = (0..9).map(|_| master_cpu_time_each()).collect();
    vec![
        Row::ratio(
            &format!("{FEW} workers ready"),
            &few,
            Unit::Milliseconds,
            goal,
        ),
        Row::ratio(
            &format!("{MANY} workers ready"),
            &many,
            Unit::Milliseconds,
            goal,
        ),
        Row::count(
            &format!("time for each of {MANY} beside each of {FEW}"),
            growth,
            Unit::Fraction,
            1.15 + many.spread(),
        ),
        Row::time(
            &format!("processor time of the master for each of {MANY}"),
            &cpu,
            Unit::Milliseconds,
            "≤ 0.12 ms",
        ),
    ]
}

fn all_ready(workers: usize, rounds: usize) -> Compared {
    let measure = |kind| {
        let server = Server::start(kind, workers);
        server.wait_for_reports();
        [seconds(server.started_at.elapsed())]
    };
    let [compared] = Compared::in_turn(
        rounds,
        || measure(Kind::Baseline),
        || measure(Kind::Baseline),
        || measure(Kind::Prefork),
    );
    compared
}

fn master_cpu_time_each() -> f64 {
    let server = Server::ready(Kind::Prefork, MANY);
    seconds(proc::cpu_time(server.master)) / MANY as f64
}
