//! During a stop, a server answers TLS clients as it answers clients in plain text.
//!
//! These are clients with a request, clients in the queue and clients in the handshake.

use std::io::Write;
use std::net::Shutdown;

use prefork_testkit::{Signal, eventually};
use prefork_tests::proc;
use prefork_tests::tls::{answer, ask, exchange_hellos, send_hello};

use crate::secure::{Secure, TLS};

const STOP: &str = env!("CARGO_BIN_EXE_tls_stop");

const CLIENTS: usize = 20;

#[test]
fn a_stop_answers_requests_that_were_sent() {
    let secure = Secure::new();
    let mut server = secure
        .server(TLS, "2")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "30s")
        .start();
    let client = secure.client();
    let open = || client.connect(server.addr()).expect("a handshake");
    let in_flight: Vec<_> = (0..CLIENTS)
        .map(|_| ask(open(), "/slow?ms=1000").expect("the server reads"))
        .collect();
    // These requests arrive at about the time of the stop.
    let late: Vec<_> = (0..CLIENTS)
        .map(|_| ask(open(), "/").expect("the server reads"))
        .collect();
    server.signal(Signal::SIGTERM);
    for connection in in_flight.into_iter().chain(late) {
        answer(connection).expect("each request gets an answer");
    }
    assert!(server.wait().success());
}

/// The only thread of the worker is blocked until the stop begins, so no queued client is accepted
/// before. The stop lasts until the test releases it, so no client is too late.
#[test]
fn a_stop_answers_clients_in_the_queue_and_in_the_handshake() {
    let secure = Secure::new();
    let mut server = secure
        .server(STOP, "1")
        .listen("https=tls://127.0.0.1:0,held=127.0.0.1:0")
        // Half of the grace period is longer than a test waits.
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "10m")
        .start();
    let addr = server.addr_of("https");
    let client = secure.client();
    let open = |_| client.open(addr).expect("the listen queue has space");
    let silent = client.connect(addr).expect("a handshake");
    let mut half_done: Vec<_> = (0..CLIENTS).map(open).collect();
    for connection in &mut half_done {
        exchange_hellos(connection).expect("the worker accepts the client");
    }
    let blocking = client.connect(addr).expect("a handshake");
    let blocking = ask(blocking, "/block").expect("the server reads");
    server.wait_for_log(|line| line == "blocked");
    let mut queued: Vec<_> = (0..CLIENTS).map(open).collect();
    for connection in queued.iter_mut().step_by(2) {
        send_hello(connection).expect("the send buffer has space");
    }
    eventually("all of them in the queue", || {
        (proc::queued(addr) == CLIENTS).then_some(())
    });
    server.signal(Signal::SIGTERM);
    answer(blocking).expect("the request was sent before the stop");
    for connection in half_done {
        let answered = ask(connection, "/").and_then(answer);
        answered.expect("a client in the handshake is answered");
    }
    for connection in queued {
        let answered = ask(connection, "/").and_then(answer);
        answered.expect("a client in the queue is answered");
    }
    let release = ask(silent, "/release").expect("the worker still waits for this client");
    answer(release).expect("the stop still answers");
    assert!(server.wait().success());
}

/// After its request, each client closes its session and its sending side, and still reads.
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
        connection.write_all(head).expect("send buffer has space");
        // Every second client closes without `close_notify`.
        if index % 2 == 0 {
            connection.conn.send_close_notify();
        }
        connection.flush().expect("the send buffer has space");
        connection
            .sock
            .shutdown(Shutdown::Write)
            .expect("the connection is open");
    }
    server.signal(Signal::SIGTERM);
    server.wait_for_log(|line| line.contains("stopping 1 worker"));
    server.signal_child(0, Signal::SIGCONT);
    for connection in connections {
        answer(connection).expect("the request was complete");
    }
    assert!(server.wait().success());
}
