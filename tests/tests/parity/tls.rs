//! P21: a listener without TLS, with certificates from files, and with certificates from memory.
//! These tests run the body in the test process. The tests in `tls/` next to this folder use the
//! attribute and the builder, with real children.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use prefork::{Prefork, Worker};
use prefork_testkit::TestWorker;
use prefork_tests::client;
use prefork_tests::tls::{Authority, Client, Pair};
use rustls::{ServerConnection, StreamOwned};

/// A body that answers one client, with TLS if certificates are set.
fn greet(worker: &Worker) {
    let listener = worker.listener("listener0").expect("a listener");
    let accepted = listener.blocking_accept().expect("no stop");
    let (mut stream, _) = accepted.expect("a connection");
    let Ok(config) = worker.tls_config() else {
        return stream.write_all(b"hello\n").expect("the client reads");
    };
    let connection = ServerConnection::new(config).expect("a valid configuration");
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(b"hello\n").expect("the client reads");
    stream.conn.send_close_notify();
    stream.flush().expect("the client reads");
}

/// The answer that a client gets, and the certificate if the client trusts an authority.
fn visit(addr: SocketAddr, trusted: Option<&Authority>) -> (String, Option<Vec<u8>>) {
    let mut text = String::new();
    let Some(trusted) = trusted else {
        let mut stream = client::connect(addr).expect("the worker listens");
        stream.read_to_string(&mut text).expect("an answer");
        return (text, None);
    };
    let connection = Client::new(trusted, &[]).connect(addr);
    let mut connection = connection.expect("a handshake");
    connection.read_to_string(&mut text).expect("an answer");
    let chain = connection.conn.peer_certificates().expect("a certificate");
    (text, Some(chain[0].to_vec()))
}

#[test]
fn p21_without_certificates_the_listener_is_plain() {
    let worker = TestWorker::new();
    let body = worker.spawn(|worker| greet(&worker));
    assert_eq!(visit(worker.addr(), None), ("hello\n".to_owned(), None));
    body.wait();
}

fn shown_is_given(worker: &TestWorker, authority: &Authority, given: &Pair) {
    let body = worker.spawn(|worker| {
        // Every call returns the same configuration.
        let config = worker.tls_config().expect("certificates are set");
        let again = worker.tls_config().expect("certificates are set");
        assert!(Arc::ptr_eq(&config, &again));
        greet(&worker);
    });
    let (text, shown) = visit(worker.addr(), Some(authority));
    assert_eq!(text, "hello\n");
    assert_eq!(shown, Some(given.der().to_vec()));
    body.wait();
}

#[test]
fn p21_certificate_and_key_of_files_reach_the_body() {
    let authority = Authority::new("the test's");
    let folder = tempfile::tempdir().expect("a folder");
    let given = authority.issue();
    let (cert, key) = given.write(folder.path());
    let worker = TestWorker::with_options(Prefork::new().tls_cert(cert).tls_key(key));
    shown_is_given(&worker, &authority, &given);
}

#[test]
fn p21_certificate_and_key_of_memory_reach_the_body() {
    let authority = Authority::new("the test's");
    let given = authority.issue();
    let bytes = |text: &str| text.as_bytes().to_vec();
    let options = Prefork::new()
        .tls_cert(bytes(&given.cert))
        .tls_key(bytes(&given.key));
    let worker = TestWorker::with_options(options);
    shown_is_given(&worker, &authority, &given);
}
