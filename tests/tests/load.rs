//! Workers that are killed and servers that are stopped under load: only requests that were in
//! flight on a killed worker fail.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use prefork_testkit::load::{Failure, Load, LoadReport, Phase, RunningLoad};
use prefork_testkit::{RunningServer, Server, Signal};
use prefork_tests::tls::Authority;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const HTTPS: &str = env!("CARGO_BIN_EXE_https");

/// Long enough for requests to be in flight at most moments.
const SLOW: &str = "/slow?ms=20";

fn hello() -> RunningServer {
    Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start()
}

/// Kills a worker that has answered, and waits for its replacement. Returns both pids, and the time
/// in which the worker exited.
fn kill_one(server: &RunningServer, load: &RunningLoad) -> (i32, i32, RangeInclusive<Instant>) {
    load.wait_for_answers(100);
    let pids = load.report().pids();
    let mut children = server.children().into_iter();
    let victim = children.find(|child| pids.contains(&child.pid));
    let victim = victim.expect("a worker has answered");
    let before = Instant::now();
    assert_eq!(server.kill_child(victim.slot), victim);
    let replacement = server.wait_for_replacement(victim);
    (victim.pid, replacement.pid, before..=Instant::now())
}

/// Checks that only requests in flight on this worker failed.
#[track_caller]
fn assert_lost_in_flight(report: &LoadReport, pid: i32, time: &RangeInclusive<Instant>) {
    report.assert_only(|failed| failed.is_explained_by_exit(pid, time));
    println!("{report}");
}

#[test]
fn a_request_that_aborts_its_worker_gets_an_empty_response() {
    let server = hello();
    let load = Load::new(server.addr()).path("/abort").connections(1);
    let report = load.requests(3).run();
    assert_eq!(report.failed_with(Failure::Empty), 3, "{report}");
    assert_eq!(report.failed(), 3, "{report}");
}

#[test]
fn a_killed_worker_fails_only_requests_in_flight_on_its_kept_connections() {
    let server = hello();
    let load = Load::new(server.addr()).path(SLOW).connections(16).start();
    let (killed, _, time) = kill_one(&server, &load);
    load.wait_for_answers(100);
    let report = load.stop();
    assert_lost_in_flight(&report, killed, &time);
    // The worker is known of each connection that had carried an answer.
    for failed in report.failures() {
        assert_eq!(failed.pid.is_some(), failed.served_before > 0, "{failed}");
    }
}

#[test]
fn a_killed_worker_fails_only_requests_in_flight_on_it_with_new_connections() {
    for reuseport in ["false", "true"] {
        let server = Server::new(HELLO)
            .env("PREFORK_WORKERS", "2")
            .env("PREFORK_REUSEPORT", reuseport)
            .start();
        let load = Load::new(server.addr())
            .path(SLOW)
            .connections(16)
            .connection_per_request()
            .start();
        let (killed, replacement, time) = kill_one(&server, &load);
        load.wait_for_answer_by(replacement);
        assert_lost_in_flight(&load.stop(), killed, &time);
    }
}

#[test]
fn a_killed_worker_fails_only_requests_in_flight_on_it_at_a_rate() {
    let server = hello();
    let load = Load::new(server.addr())
        .path(SLOW)
        .connections(64)
        .connection_per_request()
        .rate(500)
        .start();
    let (killed, replacement, time) = kill_one(&server, &load);
    load.wait_for_answer_by(replacement);
    assert_lost_in_flight(&load.stop(), killed, &time);
}

#[test]
fn a_graceful_stop_fails_no_request_that_was_begun_before_it() {
    for is_kept in [true, false] {
        let mut server = hello();
        let mut load = Load::new(server.addr()).path(SLOW).connections(16);
        if !is_kept {
            load = load.connection_per_request();
        }
        let load = load.start();
        load.wait_for_answers(100);
        let before = Instant::now();
        server.signal(Signal::SIGTERM);
        assert!(server.wait().success());
        let report = load.stop();
        // A worker may close a kept connection just when a request arrives (RFC 9112, section 9.5).
        report.assert_only(|failed| {
            let is_stale = is_kept && failed.failure == Failure::StaleConnection;
            failed.began_after(before) || is_stale
        });
        // No request that a worker has read is lost.
        assert_eq!(report.failed_with(Failure::Empty), 0, "{report}");
        assert_eq!(report.failed_with(Failure::Short), 0, "{report}");
        println!("{report}");
    }
}

#[test]
fn a_stopped_worker_times_out_and_the_others_answer() {
    let server = hello();
    let load = Load::new(server.addr())
        .connections(16)
        .timeout(Duration::from_millis(500))
        .start();
    load.wait_for_answers(100);
    let pid = load.report().pids()[0];
    let children = server.children();
    let paused = children.iter().find(|child| child.pid == pid);
    let paused = paused.expect("the worker runs");
    server.signal_child(paused.slot, Signal::SIGSTOP);
    load.wait_for_answers(100);
    server.signal_child(paused.slot, Signal::SIGCONT);
    let report = load.stop();
    let phase = Phase::Waiting;
    report.assert_only(|failed| {
        failed.failure == Failure::TimedOut { phase } && failed.pid.is_none_or(|known| known == pid)
    });
}

#[test]
fn a_killed_worker_fails_only_requests_in_flight_on_it_over_tls() {
    let authority = Authority::new("load");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = authority.issue().write(folder.path());
    let server = Server::new(HTTPS)
        .listen("http=127.0.0.1:0,https=tls://127.0.0.1:0")
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_TLS_CERT", cert)
        .env("PREFORK_TLS_KEY", key)
        .start();
    let load = || Load::new(server.addr_of("https")).connections(8);

    let other = load().tls(Authority::new("other").pem()).requests(8).run();
    assert_eq!(other.failed_with(Failure::TlsHandshake), 8, "{other}");
    let other = load().tls(authority.pem()).server_name("example.com");
    let other = other.requests(8).run();
    assert_eq!(other.failed_with(Failure::TlsHandshake), 8, "{other}");
    let any = load().tls_with_any_certificate().requests(100).run();
    any.assert_no_failures();
    assert_eq!(any.connections_opened(), 8);

    for is_kept in [true, false] {
        let mut load = load().tls(authority.pem());
        if !is_kept {
            load = load.connection_per_request();
        }
        let load = load.start();
        let (killed, _, time) = kill_one(&server, &load);
        load.wait_for_answers(100);
        let report = load.stop();
        assert_lost_in_flight(&report, killed, &time);
    }
}
