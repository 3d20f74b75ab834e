//! `workers = 0`: one process, no master, the same listeners and the same stop.

use std::time::Instant;

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, get, slot_and_pid};
use prefork_tests::proc;
use prefork_tests::signals::wait_until_new;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const RAW_STD: &str = env!("CARGO_BIN_EXE_raw_std");
const RAW_TOKIO: &str = env!("CARGO_BIN_EXE_raw_tokio");

fn single(program: &str) -> RunningServer {
    Server::new(program)
        .env("PREFORK_WORKERS", "0")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start()
}

#[test]
fn one_process_serves() {
    let server = single(HELLO);
    let body = get(server.addr(), "/").expect("an answer");
    assert_eq!(slot_and_pid(&body), Some((0, server.master_pid())));
    assert_eq!(server.processes(), [server.master_pid()]);
    assert_eq!(server.children(), []);
}

#[test]
fn a_stop_finishes_requests_in_flight() {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
    ] {
        let mut server = single(HELLO);
        get(server.addr(), "/").expect("an answer");

        let asked = ask(server.addr(), "/slow?ms=1000").expect("the server is listening");
        eventually("the request in flight", || {
            (proc::queued(server.addr()) == 0).then_some(())
        });
        server.signal(signal);
        answer(asked).expect("the request was sent before the stop");
        assert_eq!(server.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_signal_after_the_start_line_stops_it() {
    // The time between the line and the signal is short, so one server could stop by chance.
    for _ in 0..30 {
        assert_eq!(single(PLAIN).stop().code(), Some(0));
    }
}

#[test]
fn a_second_sigint_ends_it_at_once() {
    let mut server = single(HELLO);
    get(server.addr(), "/").expect("an answer");

    let asked = ask(server.addr(), "/slow?ms=50000").expect("the server is listening");
    eventually("the request in flight", || {
        (proc::queued(server.addr()) == 0).then_some(())
    });
    server.signal(Signal::SIGINT);
    eventually("a client that is refused", || get(server.addr(), "/").err());
    wait_until_new(Instant::now());
    server.signal(Signal::SIGINT);
    // A shell reports this status for Ctrl-C.
    assert_eq!(server.wait().code(), Some(130));
    drop(asked);
}

#[test]
fn all_kinds_of_listeners_serve() {
    for (program, body) in [(RAW_STD, "raw\n"), (RAW_TOKIO, "raw\n")] {
        let server = single(program);
        assert_eq!(get(server.addr(), "/").expect("an answer"), body);
    }
    let mut server = single(PLAIN);
    get(server.addr(), "/").expect("an answer");
    assert_eq!(server.stop().code(), Some(0));
}
