//! Clients are answered over TLS, whether the listener or the body does the handshake.
//!
//! A returning client resumes its session.

use std::fs;
use std::io::{Read, Write};
use std::process::Command;

use prefork_tests::client::slot_and_pid;
use prefork_tests::tls::{Authority, Client};
use rustls::HandshakeKind;

use crate::secure::{BY_HAND, Secure, TLS, replace, visit};

const HTTPS: &str = env!("CARGO_BIN_EXE_https");

#[test]
fn a_server_speaks_tls_with_the_certificate_of_its_files() {
    let secure = Secure::new();
    let server = secure.server(TLS, "2").start();
    let body = secure.client().get(server.addr(), "/").expect("an answer");
    assert!(slot_and_pid(&body).is_some(), "{body}");
    let untrusting = Client::new(&Authority::new("another"), &[]);
    untrusting
        .get(server.addr(), "/")
        .expect_err("the client trusts another authority");
}

#[test]
fn the_example_serves_plain_and_secure_side_by_side() {
    let secure = Secure::new();
    let server = secure
        .server(HTTPS, "1")
        .listen("http=127.0.0.1:0,https=tls://127.0.0.1:0")
        .start();
    secure
        .client()
        .get(server.addr_of("https"), "/")
        .expect("an answer");
    let plain = prefork_tests::client::ask(server.addr_of("http"), "/").expect("a connection");
    let mut text = String::new();
    (&plain).read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 308 "), "{text}");
}

#[test]
fn a_body_may_do_the_handshakes_itself() {
    let secure = Secure::new();
    let server = secure.server(BY_HAND, "1").start();
    let body = secure.client().get(server.addr(), "/").expect("an answer");
    assert_eq!(body, "by hand\n");
}

/// The minimum of RFC 9113: the preface, no settings, and one request with header fields of the
/// static table.
#[test]
fn a_request_of_http_2_is_answered() {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    let fields = b"\x82\x87\x84\x41\x09localhost";
    let secure = Secure::new();
    let server = secure.server(TLS, "1").start();
    let client = Client::new(&secure.authority, &["h2"]);
    let mut connection = client.connect(server.addr()).expect("a handshake");
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend(SETTINGS);
    let length = u8::try_from(fields.len()).expect("a few bytes");
    // The frame ends the headers and the stream (END_HEADERS, END_STREAM), on stream 1.
    request.extend([0, 0, length, HEADERS, 5, 0, 0, 0, 1]);
    request.extend(fields);
    connection.write_all(&request).expect("the server reads");
    for _ in 0..16 {
        let mut head = [0; 9];
        connection.read_exact(&mut head).expect("a frame");
        let mut body = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        connection.read_exact(&mut body).expect("a frame");
        if head[3] == HEADERS {
            // `:status: 200` in the static table.
            assert_eq!(body[0], 0x88);
            return;
        }
    }
    panic!("no answer among 16 frames");
}

#[test]
fn the_protocol_is_the_first_of_the_server_that_the_client_offers() {
    let secure = Secure::new();
    let server = secure.server(TLS, "1").start();
    for (offered, chosen) in [
        (&["http/1.1", "h2"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let client = Client::new(&secure.authority, offered);
        let connection = client.connect(server.addr()).expect("a handshake");
        let found = connection.conn.alpn_protocol().map(String::from_utf8_lossy);
        assert_eq!(found.as_deref(), chosen);
    }
    let other = Client::new(&secure.authority, &["gopher"]);
    other
        .connect(server.addr())
        .map(drop)
        .expect_err("no protocol in common");
}

/// Another worker resumes the session of a worker, and so does a replacement.
#[test]
fn every_worker_resumes_a_session() {
    let secure = Secure::new();
    let server = secure.server(TLS, "2").start();
    let client = secure.client();
    let mut issuer = None;
    let mut resumed_by_another = false;
    // The kernel chooses the worker that answers.
    for _ in 0..500 {
        let (body, kind) = visit(&client, server.addr());
        let (slot, _) = slot_and_pid(&body).expect("the answer names its worker");
        match issuer.replace(slot) {
            None => assert_eq!(kind, Some(HandshakeKind::Full)),
            Some(before) => {
                assert_eq!(kind, Some(HandshakeKind::Resumed));
                resumed_by_another |= before != slot;
            }
        }
        if resumed_by_another {
            break;
        }
    }
    assert!(resumed_by_another, "all 500 were answered by one worker");
    for slot in 0..2 {
        replace(&server, slot);
    }
    let (_, kind) = visit(&client, server.addr());
    assert_eq!(kind, Some(HandshakeKind::Resumed));
}

#[test]
fn openssl_shakes_hands_and_resumes() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: needs openssl");
        return;
    }
    let secure = Secure::new();
    let ca = secure.path().join("ca.pem");
    fs::write(&ca, secure.authority.pem()).expect("the test owns the folder");
    let server = secure.server(TLS, "1").start();
    for version in ["-tls1_3", "-tls1_2"] {
        let session = secure.path().join(format!("session{version}"));
        let client = |use_session: &str| {
            let output = Command::new("sh")
                .arg("-c")
                .arg(
                    r#"printf 'GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n' |
                    exec openssl s_client -connect "$1" -servername localhost -verify_return_error -CAfile "$2" "$3" "$4" "$5" -ign_eof 2>&1"#,
                )
                .arg("sh")
                .arg(server.addr().to_string())
                .arg(&ca)
                .arg(version)
                .arg(use_session)
                .arg(&session)
                .output()
                .expect("sh is available");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let first = client("-sess_out");
        assert!(first.contains("Verify return code: 0 (ok)"), "{first}");
        assert!(
            first.contains("\nNew, ") && first.contains("hello from worker"),
            "{first}"
        );
        let again = client("-sess_in");
        assert!(
            again.contains("\nReused, ") && again.contains("hello from worker"),
            "{again}"
        );
    }
}

#[test]
fn a_single_process_serves_tls() {
    let secure = Secure::new();
    let server = secure.server(TLS, "0").start();
    let body = secure.client().get(server.addr(), "/").expect("an answer");
    assert!(slot_and_pid(&body).is_some(), "{body}");
}
