//! A master in the test's own process, with children that do what the test says.

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
        .expect("it can be started");
    eventually("the third child", || (children.starts() == 3).then_some(()));
    let line = log.wait_for(|line| line.text.contains("exited with status 3"));
    assert_eq!(line.level, Level::Error);
    master.stop();
    master.wait().expect("it was asked to stop");
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
        .expect("it can be started")
        .wait()
        .expect_err("no child may end");
    assert!(children.starts() >= 1, "{error}");
}

#[test]
fn the_body_greets_in_the_test_itself() {
    let worker = TestWorker::new();
    let body = worker.spawn(|worker| {
        let listener = worker.listener("listener0").expect("it was given");
        prefork_downstream::greet(&listener).expect("nothing goes wrong")
    });
    worker.wait_until_ready();
    for _ in 0..3 {
        let client = std::net::TcpStream::connect(worker.addr()).expect("it listens");
        let text = std::io::read_to_string(client).expect("it greets");
        assert!(text.starts_with("hello from "), "{text}");
    }
    worker.drain(Duration::from_secs(5));
    assert_eq!(body.wait(), 3);
}
