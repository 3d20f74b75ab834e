//! If more clients stall than handshakes may run, an honest client behind them is answered.
//!
//! If each stalled client took one second, an honest client would time out before its answer.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use prefork_testkit::eventually;
use prefork_tests::client::connect;
use prefork_tests::proc::is_accepted;
use prefork_tests::tls::{answer, ask, exchange_hellos, send_hello};

use crate::secure::Secure;

/// Runs at most four handshakes at the same time.
const FEW_HANDSHAKES: &str = env!("CARGO_BIN_EXE_tls_few_handshakes");

/// At four a second, these clients would take 50 seconds. A client waits for 30 seconds.
const STALLED: usize = 200;

fn stalled(addr: SocketAddr, text: &[u8], count: usize) -> Vec<TcpStream> {
    let stall = |_| {
        let mut stream = connect(addr).expect("the listen queue has space");
        stream.write_all(text).expect("the send buffer has space");
        stream
    };
    (0..count).map(stall).collect()
}

fn is_answered_behind(text: &[u8]) {
    let secure = Secure::new();
    let server = secure.server(FEW_HANDSHAKES, "1").start();
    let stalled = stalled(server.addr(), text, STALLED);
    let answer = secure.client().get(server.addr(), "/");
    answer.expect("an answer");
    drop(stalled);
}

#[test]
fn an_honest_client_is_answered_behind_clients_that_send_nothing() {
    is_answered_behind(b"");
}

#[test]
fn an_honest_client_is_answered_behind_clients_that_send_one_byte() {
    is_answered_behind(&[22]);
}

#[test]
fn an_honest_client_is_answered_behind_clients_that_speak_plain_http() {
    is_answered_behind(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
}

/// A new connection displaces a client that has sent nothing. It does not displace a client that
/// has sent its hello.
#[test]
fn a_new_connection_displaces_silent_clients_and_not_one_that_has_sent_its_hello() {
    let secure = Secure::new();
    let server = secure.server(FEW_HANDSHAKES, "1").start();
    let mut slow = secure.client().open(server.addr()).expect("a connection");
    exchange_hellos(&mut slow).expect("the worker accepts the handshake");
    // Few enough that the worker accepts all within the time limit of one handshake.
    let stalled = stalled(server.addr(), b"", 40);
    let last = stalled.last().expect("there are stalled clients");
    eventually("all of them are accepted", || {
        is_accepted(last).then_some(())
    });
    send_hello(&mut slow).expect("the connection is open");
    answer(ask(slow, "/").expect("the connection is open")).expect("an answer");
}
