//! Bodies as workers in the test's own process.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};

use prefork::Worker;
use prefork_testkit::TestWorker;
use prefork_tests::{client, proc};

use crate::{LONG, TERMINATION, lock, own_pid, resources, wait_for};

/// Answers each connection, and returns their number and the slot of the worker.
fn count(worker: &Worker) -> (usize, usize) {
    let listener = worker.listener("listener0").expect("it exists");
    let mut count = 0;
    while let Some(connection) = listener.blocking_accept() {
        let (stream, _) = connection.expect("a connection");
        let mut stream = stream.into_inner();
        std::io::Write::write_all(&mut stream, b"hello\n").expect("the client waits");
        count += 1;
    }
    (count, worker.slot())
}

fn is_answered(addr: SocketAddr) -> bool {
    let mut answer = String::new();
    let mut client = TcpStream::connect(addr).expect("the worker listens");
    std::io::Read::read_to_string(&mut client, &mut answer).is_ok() && answer == "hello\n"
}

#[test]
fn a_body_runs_as_a_worker_and_its_result_is_returned() {
    let _lock = lock();
    let before = resources();
    let worker = TestWorker::new();
    let body = worker.spawn(|worker| count(&worker));
    worker.wait_until_ready();
    assert!((0..3).all(|_| is_answered(worker.addr())));
    assert!(!worker.has_closed());
    worker.drain(LONG);
    assert_eq!(body.wait(), (3, 0));
    worker.wait_until_closed();
    assert!(TcpStream::connect(worker.addr()).is_err());
    drop(worker);
    wait_for(&before);
}

#[test]
fn a_body_on_this_thread_detects_the_death_of_its_master() {
    let _lock = lock();
    let before = resources();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let worker = TestWorker::with_listeners([("http", listener)], LONG);
    let result: Result<u8, String> = worker.run(|inner| {
        let listener = inner.listener("http").map_err(|error| error.to_string())?;
        worker.master_dies();
        assert!(listener.blocking_accept().is_none(), "no client connected");
        prefork::shutdown().blocking_wait();
        Err(format!("orphaned in slot {}", inner.slot()))
    });
    assert_eq!(result, Err("orphaned in slot 0".to_owned()));
    drop(worker);
    wait_for(&before);
}

#[test]
fn a_body_of_a_test_that_panics_ends() {
    let _lock = lock();
    let before = resources();
    let result = catch_unwind(|| {
        let worker = TestWorker::new();
        let _body = worker.spawn(|worker| count(&worker));
        worker.wait_until_ready();
        panic!("the test fails here");
    });
    assert!(result.is_err());
    wait_for(&before);
}

#[test]
fn a_panic_of_the_body_is_passed_on_to_the_test() {
    let _lock = lock();
    let before = resources();
    let worker = TestWorker::new();
    let body = worker.spawn(|_| -> () { panic!("out of ink") });
    let panic = catch_unwind(AssertUnwindSafe(|| body.wait())).expect_err("the body panics");
    assert_eq!(panic.downcast_ref(), Some(&"out of ink"));
    drop(worker);
    wait_for(&before);
}

#[test]
fn an_async_body_runs_as_a_worker() {
    let _lock = lock();
    let before = resources();
    let worker = TestWorker::new();
    let body = worker.spawn(|worker| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("descriptors");
        runtime.block_on(async {
            let listener = worker.listener("listener0").expect("it exists");
            let app = axum::Router::new().route("/", axum::routing::get(async || "hello\n"));
            axum::serve(listener, app)
                .with_graceful_shutdown(prefork::shutdown())
                .await
        })
    });
    worker.wait_until_ready();
    assert_eq!(
        client::get(worker.addr(), "/").expect("an answer"),
        "hello\n"
    );
    worker.drain(LONG);
    body.wait().expect("axum's serve has no errors");
    drop(worker);
    wait_for(&before);
}

#[test]
fn a_body_that_uses_shutdown_does_not_change_the_signal_handlers_of_the_test() {
    let _lock = lock();
    let before = resources();
    let worker = TestWorker::new();
    worker.run(|_| assert!(!prefork::shutdown().is_requested()));
    let caught = proc::signals(own_pid(), "SigCgt").expect("this process");
    assert_eq!(caught & TERMINATION, 0, "SIGTERM ends this test as before");
    drop(worker);
    wait_for(&before);
}
