//! Bodies that use TLS, as workers in the test's own process.

use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use axum::Router;
use axum::routing::get;
use prefork::{Prefork, Transport, Worker};
use prefork_testkit::TestWorker;
use prefork_tests::client;
use prefork_tests::tls::{Authority, Client, Pair};

use crate::{LONG, lock, resources, wait_for};

/// Serves a listener, with TLS if the options set it, until a stop is requested.
async fn serve(worker: &Worker, name: &str) {
    let app = Router::new().route("/", get(async || "hello\n"));
    let stop = prefork::shutdown();
    let served = if worker
        .listener_info(name)
        .expect("the listener exists")
        .transport()
        == Transport::Tls
    {
        let listener = worker.tls_listener(name).expect("it uses TLS");
        axum::serve(listener, app)
            .with_graceful_shutdown(stop)
            .await
    } else {
        let listener = worker.listener(name).expect("it does not use TLS");
        axum::serve(listener, app)
            .with_graceful_shutdown(stop)
            .await
    };
    served.expect("axum's serve has no errors");
}

fn block_on<R>(future: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("descriptors").block_on(future)
}

/// Sets certificate and key as bytes in memory.
fn certify(options: Prefork, Pair { cert, key }: &Pair) -> Prefork {
    options
        .tls_cert(cert.clone().into_bytes())
        .tls_key(key.clone().into_bytes())
}

fn is_answered(addr: SocketAddr, trusted: Option<&Authority>) -> bool {
    let answer = match trusted {
        Some(authority) => Client::new(authority, &[]).get(addr, "/"),
        None => client::get(addr, "/"),
    };
    answer.is_ok_and(|body| body == "hello\n")
}

#[test]
fn is_tls_returns_what_the_options_set() {
    let _lock = lock();
    let before = resources();
    let authority = Authority::new("the test's");
    let secure = TestWorker::with_options(certify(Prefork::new(), &authority.issue()));
    for (worker, trusted) in [(TestWorker::new(), None), (secure, Some(&authority))] {
        let body = worker.spawn(|worker| block_on(serve(&worker, "listener0")));
        worker.wait_until_ready();
        assert!(is_answered(worker.addr(), trusted));
        worker.drain(LONG);
        body.wait();
        worker.wait_until_closed();
    }
    wait_for(&before);
}

/// Addresses as in a container: all interfaces, with the port of the platform.
#[test]
fn listeners_have_the_names_of_the_options_and_ports_of_their_own() {
    let _lock = lock();
    let before = resources();
    let authority = Authority::new("the test's");
    let worker = TestWorker::with_options(certify(
        Prefork::new().listen(["http=0.0.0.0", "https=tls://0.0.0.0"]),
        &authority.issue(),
    ));
    let (http, https) = (worker.addr_of("http"), worker.addr_of("https"));
    assert_eq!([http.ip(), https.ip()], [Ipv4Addr::LOCALHOST; 2]);
    let body = worker.spawn(|worker| {
        block_on(async { tokio::join!(serve(&worker, "http"), serve(&worker, "https")) })
    });
    worker.wait_until_ready();
    assert!(is_answered(http, None));
    assert!(is_answered(https, Some(&authority)));
    worker.drain(LONG);
    body.wait();
    worker.wait_until_closed();
    drop(worker);
    wait_for(&before);
}

#[test]
fn a_tls_listener_cannot_be_taken_as_a_plain_one() {
    let _lock = lock();
    let before = resources();
    let worker = TestWorker::with_options(certify(
        Prefork::new().listen(["http=:80", "https=tls://:443"]),
        &Authority::new("the test's").issue(),
    ));
    worker.run(|worker| {
        worker.listener("http").expect("it does not use TLS");
        let refusal = worker.listener("https").expect_err("it uses TLS");
        let refusal = refusal.to_string();
        assert!(refusal.contains("listener 'https' uses TLS"), "{refusal}");
        worker.tls_config().expect("there are certificates");
        worker
            .tcp_listener("https")
            .expect("the body does the handshakes");
    });
    drop(worker);
    wait_for(&before);
}

#[test]
fn the_time_to_drain_is_that_of_the_options() {
    let _lock = lock();
    let before = resources();
    let worker = TestWorker::with_options(Prefork::new().listen(":80").shutdown_grace_period("1h"));
    let began = Instant::now();
    let shutdown = worker.run(|worker| {
        // A listener that is dropped counts as closed.
        drop(worker.listener("listener0"));
        worker.shutdown()
    });
    worker.master_dies();
    shutdown.blocking_wait();
    let deadline = shutdown.deadline().expect("a stop was requested");
    assert!(deadline - began > LONG, "longer than the default");
    drop(worker);
    wait_for(&before);
}

/// The panic message of a test with invalid options.
fn refusal(options: Prefork) -> String {
    let made = catch_unwind(AssertUnwindSafe(|| TestWorker::with_options(options)));
    let panic = made.expect_err("the options are invalid");
    *panic.downcast::<String>().expect("a text")
}

#[test]
fn invalid_options_of_a_test_worker_are_reported() {
    let _lock = lock();
    let message = refusal(Prefork::new());
    assert!(
        message.contains("uses TLS, which needs tls_cert and tls_key"),
        "{message}"
    );
    let message = refusal(Prefork::new().listen(":80").tls_cert("missing.pem"));
    assert!(
        message.contains("tls_cert: needs tls_key as well"),
        "{message}"
    );
    let message = refusal(Prefork::new().listen(":80").workers("many"));
    assert!(message.contains("workers: 'many'"), "{message}");
}
