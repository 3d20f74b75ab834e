//! A test with a `main` of its own: its children end before it, too.

use prefork::Prefork;
use prefork_testkit::{Behavior, MemoryLog, ScriptedChildren, eventually};

fn main() {
    // A child that comes here would start a master, and that one a child, and so on.
    assert!(!prefork::is_child(), "a child on demand reached main");
    let log = MemoryLog::new();
    let children = ScriptedChildren::scripted(|start| match start.nth {
        0 => Behavior::Noop,
        _ => Behavior::Live,
    });
    let master = Prefork::new()
        .workers(2)
        .child_producer(children.producer())
        .logger(log.logger())
        .start()
        .expect("it can be started");
    log.wait_for(|line| {
        line.text.contains("worker 1") && line.text.contains("exited with status 0")
    });
    eventually("two in each slot", || {
        (children.starts() == 4).then_some(())
    });
    master.stop();
    master.wait().expect("it was asked to stop");
    assert!(children.alive().is_empty());
    println!("children on demand end before a main without a harness: ok");
}
