//! A master in the process of the test, with scripted children.

use std::time::Duration;

use prefork::{Level, Prefork};
use prefork_testkit::{Behavior, MemoryLog, ScriptedChildren, TestWorker, eventually};

#[test]
fn a_slot_recovers_from_crashes() {
    let log = MemoryLog::new();
    let children = ScriptedChildren::scripted(|start| match start.nth {
        0 | 1 => Behavior::Exit(3),
        _ => Behavior::Live,
    });
    let master = Prefork::new()
        .workers(1)
        .child_producer(children.producer())
        .logger(log.logger())
        .start()
        .expect("the master starts");
    eventually("the third child", || (children.starts() == 3).then_some(()));
    let line = log.wait_for(|line| line.text.contains("exited with status 3"));
    assert_eq!(line.level, Level::Error);
    master.stop();
    master.wait().expect("the master stops without an error");
    assert!(children.alive().is_empty());
}

#[test]
fn a_fleet_of_crashing_children_ends() {
    let children = ScriptedChildren::new(Behavior::Noop);
    let error = Prefork::new()
        .workers(2)
        .recover_threshold(0)
        .child_producer(children.producer())
        .logger(MemoryLog::new().logger())
        .start()
        .expect("the master starts")
        .wait()
        .expect_err("the threshold allows no exit");
    assert!(children.starts() >= 1, "{error}");
}

#[test]
fn the_body_greets_in_the_test_itself() {
    let worker = TestWorker::new();
    let body = worker.spawn(|worker| {
        let listener = worker
            .listener("listener0")
            .expect("the worker has this listener");
        prefork_downstream::greet(&listener).expect("every connection is accepted")
    });
    worker.wait_until_ready();
    for _ in 0..3 {
        let client = std::net::TcpStream::connect(worker.addr()).expect("the worker listens");
        let text = std::io::read_to_string(client).expect("the worker sends a greeting");
        assert!(text.starts_with("hello from "), "{text}");
    }
    worker.drain(Duration::from_secs(5));
    assert_eq!(body.wait(), 3);
}
