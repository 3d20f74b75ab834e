//! A test with its own `main`. Scripted children exit before they reach it.

use prefork::Prefork;
use prefork_testkit::{Behavior, MemoryLog, ScriptedChildren, eventually};

fn main() {
    // A child that reached this line would start a master, which would start children, without end.
    assert!(!prefork::is_child(), "a scripted child reached main");
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
        .expect("the master starts");
    log.wait_for(|line| {
        line.text.contains("worker 1") && line.text.contains("exited with status 0")
    });
    eventually("two in each slot", || {
        (children.starts() == 4).then_some(())
    });
    master.stop();
    master.wait().expect("the master stops without an error");
    assert!(children.alive().is_empty());
    println!("children on demand end before a main without a harness: ok");
}
