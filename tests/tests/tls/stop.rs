//! A stop answers over TLS whom it answers in plain text.

use prefork_testkit::Signal;
use prefork_tests::tls::{answer, ask};

use crate::secure::{Secure, TLS};

#[test]
fn a_stop_answers_what_was_asked_and_what_waits() {
    let secure = Secure::new();
    let mut server = secure
        .server(TLS, "2")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "30s")
        .start();
    let client = secure.client();
    let open = || client.connect(server.addr()).expect("a handshake");
    let in_flight: Vec<_> = (0..20)
        .map(|_| ask(open(), "/slow?ms=1000").expect("it reads"))
        .collect();
    // Accepted, perhaps, and asked in the moment of the stop.
    let late: Vec<_> = (0..20)
        .map(|_| ask(open(), "/").expect("it reads"))
        .collect();
    server.signal(Signal::SIGTERM);
    for connection in in_flight.into_iter().chain(late) {
        answer(connection).expect("everybody who asked is answered");
    }
    assert!(server.wait().success());
}
