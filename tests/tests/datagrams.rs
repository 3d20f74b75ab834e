//! UDP: workers share one socket, and a datagram that waits in it survives each of them.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::time::Duration;

use prefork_testkit::{Server, Signal};

const DATAGRAMS: &str = env!("CARGO_BIN_EXE_datagrams");

/// A limit that keeps a failing test from hanging. No test asserts it.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn every_datagram_is_answered_across_kills_and_a_rollout() {
    let mut server = Server::new(DATAGRAMS)
        .listen("udp://127.0.0.1:0")
        .env("PREFORK_ROLLOUT_SOAK", "100ms")
        .env("PREFORK_HEALTHY_AFTER", "100ms")
        .start();
    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    client.set_read_timeout(Some(LIMIT)).expect("a socket");
    client.connect(server.addr()).expect("an address");
    let mut slots = HashSet::new();
    let mut echo = |number: usize| {
        let text = number.to_string();
        client.send(text.as_bytes()).expect("the server exists");
        let mut answer = [0; 64];
        let length = client.recv(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        let (slot, echoed) = answer.split_once(' ').expect("slot and text");
        assert_eq!(echoed, text);
        slots.insert(slot.to_owned());
    };
    (0..500).for_each(&mut echo);
    server.signal(Signal::SIGHUP);
    let is_verdict = |line: &String| line.contains("rollout accepted after");
    let mut number = 500;
    while !server.log().iter().any(is_verdict) {
        echo(number);
        number += 1;
    }
    assert!(number > 500);
    assert_eq!(server.stop().code(), Some(0), "{:?}", server.final_log());
}

#[test]
fn a_datagram_that_waits_is_answered_by_the_next_worker() {
    let server = Server::new(DATAGRAMS)
        .listen("udp://127.0.0.1:0")
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_HEALTHY_AFTER", "10ms")
        .start();
    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    client.set_read_timeout(Some(LIMIT)).expect("a socket");
    let stopped = server.signal_child(0, Signal::SIGSTOP);
    prefork_testkit::eventually("the worker's halt", || {
        prefork_tests::proc::is_stopped(stopped.pid).then_some(())
    });
    for number in 0..50 {
        let text = format!("{number}");
        let sent = client.send_to(text.as_bytes(), server.addr());
        sent.expect("the queue has space");
    }
    server.kill_child(0);
    let mut answers = HashSet::new();
    for _ in 0..50 {
        let mut answer = [0; 64];
        let length = client.recv(&mut answer).expect("an answer");
        answers.insert(answer[..length].to_vec());
    }
    assert_eq!(answers.len(), 50);
}

#[test]
fn a_datagram_listener_does_not_fit_an_argument_that_accepts() {
    let output = Server::new(env!("CARGO_BIN_EXE_hello"))
        .listen("udp://127.0.0.1:0")
        .run();
    assert_eq!(output.code(), Some(78), "{:?}", output.log);
    let named = "is a UDP socket, but its argument is a Listener: take it as UdpSocket of std or";
    assert!(output.text().contains(named), "{}", output.text());
}
