//! Rollouts: the time of one, and the memory of a successor.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::client::{self, LIMIT};
use crate::figure::{Goal, Row, Unit, seconds};
use crate::proc;
use crate::samples::{Compared, median};
use crate::server::{Kind, Server, prefork, settle};

const ROUNDS: usize = 60;
const WORKERS: usize = 4;
/// Number of fleets whose memory is measured.
const STARTS: usize = 9;

pub(crate) fn rows() -> Vec<Row> {
    let (successors, masters): (Vec<f64>, Vec<f64>) = (0..STARTS).map(|_| memory()).unzip();
    let row =
        |what, samples: &[f64], most| Row::count(what, median(samples), Unit::Kibibytes, most);
    vec![
        Row::ratio(
            "rollout of 4 workers one by one, without a soak, beside 4 starts in a row",
            &time(),
            Unit::Milliseconds,
            Goal::AtMost(2.0),
        ),
        row(
            "anonymous memory of a successor above that of its worker",
            &successors,
            64.0,
        ),
        row(
            "anonymous memory of the master above that before the rollout",
            &masters,
            64.0,
        ),
    ]
}

/// A server with these variables, whose workers have reported and answer.
fn start(workers: usize, variables: &[(&str, &str)]) -> Server {
    let server = Server::run(workers, |addr| {
        let program = env!("CARGO_BIN_EXE_hello").as_ref();
        let mut command = prefork(program, &addr.to_string(), workers);
        command.envs(variables.iter().copied());
        command
    });
    server.wait_for_reports();
    client::ask_until_answered(server.addr, None);
    server
}

fn request_rollout(server: &Server) {
    kill(server.master, Signal::SIGHUP)
        .expect("this process started the master and has not reaped it");
}

/// A rollout beside as many workers of the baseline that are killed one after the other.
fn time() -> Compared {
    let (baseline, again) = (
        Server::ready(Kind::Baseline, 1),
        Server::ready(Kind::Baseline, 1),
    );
    let server = start(
        WORKERS,
        &[
            ("PREFORK_ROLLOUT_SOAK", "0s"),
            ("PREFORK_ROLLOUT_PARALLEL", "1"),
        ],
    );
    settle();
    let starts = |server: &Server| {
        let took = (0..WORKERS).map(|_| server.kill_worker());
        [seconds(took.sum())]
    };
    let [compared] = Compared::in_turn(
        ROUNDS,
        || starts(&baseline),
        || starts(&again),
        || [seconds(roll_out(&server))],
    );
    compared
}

/// The time until the workers of before have exited.
fn roll_out(server: &Server) -> Duration {
    let before = proc::children(server.master);
    let began = Instant::now();
    request_rollout(server);
    server.wait_for_reports();
    while proc::children(server.master)
        .iter()
        .any(|child| before.contains(child))
    {
        assert!(began.elapsed() < LIMIT, "a worker of before still runs");
        thread::sleep(Duration::from_micros(200));
    }
    began.elapsed()
}

/// How much more a successor has than its worker, and the master than before.
fn memory() -> (f64, f64) {
    let server = start(
        1,
        &[
            ("PREFORK_ROLLOUT_SOAK", "1h"),
            ("PREFORK_ROLLOUT_TIMEOUT", "2h"),
        ],
    );
    settle();
    let anonymous = |pid| proc::status(pid, "RssAnon") as f64;
    let before = anonymous(server.master);
    let worker = proc::children(server.master)[0];
    request_rollout(&server);
    let successor = server.wait_for_report().pid;
    settle();
    (
        anonymous(successor) - anonymous(worker),
        anonymous(server.master) - before,
    )
}
