//! P26, P30, P31: the test kit. `kit.rs` next to this folder has the detailed tests of the kit.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use prefork::{Error, Level, Prefork};
use prefork_testkit::{
    Behavior, MemoryLog, ScriptedChildren, Server, TestWorker, eventually, reserve_addr,
};
use prefork_tests::client::get;

use crate::support::{assert_gone, record_hooks, spawned, start};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");

#[test]
fn p26_a_free_address_stays_free_until_the_server_has_it() {
    let free = reserve_addr();
    let mut server = Server::new(HELLO)
        .listen(free.to_string())
        .env("PREFORK_WORKERS", "1")
        .start();
    assert_eq!(server.addr(), free.addr());
    get(free.addr(), "/").expect("an answer");
    assert_eq!(server.stop().code(), Some(0));
}

/// The same test as in `fasthttp/prefork`: a fleet of no-op children, until the master ends.
#[test]
fn p26_noop_children_end_their_master() {
    let children = ScriptedChildren::new(Behavior::Noop);
    let log = MemoryLog::new();
    let prefork = Prefork::new()
        .listen(reserve_addr().to_string())
        .workers(2)
        .recover_threshold(1)
        .child_producer(children.producer())
        .logger(log.logger());
    let (prefork, calls) = record_hooks(prefork);
    let result = start(prefork).wait();
    assert!(
        matches!(result, Err(Error::OverRecovery { exits: 2, .. })),
        "{result:?}"
    );
    assert_gone(&spawned(&calls.all()));
}

#[test]
fn p26_children_are_killed_and_reaped_when_the_test_panics() {
    let mut pids = Vec::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let children = ScriptedChildren::new(Behavior::Deaf);
        let prefork = Prefork::new()
            .workers(2)
            .child_producer(children.producer())
            .logger(MemoryLog::new().logger());
        let (prefork, calls) = record_hooks(prefork);
        let _master = start(prefork);
        pids = spawned(&calls.wait("both children, announced", 3));
        panic!("the test fails here");
    }));
    assert!(result.is_err());
    assert_eq!(pids.len(), 2);
    eventually("their end", || catch_unwind(|| assert_gone(&pids)).ok());
}

#[test]
fn p30_a_body_runs_as_a_worker_in_the_tests_own_process() {
    let worker = TestWorker::new();
    let body = worker.spawn(|worker| {
        let listener = worker.listener("listener0").expect("a listener");
        let (stream, _) = listener.blocking_accept()?.expect("a connection");
        stream
            .into_inner()
            .write_all(b"hello\n")
            .expect("the client reads");
        // `None`: the worker was asked to stop.
        assert!(listener.blocking_accept().is_none());
        Some(worker.listeners()[0].socket_addr().expect("an IP address"))
    });
    worker.wait_until_ready();
    let mut text = String::new();
    let mut client = TcpStream::connect(worker.addr()).expect("the worker listens");
    client.read_to_string(&mut text).expect("an answer");
    assert_eq!(text, "hello\n");
    worker.drain(Duration::from_secs(30));
    assert_eq!(body.wait(), Some(worker.addr()));
}

#[test]
fn p31_a_logger_keeps_the_lines_for_assertions() {
    let children = ScriptedChildren::scripted(|start| match start.nth {
        0 => Behavior::Exit(7),
        _ => Behavior::Live,
    });
    let log = MemoryLog::new();
    let prefork = Prefork::new()
        .workers(1)
        .child_producer(children.producer())
        .logger(log.logger());
    let master = start(prefork);
    let line = log.wait_for(|line| line.text.contains("exited with status 7"));
    assert_eq!(line.level, Level::Error);
    crate::support::stop(master);
    let lines = log.lines();
    let [.., last, stopped] = lines.as_slice() else {
        panic!("expected two or more lines: {log}");
    };
    assert!(last.text.contains("worker 0"), "{last:?}");
    assert!(stopped.text.starts_with("stopped after "), "{stopped:?}");
}
