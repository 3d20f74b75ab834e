//! A stop with unusual clients: half-closed connections and silent clients.

use std::net::{Shutdown, TcpStream};

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, connect, get};
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");

const WORKERS: usize = 2;
const CLIENTS: usize = 40;

/// Halts the workers before the clients connect, and continues them after the stop has begun.
fn half_closed_clients_in_the_queue_are_answered_by(program: &str) {
    let mut server = Server::new(program)
        .env("PREFORK_WORKERS", WORKERS.to_string())
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start();
    get(server.addr(), "/").expect("an answer");
    server.wait_for_children(WORKERS);
    halt(&server);
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| ask(server.addr(), "/").expect("the listen queue has space"))
        .collect();
    for client in &clients {
        client.shutdown(Shutdown::Write).expect("an open stream");
    }
    server.signal(Signal::SIGTERM);
    server.wait_for_log(|line| line.contains("stopping 2 workers"));
    for slot in 0..WORKERS {
        server.signal_child(slot, Signal::SIGCONT);
    }
    let answered = clients.into_iter().map(answer).filter_map(Result::ok);
    assert_eq!(answered.count(), CLIENTS, "log: {:#?}", server.log());
    assert_eq!(server.wait().code(), Some(0));
}

fn halt(server: &RunningServer) {
    for slot in 0..WORKERS {
        let child = server.signal_child(slot, Signal::SIGSTOP);
        eventually("a worker that is halted", || {
            proc::is_stopped(child.pid).then_some(())
        });
    }
}

/// Half of the grace period is longer than a test waits.
#[test]
fn a_blocking_server_with_silent_clients_stops() {
    let mut server = Server::new(PLAIN)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "10m")
        .start();
    let silent: Vec<TcpStream> = (0..3)
        .map(|_| connect(server.addr()).expect("the listen queue has space"))
        .collect();
    eventually("all of them accepted", || {
        silent.iter().all(proc::is_accepted).then_some(())
    });
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    assert!(!log.iter().any(|line| line.contains("killed")), "{log:#?}");
}

#[test]
fn half_closed_clients_in_the_queue_are_answered_by_axum() {
    half_closed_clients_in_the_queue_are_answered_by(HELLO);
}

#[test]
fn half_closed_clients_in_the_queue_are_answered_by_a_blocking_server() {
    half_closed_clients_in_the_queue_are_answered_by(PLAIN);
}
