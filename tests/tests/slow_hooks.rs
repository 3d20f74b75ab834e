//! A hook runs on the master's thread and may be slow. After the hook, the master handles what
//! happened meanwhile before it treats a child as late and before it starts another child.

use std::thread;
use std::time::Duration;

use prefork::Prefork;
use prefork_testkit::{Behavior, MemoryLog, ScriptedChildren};

fn prefork(children: &ScriptedChildren, log: &MemoryLog) -> Prefork {
    Prefork::new()
        .child_producer(children.producer())
        .logger(log.logger())
}

#[test]
fn a_child_that_becomes_ready_during_a_slow_hook_is_not_late() {
    let (children, log) = (ScriptedChildren::new(Behavior::Live), MemoryLog::new());
    let mut prefork = prefork(&children, &log);
    // The hook takes longer than `ready_timeout`, and each child becomes ready during the hook.
    let (sender, receiver) = std::sync::mpsc::channel();
    prefork =
        prefork
            .workers(2)
            .ready_timeout("3s")
            .on_master_ready(move |_: &prefork::MasterReady| {
                thread::sleep(Duration::from_secs(4));
                sender.send(())
            });
    let handle = prefork.start().expect("the master starts");
    receiver.recv().expect("the hook was called");
    handle.stop();
    handle.wait().expect("the master was asked to stop");
    let late = log
        .lines()
        .into_iter()
        .filter(|line| line.text.contains("not ready"));
    assert_eq!(late.count(), 0, "{log}");
}

#[test]
fn a_stop_during_a_slow_hook_starts_no_further_child() {
    let (children, log) = (ScriptedChildren::new(Behavior::Live), MemoryLog::new());
    let mut prefork = prefork(&children, &log);
    let (sender, receiver) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    prefork = prefork
        .workers(50)
        .on_child_spawn(move |_: &prefork::ChildSpawned| {
            // Only the first call waits: `go_on` is dropped after the stop was requested.
            let _ = sender.send(());
            let _ = released.recv();
        });
    let handle = prefork.start().expect("the master starts");
    receiver.recv().expect("a first child");
    handle.stop();
    drop(release);
    handle.wait().expect("the master was asked to stop");
    assert_eq!(children.starts(), 1, "{log}");
}
