//! TLS: full handshakes with one request each, and the effect of silent clients on other clients.

use std::time::Duration;

use crate::figure::{Goal, Row, Unit, seconds};
use crate::samples::{Compared, percentile_99};
use crate::server::{Kind, Server, settle};
use crate::tls_client::TlsClient;
use crate::tls_load::{as_fast_as_can_be, at_a_rate, silent};
use crate::tls_servers::TlsServers;

const PAIRS: usize = 9;
const PERIOD: Duration = Duration::from_secs(5);

/// One worker, so that the worker is the bottleneck. Two workers would wait for the clients, which
/// share their processors, and the ratio would hide half of a difference.
const WORKERS: usize = 1;

/// Requests per second. At this rate the worker is idle most of the time.
const RATE: u32 = 200;

/// Number of silent clients: below `max_handshakes`, for less than `handshake_timeout`.
const SILENT: usize = 200;

pub(crate) fn rows() -> Vec<Row> {
    let servers = TlsServers::new();
    let mut rows = handshakes(&servers);
    rows.push(beside_silent(&servers));
    rows
}

fn handshakes(servers: &TlsServers) -> Vec<Row> {
    let client = TlsClient::new();
    let run = |server: &Server| {
        let before = server.workers_cpu_time();
        let answers = as_fast_as_can_be(&client, server.addr, PERIOD) as f64;
        let spent = server.workers_cpu_time().saturating_sub(before);
        [answers / seconds(PERIOD), seconds(spent) / answers]
    };
    let start = |kind| servers.ready(kind, WORKERS);
    let (baseline, again) = (start(Kind::Baseline), start(Kind::Baseline));
    let prefork = start(Kind::Prefork);
    settle();
    let [rates, costs] =
        Compared::in_turn(PAIRS, || run(&baseline), || run(&again), || run(&prefork));
    vec![
        Row::ratio(
            "TLS handshakes, each with a request",
            &rates,
            Unit::PerSecond,
            Goal::AtLeast(0.95),
        ),
        Row::ratio(
            "processor time of the worker for each",
            &costs,
            Unit::Microseconds,
            Goal::AtMost(1.05),
        ),
    ]
}

/// Compares a server with silent clients with the same server without them (the baseline).
fn beside_silent(servers: &TlsServers) -> Row {
    let client = TlsClient::new();
    let server = servers.ready(Kind::Prefork, WORKERS);
    let run = |count| {
        let silent = silent(server.addr, count);
        // After this pause the worker has accepted the silent clients and has closed the
        // connections of the previous run.
        settle();
        let times = at_a_rate(&client, server.addr, RATE, PERIOD);
        drop(silent);
        [percentile_99(&times)]
    };
    let [compared] = Compared::in_turn(PAIRS, || run(0), || run(0), || run(SILENT));
    Row::ratio(
        &format!(
            "TLS handshake and request, 99 of 100, without (baseline) and beside {SILENT} \
             silent clients"
        ),
        &compared,
        Unit::Milliseconds,
        Goal::AtMost(2.0),
    )
}
