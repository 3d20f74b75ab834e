//! A stop answers over TLS whom it answers in plain text: who has asked, who waits in the queue,
//! who is in the handshake.

use std::io::Write;
use std::net::Shutdown;

use prefork_testkit::{Signal, eventually};
use prefork_tests::proc;
use prefork_tests::tls::{answer, ask, greet, greet_and_hear};

use crate::secure::{Secure, TLS};

const STOP: &str = env!("CARGO_BIN_EXE_tls_stop");

const CLIENTS: usize = 20;

#[test]
fn a_stop_answers_what_was_asked() {
    let secure = Secure::new();
    let mut server = secure
        .server(TLS, "2")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "30s")
        .start();
    let client = secure.client();
    let open = || client.connect(server.addr()).expect("a handshake");
    let in_flight: Vec<_> = (0..CLIENTS)
        .map(|_| ask(open(), "/slow?ms=1000").expect("it reads"))
        .collect();
    // Accepted, perhaps, and asked in the moment of the stop.
    let late: Vec<_> = (0..CLIENTS)
        .map(|_| ask(open(), "/").expect("it reads"))
        .collect();
    server.signal(Signal::SIGTERM);
    for connection in in_flight.into_iter().chain(late) {
        answer(connection).expect("everybody who asked is answered");
    }
    assert!(server.wait().success());
}

/// The worker's only thread is blocked until the stop begins, so that nobody is accepted before;
/// and the stop goes on until it is told to end, so that nobody is too late.
#[test]
fn a_stop_answers_who_waits_in_the_queue_and_who_is_in_the_handshake() {
    let secure = Secure::new();
    let mut server = secure
        .server(STOP, "1")
        .listen("https=tls://127.0.0.1:0,held=127.0.0.1:0")
        // Half of it is longer than a test waits.
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "10m")
        .start();
    let addr = server.addr_of("https");
    let client = secure.client();
    let open = |_| client.open(addr).expect("the queue takes it");
    let silent = client.connect(addr).expect("a handshake");
    let mut half_done: Vec<_> = (0..CLIENTS).map(open).collect();
    for connection in &mut half_done {
        greet_and_hear(connection).expect("it is accepted");
    }
    let blocking = client.connect(addr).expect("a handshake");
    let blocking = ask(blocking, "/block").expect("it reads");
    server.wait_for_log(|line| line == "blocked");
    let mut queued: Vec<_> = (0..CLIENTS).map(open).collect();
    for connection in queued.iter_mut().step_by(2) {
        greet(connection).expect("there is room");
    }
    eventually("all of them in the queue", || {
        (proc::queued(addr) == CLIENTS).then_some(())
    });
    server.signal(Signal::SIGTERM);
    answer(blocking).expect("it was asked before the stop");
    for connection in half_done {
        let answered = ask(connection, "/").and_then(answer);
        answered.expect("who is in the handshake is answered");
    }
    for connection in queued {
        let answered = ask(connection, "/").and_then(answer);
        answered.expect("who waits in the queue is answered");
    }
    let release = ask(silent, "/release").expect("it is waited for as well");
    answer(release).expect("the stop goes on");
    assert!(server.wait().success());
}

/// Each client ends its session and its sending side behind its request, and reads on.
#[test]
fn a_stop_answers_clients_that_have_closed_their_sending_side() {
    let secure = Secure::new();
    let mut server = secure
        .server(TLS, "1")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start();
    let client = secure.client();
    let mut connections: Vec<_> = (0..CLIENTS)
        .map(|_| client.connect(server.addr()).expect("a handshake"))
        .collect();
    let worker = server.signal_child(0, Signal::SIGSTOP);
    eventually("a worker that is halted", || {
        proc::is_stopped(worker.pid).then_some(())
    });
    for (index, connection) in connections.iter_mut().enumerate() {
        let head = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        connection.write_all(head).expect("there is space");
        // Every other one closes without `close_notify`.
        if index % 2 == 0 {
            connection.conn.send_close_notify();
        }
        connection.flush().expect("there is space");
        connection
            .sock
            .shutdown(Shutdown::Write)
            .expect("it is connected");
    }
    server.signal(Signal::SIGTERM);
    server.wait_for_log(|line| line.contains("stopping 1 worker"));
    server.signal_child(0, Signal::SIGCONT);
    for connection in connections {
        answer(connection).expect("its request was complete");
    }
    assert!(server.wait().success());
}
