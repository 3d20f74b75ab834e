//! Clients that must show a certificate, and clients that stall.

use std::fs;
use std::sync::mpsc;
use std::thread;

use prefork_tests::client::connect;
use prefork_tests::tls::{Authority, Client};
use rustls::HandshakeKind;

use crate::secure::{Secure, TLS, replace, visit};

#[test]
fn clients_without_a_certificate_of_the_authority_are_refused() {
    let secure = Secure::new();
    let clients = Authority::new("the clients'");
    let ca = secure.path().join("clients.pem");
    fs::write(&ca, clients.pem()).expect("the test owns the folder");
    let server = secure
        .server(TLS, "1")
        .env("PREFORK_TLS_CLIENT_CA", ca)
        .start();
    let known = clients.issue();
    Client::with(&secure.authority, &[], Some(&known))
        .get(server.addr(), "/")
        .expect("the server trusts the client");
    let untrusted = Authority::new("another").issue();
    for own in [None, Some(&untrusted)] {
        let client = Client::with(&secure.authority, &[], own);
        client.get(server.addr(), "/").expect_err("a refusal");
    }
}

/// The server also refuses a returning client, although the client tries to resume its session.
#[test]
fn the_next_worker_refuses_a_client_with_an_authority_that_is_no_longer_trusted() {
    let secure = Secure::new();
    let (old, new) = (Authority::new("the old"), Authority::new("the new"));
    let ca = secure.path().join("clients.pem");
    fs::write(&ca, old.pem()).expect("the test owns the folder");
    let server = secure
        .server(TLS, "1")
        .env("PREFORK_TLS_CLIENT_CA", &ca)
        .start();
    let known = Client::with(&secure.authority, &[], Some(&old.issue()));
    for _ in 0..2 {
        let (_, kind) = visit(&known, server.addr());
        assert_eq!(kind, Some(HandshakeKind::Full), "no session is resumed");
    }
    fs::write(&ca, new.pem()).expect("the test owns the folder");
    replace(&server, 0);
    server.wait_for_log(|line| line.contains("new client CA"));
    known
        .get(server.addr(), "/")
        .expect_err("the server no longer trusts the client");
    Client::with(&secure.authority, &[], Some(&new.issue()))
        .get(server.addr(), "/")
        .expect("the server trusts the client now");
}

#[test]
fn stalled_handshakes_do_not_delay_other_clients() {
    let secure = Secure::new();
    let server = secure.server(TLS, "2").start();
    let stalled: Vec<_> = (0..200)
        .map(|_| connect(server.addr()).expect("the listen queue has space"))
        .collect();
    let client = secure.client();
    for _ in 0..200 {
        client.get(server.addr(), "/").expect("an answer");
    }
    drop(stalled);
}

/// The worker has fewer descriptors than handshakes that may run at the same time. Clients that
/// only connect do not keep all descriptors.
#[test]
fn stalled_handshakes_do_not_keep_the_last_descriptors() {
    let secure = Secure::new();
    let server = secure
        .server(TLS, "1")
        .wrapper(["sh", "-c", "ulimit -n 48; exec \"$@\"", "sh"])
        .start();
    // Several times as many clients as descriptors. If the worker waited for the timeout of each,
    // the client would time out before its answer.
    let stalled: Vec<_> = (0..160)
        .map(|_| connect(server.addr()).expect("the listen queue has space"))
        .collect();
    secure.client().get(server.addr(), "/").expect("an answer");
    drop(stalled);
}

/// Clients keep their connections after the handshake, until the worker has no descriptor left.
#[test]
fn a_shortage_of_descriptors_is_logged_once_and_ends() {
    let secure = Secure::new();
    let server = secure
        .server(TLS, "1")
        .wrapper(["sh", "-c", "ulimit -n 32; exec \"$@\"", "sh"])
        .start();
    let (addr, client) = (server.addr(), secure.client());
    let (sender, kept) = mpsc::channel();
    let clients = thread::spawn(move || {
        for _ in 0..64 {
            let Ok(connection) = client.connect(addr) else {
                return;
            };
            if sender.send(connection).is_err() {
                return;
            }
        }
    });
    let begins = "cannot accept connections on listener 'listener0': Too many open files";
    let ends = "accepts connections on listener 'listener0' again after";
    server.wait_for_log(|line| line.contains(begins));
    drop(kept);
    server.wait_for_log(|line| line.contains(ends));
    clients.join().expect("no panic");
    secure.client().get(addr, "/").expect("an answer");
    let log = server.log();
    let count = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    assert_eq!((count(begins), count(ends)), (1, 1), "{log:#?}");
}
