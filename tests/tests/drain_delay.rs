//! During `drain_delay`, a server that stops serves on, and its health check can fail.

use std::time::{Duration, Instant};

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::get;
use prefork_tests::signals::wait_until_new;

const FICKLE: &str = env!("CARGO_BIN_EXE_fickle");

/// A server with this delay, which was asked to stop.
fn stopping(workers: &str, delay: &str) -> RunningServer {
    let server = Server::new(FICKLE)
        .env("PREFORK_WORKERS", workers)
        .env("PREFORK_DRAIN_DELAY", delay)
        .start();
    assert!(!is_stopping(&server));
    server.signal(Signal::SIGTERM);
    eventually("the announcement", || is_stopping(&server).then_some(()));
    server
}

fn is_stopping(server: &RunningServer) -> bool {
    get(server.addr(), "/is_stopping").expect("an answer") == "true\n"
}

#[test]
fn workers_serve_on_and_know_that_a_stop_was_requested() {
    for workers in ["2", "0"] {
        let began = Instant::now();
        let mut server = stopping(workers, "1s");
        for _ in 0..20 {
            get(server.addr(), "/").expect("an answer");
        }
        // Another signal does not prolong the delay.
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait().code(), Some(0));
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(1), "{took:?}");
        let log = server.final_log();
        let is_known = |line: &String| line.contains("within 5s after drain_delay (1s)");
        assert!(workers == "0" || log.iter().any(is_known), "{log:#?}");
        assert!(!log.iter().any(|line| line.contains("killed")), "{log:#?}");
    }
}

#[test]
fn a_second_interrupt_ends_the_delay() {
    for workers in ["2", "0"] {
        let mut server = stopping(workers, "10m");
        wait_until_new(Instant::now());
        server.signal(Signal::SIGINT);
        let expected = if workers == "0" { 130 } else { 0 };
        assert_eq!(server.wait().code(), Some(expected));
    }
}

#[test]
fn no_worker_is_replaced_in_the_delay_and_it_ends_with_the_last_one() {
    let mut server = stopping("2", "10m");
    let killed = server.kill_child(0);
    let line = format!("(pid {}) was killed by SIGKILL", killed.pid);
    server.wait_for_log(|logged| logged.contains(&line));
    assert!(is_stopping(&server), "the other worker serves");
    server.kill_child(1);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.final_log();
    let is_start = |line: &String| line.contains("replacing pid");
    assert!(!log.iter().any(is_start), "{log:#?}");
}

#[test]
fn a_rollout_ends_when_a_stop_with_a_delay_is_requested() {
    let server = Server::new(FICKLE)
        .env("PREFORK_DRAIN_DELAY", "1s")
        .env("PREFORK_ROLLOUT_SOAK", "1m")
        .start();
    server.signal(Signal::SIGHUP);
    server.wait_for_log(|line| line.contains("rolling out"));
    eventually("a successor", || {
        (server.children().len() == 3).then_some(())
    });
    server.signal(Signal::SIGTERM);
    server.wait_for_log(|line| line.contains("successor") && line.contains("as requested"));
    get(server.addr(), "/").expect("the workers serve on");
    let mut server = server;
    assert_eq!(server.wait().code(), Some(0));
}
