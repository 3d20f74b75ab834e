//! If a valid new pair replaces the old pair, the next worker shows the new pair.

use std::time::{Duration, SystemTime};

use prefork_testkit::{Signal, eventually};
use prefork_tests::tls::Pair;

use crate::secure::{Secure, TLS, replace, shown};

#[test]
fn a_renewed_certificate_is_shown_by_the_next_worker() {
    let secure = Secure::new();
    let server = secure.server(TLS, "1").start();
    let renewed = secure.authority.issue();
    assert_ne!(shown(&secure, &server), renewed.der().to_vec());
    renewed.write(secure.path());
    replace(&server, 0);
    server.wait_for_log(|line| line.contains("new certificate"));
    assert_eq!(shown(&secure, &server), renewed.der().to_vec());
}

#[test]
fn a_rollout_gives_a_renewed_certificate_to_all_workers() {
    let secure = Secure::new();
    let server = secure
        .server(TLS, "2")
        .env("PREFORK_ROLLOUT_SOAK", "1ms")
        .start();
    let renewed = secure.authority.issue();
    renewed.write(secure.path());
    server.signal(Signal::SIGHUP);
    server.wait_for_log(|line| line.contains("rollout accepted"));
    // The kernel chooses the worker of a connection.
    eventually("the workers of before have exited", || {
        (server.children().len() == 2).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(shown(&secure, &server), renewed.der().to_vec());
    }
}

#[test]
fn the_expiry_of_a_certificate_is_logged_before() {
    let secure = Secure::new();
    let soon = SystemTime::now() + Duration::from_hours(24 * 3);
    let near = secure.authority.issue_with(|params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = soon.into();
    });
    near.write(secure.path());
    let explanation = secure.server(TLS, "1").env("PREFORK_EXPLAIN", "1").run();
    let expected = "\ncertificate\nfor localhost; valid until 2";
    assert!(
        explanation.text().contains(expected),
        "{}",
        explanation.text()
    );
    for workers in ["0", "1"] {
        let server = secure.server(TLS, workers).start();
        let line = server.wait_for_log(|line| line.contains("the certificate expires at"));
        assert!(line.ends_with("; renew it"), "{line}");
    }
    let server = secure.server(TLS, "1").start();
    secure.authority.issue().write(secure.path());
    replace(&server, 0);
    let line = server.wait_for_log(|line| line.contains("new certificate"));
    assert!(line.contains("valid until 4096"), "{line}");
}

#[test]
fn a_bad_renewal_is_refused_in_the_log_and_the_last_good_pair_serves_on() {
    let secure = Secure::new();
    let good = secure.authority.issue();
    good.write(secure.path());
    let server = secure.server(TLS, "1").start();
    let other = secure.authority.issue();
    let expired = secure.authority.issue_with(|params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 2, 1);
    });
    let mixed = Pair {
        cert: other.cert.clone(),
        key: good.key.clone(),
    };
    let garbage = Pair {
        cert: "garbage".to_owned(),
        key: other.key.clone(),
    };
    for (bad, why) in [
        (mixed, "does not match the first certificate of tls_cert"),
        (expired, "expired at 2001-02-01"),
        (garbage, "not PEM"),
    ] {
        bad.write(secure.path());
        replace(&server, 0);
        let line = server.wait_for_log(|line| line.contains(why));
        assert!(line.contains("keeping the previous certificate"), "{line}");
        assert_eq!(shown(&secure, &server), good.der().to_vec(), "{why}");
    }
    other.write(secure.path());
    replace(&server, 0);
    server.wait_for_log(|line| line.contains("new certificate"));
    assert_eq!(shown(&secure, &server), other.der().to_vec());
}

/// A shell counts in blocks of 512 or 1024 bytes, so the limit is 20 KiB or 40 KiB.
#[test]
fn a_renewal_that_no_worker_could_be_given_is_refused() {
    let secure = Secure::new();
    let good = secure.authority.issue();
    good.write(secure.path());
    let limited = ["sh", "-c", "ulimit -f 40; exec \"$@\"", "sh"];
    let server = secure.server(TLS, "1").wrapper(limited).start();
    let Pair { cert, key } = secure.authority.issue();
    let cert = format!("{cert}{}", "a comment\n".repeat(10_000));
    Pair { cert, key }.write(secure.path());
    replace(&server, 0);
    let line = server.wait_for_log(|line| line.contains("cannot be passed to workers"));
    assert!(
        line.contains("`ulimit -f`") && line.contains("keeping the previous certificate"),
        "{line}"
    );
    assert_eq!(shown(&secure, &server), good.der().to_vec());
}
