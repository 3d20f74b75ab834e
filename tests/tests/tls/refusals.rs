//! If TLS cannot be served as configured, the start fails with an error that contains the reason.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use prefork_testkit::Server;
use prefork_tests::tls::Pair;

use crate::secure::{BY_HAND, Secure, TLS};

/// The log of a start that fails because of its TLS options.
fn refusal(server: Server) -> String {
    let output = server.run();
    assert_eq!(output.status.code(), Some(78), "{:#?}", output.log);
    assert!(!output.log.iter().any(|line| line.contains("listening on")));
    output.log.join("\n")
}

#[test]
fn every_bad_pair_ends_the_start_with_its_own_error_and_without_the_key() {
    let secure = Secure::new();
    let good = secure.authority.issue();
    let other = secure.authority.issue();
    let dated = |from: i32, to: i32| {
        secure.authority.issue_with(|params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        })
    };
    let (old, future) = (dated(2001, 2002), dated(2901, 2902));
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let half = good.key[..good.key.len() / 2].to_owned();
    for (cert, key, why) in [
        ("", good.key.as_str(), "PREFORK_TLS_CERT ('"),
        ("garbage", &good.key, "is not PEM"),
        (&good.cert, "garbage", "is not PEM"),
        (&good.key, &good.cert, "swapped"),
        (&good.cert, &good.cert, "no private key"),
        (&good.cert, &encrypted, "encrypted"),
        (&good.cert, &half, "no '-----END' line"),
        (
            &good.cert,
            &other.key,
            "does not match the first certificate of tls_cert",
        ),
        (&old.cert, &old.key, "expired at 2002-01-01"),
        (&future.cert, &future.key, "not valid before 2901-01-01"),
    ] {
        let pair = Pair {
            cert: cert.to_owned(),
            key: key.to_owned(),
        };
        pair.write(secure.path());
        let log = refusal(secure.server(TLS, "1"));
        assert!(log.contains(why), "{why}: {log}");
        for secret in [&good.key, &other.key] {
            // The log contains no line of the key.
            let lines = secret.lines().filter(|line| !line.starts_with("-----"));
            assert!(lines.into_iter().all(|line| !log.contains(line)), "{log}");
        }
        // An explanation fails in the same way and starts no worker.
        let explained = refusal(secure.server(TLS, "1").env("PREFORK_EXPLAIN", "1"));
        assert!(explained.contains(why), "{why}: {explained}");
    }
}

#[test]
fn files_that_cannot_be_read_end_the_start() {
    let secure = Secure::new();
    let missing = secure.path().join("missing.pem");
    let log = refusal(secure.server(TLS, "1").env("PREFORK_TLS_KEY", &missing));
    assert!(log.contains("missing.pem'): no such file"), "{log}");
    assert!(log.contains("Check that the path is correct"), "{log}");
    let relative = secure
        .server(TLS, "1")
        .env("PREFORK_TLS_KEY", "missing.pem");
    let whole = std::path::absolute("missing.pem").expect("a current directory");
    let (log, whole) = (refusal(relative), whole.display().to_string());
    assert!(log.contains(&whole), "{whole}: {log}");
    let log = refusal(
        secure
            .server(TLS, "1")
            .env("PREFORK_TLS_CERT", secure.path()),
    );
    assert!(log.contains("is a directory"), "{log}");
    assert!(
        log.contains("tls_cert takes the certificate of the server"),
        "{log}"
    );
    let log = refusal(
        secure
            .server(TLS, "1")
            .env("PREFORK_TLS_CLIENT_CA", secure.path().join("key.pem")),
    );
    assert!(log.contains("PREFORK_TLS_CLIENT_CA ('"), "{log}");
    assert!(
        log.contains("tls_client_ca takes the CA certificates"),
        "{log}"
    );
    let closed = secure.path().join("key.pem");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).expect("the test owns the file");
    if fs::File::open(&closed).is_err() {
        let log = refusal(secure.server(TLS, "1"));
        assert!(log.contains("cannot be read"), "{log}");
    } else {
        println!("skipped: needs a user without the right to read every file");
    }
}

#[test]
fn contradicting_options_are_reported() {
    let secure = Secure::new();
    let log = refusal(secure.server(TLS, "1").env_remove("PREFORK_TLS_KEY"));
    assert!(
        log.contains("PREFORK_TLS_CERT: needs tls_key as well"),
        "{log}"
    );
    let empty = refusal(secure.server(TLS, "1").env("PREFORK_TLS_KEY", ""));
    assert_eq!(empty, log, "an empty variable counts as unset");
    let neither = Server::new(TLS).listen("tls://127.0.0.1:0");
    let log = refusal(neither);
    assert!(
        log.contains("uses TLS, which needs tls_cert and tls_key"),
        "{log}"
    );
    let log = refusal(secure.server(TLS, "1").listen("127.0.0.1:0"));
    assert!(
        log.contains("does not use TLS, but its argument is a TlsListener"),
        "{log}"
    );
    let log = refusal(secure.server(env!("CARGO_BIN_EXE_hello"), "1"));
    assert!(
        log.contains("uses TLS (tls://), but its argument does not"),
        "{log}"
    );
    let log = refusal(Server::new(BY_HAND).listen("127.0.0.1:0"));
    assert!(log.contains("needs tls_cert and tls_key"), "{log}");
}

#[test]
fn a_certificate_without_a_tls_listener_is_logged() {
    let secure = Secure::new();
    let plain = env!("CARGO_BIN_EXE_hello");
    let server = secure.server(plain, "1").listen("127.0.0.1:0").start();
    server.wait_for_log(|line| line.contains("tls_cert is set, but no listener uses TLS"));
}

/// In single mode, the only process reads the certificates.
#[test]
fn an_explanation_of_a_single_process_fails_like_its_start() {
    let secure = Secure::new();
    let missing = secure.path().join("missing.pem");
    let single = || secure.server(TLS, "0").env("PREFORK_TLS_KEY", &missing);
    let started = refusal(single());
    let explained = refusal(single().env("PREFORK_EXPLAIN", "1"));
    for log in [started, explained] {
        let why = "missing.pem'): no such file";
        assert!(log.contains(why), "{log}");
    }
}
