//! If a worker is too busy to accept, its waiting clients are answered, even if a stop comes first.
//!
//! During a stop, a listener drains its queue. The body is asked to close only after it has read
//! from every connection.

use std::io::Read;
use std::net::TcpStream;

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, connect, get};
use prefork_tests::proc;

const STALL: &str = env!("CARGO_BIN_EXE_stall");
const TWO_THREADS: &str = env!("CARGO_BIN_EXE_two_threads");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");

const ROUNDS: usize = 4;
const CLIENTS: usize = 100;

fn start(program: &str) -> RunningServer {
    let server = Server::new(program)
        .env("PREFORK_WORKERS", "1")
        // Half of the grace period is longer than a test waits.
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "10m")
        .start();
    get(server.addr(), "/").expect("an answer");
    server
}

/// A server with handlers that block all its threads, and the clients of these handlers.
fn stalled(program: &str, threads: usize) -> (RunningServer, Vec<TcpStream>) {
    let server = start(program);
    let stalling: Vec<_> = (0..threads)
        .map(|_| ask(server.addr(), "/stall?ms=1000").expect("the server is listening"))
        .collect();
    eventually("a stall on every thread", || {
        let stalls = server
            .log()
            .iter()
            .filter(|line| *line == "stalled")
            .count();
        (stalls >= threads).then_some(())
    });
    (server, stalling)
}

fn all_are_answered_when_a_stop_comes(
    server: &mut RunningServer,
    resume: impl FnOnce(&RunningServer),
) {
    let waiting: Vec<_> = (0..CLIENTS)
        .map(|_| ask(server.addr(), "/").expect("the listen queue has space"))
        .collect();
    server.signal(Signal::SIGTERM);
    server.wait_for_log(|line| line.contains("stopping 1 worker"));
    resume(server);
    let answered = waiting
        .into_iter()
        .map(answer)
        .filter_map(Result::ok)
        .count();
    assert_eq!(answered, CLIENTS, "log: {:#?}", server.log());
    assert_eq!(server.wait().code(), Some(0));
}

fn stop_of_a_stalled_server(program: &str, threads: usize) {
    let (mut server, stalling) = stalled(program, threads);
    all_are_answered_when_a_stop_comes(&mut server, |_| {});
    for client in stalling {
        answer(client).expect("the request was sent before the stop");
    }
}

#[test]
fn a_hundred_clients_of_a_stalled_worker_are_answered_on_a_current_thread_runtime() {
    for _ in 0..ROUNDS {
        stop_of_a_stalled_server(STALL, 1);
    }
}

#[test]
fn a_hundred_clients_of_a_stalled_worker_are_answered_on_a_runtime_of_two_threads() {
    for _ in 0..ROUNDS {
        stop_of_a_stalled_server(TWO_THREADS, 2);
    }
}

#[test]
fn a_silent_client_among_them_does_not_prevent_the_end_of_the_stop() {
    for (program, threads) in [(STALL, 1), (TWO_THREADS, 2)] {
        let (mut server, _stalling) = stalled(program, threads);
        let mut silent = connect(server.addr()).expect("the listen queue has space");
        all_are_answered_when_a_stop_comes(&mut server, |_| {});
        let mut bytes = Vec::new();
        // The connection is closed or reset. In both cases the client can connect again.
        let _ = silent.read_to_end(&mut bytes);
        assert_eq!(bytes, b"");
    }
}

#[test]
fn a_hundred_clients_of_a_worker_that_was_halted_are_answered() {
    for program in [PLAIN, HELLO] {
        for _ in 0..ROUNDS {
            let mut server = start(program);
            let halted = server.signal_child(0, Signal::SIGSTOP);
            eventually("the worker's halt", || {
                proc::is_stopped(halted.pid).then_some(())
            });
            all_are_answered_when_a_stop_comes(&mut server, |server| {
                server.signal_child(0, Signal::SIGCONT);
            });
        }
    }
}

#[test]
fn a_blocking_server_waits_for_a_silent_client_only_for_the_grace_period() {
    // The body reads without a timeout, so its thread waits for the silent client.
    let mut server = Server::new(PLAIN)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "2s")
        .start();
    let silent = connect(server.addr()).expect("the listen queue has space");
    assert_eq!(server.stop().code(), Some(0));
    drop(silent);
}
