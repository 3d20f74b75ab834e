//! More clients that stall than there are places for handshakes: an honest client behind them is
//! answered.
//!
//! With one second for each client that stalls, the ones here would take longer than a client waits
//! for its answer.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use prefork_testkit::eventually;
use prefork_tests::client::connect;
use prefork_tests::proc::is_accepted;
use prefork_tests::tls::{answer, ask, greet, greet_and_hear};

use crate::secure::Secure;

/// Has four places for handshakes.
const FEW_PLACES: &str = env!("CARGO_BIN_EXE_tls_few_places");

/// At four each second they would take 50 seconds; a client waits for 30.
const STALLED: usize = 200;

fn stalled(addr: SocketAddr, text: &[u8], count: usize) -> Vec<TcpStream> {
    let stall = |_| {
        let mut stream = connect(addr).expect("the queue takes it");
        stream.write_all(text).expect("the queue keeps it");
        stream
    };
    (0..count).map(stall).collect()
}

fn is_answered_behind(text: &[u8]) {
    let secure = Secure::new();
    let server = secure.server(FEW_PLACES, "1").start();
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

/// Clients that send nothing give way to each other, and not the one that has sent its hello.
#[test]
fn a_client_that_was_answered_stays_while_silent_ones_give_way() {
    let secure = Secure::new();
    let server = secure.server(FEW_PLACES, "1").start();
    let mut slow = secure.client().open(server.addr()).expect("it listens");
    greet_and_hear(&mut slow).expect("there is room");
    // Few enough to be accepted within the time of one handshake.
    let stalled = stalled(server.addr(), b"", 40);
    let last = stalled.last().expect("there are some");
    eventually("all of them are accepted", || {
        is_accepted(last).then_some(())
    });
    greet(&mut slow).expect("it is open");
    answer(ask(slow, "/").expect("it is open")).expect("an answer");
}
