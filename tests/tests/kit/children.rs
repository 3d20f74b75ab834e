//! Scripted children: each of them has the behavior of its script, and none is left.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use prefork::{Handle, Level, Prefork};
use prefork_testkit::{
    Behavior, CapturedLine, ChildInfo, MemoryLog, ScriptedChildren, Signal, eventually,
};
use prefork_tests::proc;

use crate::{LONG, TERMINATION, lock, resources};

/// The time that a child of [`start`] has to get ready and to stop.
///
/// Only children that never do so reach it.
const SHORT: &str = "300ms";

/// A master of one child, and its log.
fn start(children: &ScriptedChildren) -> (Handle, MemoryLog) {
    let log = MemoryLog::new();
    let master = Prefork::new()
        .workers(1)
        .ready_timeout(SHORT)
        .healthy_after(SHORT)
        .shutdown_grace_period(SHORT)
        .child_producer(children.producer())
        .logger(log.logger())
        .start()
        .expect("the master starts");
    (master, log)
}

/// The first child has this behavior. Later ones live.
fn at_first(behavior: Behavior) -> ScriptedChildren {
    ScriptedChildren::scripted(move |start| match start.nth {
        0 => behavior,
        _ => Behavior::Live,
    })
}

/// The line about the exit of a first child with this behavior.
fn end_of_first(behavior: Behavior) -> CapturedLine {
    let children = at_first(behavior);
    let (master, log) = start(&children);
    let line = log.wait_for(|line| line.text.starts_with("worker 0 "));
    stop(master);
    line
}

/// The line about the exit of a child with this behavior after a stop.
///
/// The stop is requested once `is_ready` returns true.
fn end_by_stop(behavior: Behavior, is_ready: impl Fn(ChildInfo) -> bool) -> CapturedLine {
    let children = ScriptedChildren::new(behavior);
    let (master, log) = start(&children);
    eventually("the scripted behavior", || {
        let child = children.alive().first().copied()?;
        is_ready(child).then_some(())
    });
    stop(master);
    log.wait_for(|line| line.text.starts_with("worker 0 "))
}

fn stop(master: Handle) {
    master.stop();
    master.wait().expect("a requested stop");
}

/// Whether the process has this state, a letter of `proc_pid_stat(5)`.
fn has_state(pid: i32, state: char) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|status| status.contains(&format!("\nState:\t{state}")))
}

/// Whether SIGTERM is in this set of the process: `SigCgt` (caught) or `SigIgn` (ignored).
fn has_sigterm(pid: i32, set: &str) -> bool {
    proc::signals(pid, set).is_some_and(|signals| signals & TERMINATION != 0)
}

#[test]
fn children_that_end_at_once_end_as_scripted() {
    let _lock = lock();
    let before = resources();
    for (behavior, level, end) in [
        (Behavior::Noop, Level::Warn, "exited with status 0"),
        (Behavior::Exit(7), Level::Error, "exited with status 7"),
        (
            Behavior::Signal(Signal::SIGTERM),
            Level::Error,
            "was killed by SIGTERM",
        ),
        (
            Behavior::Signal(Signal::SIGINT),
            Level::Error,
            "was killed by SIGINT",
        ),
        (
            Behavior::Signal(Signal::SIGCHLD),
            Level::Error,
            "exited with status 125",
        ),
        (
            Behavior::Panic("out of \x1b[2J ink"),
            Level::Error,
            "out of \\u{1b}[2J ink",
        ),
    ] {
        let line = end_of_first(behavior);
        assert!(line.text.contains(end), "{behavior:?}: {line}");
        assert_eq!(line.level, level, "{behavior:?}: {line}");
    }
    assert_eq!(resources(), before);
}

#[test]
fn children_that_break_a_rule_are_killed_for_it() {
    let _lock = lock();
    let before = resources();
    for (behavior, why) in [
        (Behavior::Flood, "more frames than allowed"),
        (Behavior::Liar, "a frame that is too long"),
        (Behavior::Unready, "not ready"),
    ] {
        let line = end_of_first(behavior);
        assert!(line.text.contains(why), "{behavior:?}: {line}");
    }
    assert_eq!(resources(), before);
}

#[test]
fn live_children_exit_when_a_stop_is_requested() {
    let _lock = lock();
    let before = resources();
    for behavior in [
        Behavior::Live,
        Behavior::Silent,
        Behavior::Late(Duration::ZERO),
        Behavior::Late(LONG),
    ] {
        let line = end_by_stop(behavior, |child| has_sigterm(child.pid, "SigCgt"));
        assert!(line.text.contains("exited with status 0"), "{line}");
    }
    assert_eq!(resources(), before);
}

#[test]
fn children_that_ignore_the_stop_are_killed() {
    let _lock = lock();
    let before = resources();
    let ignoring = end_by_stop(Behavior::Deaf, |child| has_sigterm(child.pid, "SigIgn"));
    assert!(ignoring.text.contains("killed by SIGKILL"), "{ignoring}");
    let stuck = end_by_stop(Behavior::Stuck, |child| has_state(child.pid, 'T'));
    assert!(stuck.text.contains("killed by SIGKILL"), "{stuck}");
    assert_eq!(resources(), before);
}

#[test]
fn each_start_can_have_another_behavior() {
    let _lock = lock();
    let children = ScriptedChildren::scripted(|start| match (start.slot, start.nth) {
        (0, 0 | 1) => Behavior::Exit(3),
        _ => Behavior::Live,
    });
    let log = MemoryLog::new();
    let master = Prefork::new()
        .workers(2)
        .child_producer(children.producer())
        .logger(log.logger())
        .start()
        .expect("the master starts");
    eventually("three in slot 0 and one in slot 1", || {
        (children.starts() == 4 && children.alive().len() == 2).then_some(())
    });
    let exits = log
        .lines()
        .iter()
        .filter(|l| l.text.contains("status 3"))
        .count();
    assert_eq!(exits, 2, "{log}");
    stop(master);
}

#[test]
fn remaining_children_are_killed_and_reaped_even_if_the_test_panics() {
    let _lock = lock();
    let before = resources();
    let mut alive = Vec::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let children = ScriptedChildren::new(Behavior::Deaf);
        let (master, log) = start(&children);
        eventually("a child that ignores SIGTERM", || {
            let child = children.alive().first().copied()?;
            has_sigterm(child.pid, "SigIgn").then_some(())
        });
        alive = children.alive();
        // The test stops nothing. The children are dropped before their master.
        let _guards = (children, master, log);
        panic!("the test fails here");
    }));
    assert!(result.is_err());
    assert_eq!(alive.len(), 1);
    assert_eq!(resources(), before);
}

#[test]
fn a_master_that_outlives_its_children_on_demand_ends_with_the_reason() {
    let _lock = lock();
    let before = resources();
    let children = ScriptedChildren::new(Behavior::Live);
    let (master, log) = start(&children);
    eventually("a child that handles SIGTERM", || {
        let child = children.alive().first().copied()?;
        has_sigterm(child.pid, "SigCgt").then_some(())
    });
    drop(children);
    let error = master.wait().expect_err("the producer returns an error");
    let reason = std::error::Error::source(&error).map(ToString::to_string);
    let reason = reason.expect("the producer's error");
    assert!(
        reason.contains("`ScriptedChildren` were dropped"),
        "{reason}"
    );
    log.wait_for(|line| line.text.contains("was killed by SIGKILL"));
    assert_eq!(resources(), before);
}

/// The other half of [`children_of_a_test_program_that_is_killed_end_with_it`].
#[test]
#[ignore = "waits to be killed"]
fn waits_to_be_killed() {
    let children = ScriptedChildren::scripted(|start| match start.slot {
        0 => Behavior::Deaf,
        _ => Behavior::Stuck,
    });
    let master = Prefork::new()
        .workers(2)
        .child_producer(children.producer())
        .start()
        .expect("the master starts");
    // The other half kills this process earlier. If this half runs alone, it ends here.
    std::thread::sleep(prefork_testkit::TIMEOUT);
    drop(master);
}

#[test]
fn children_of_a_test_program_that_is_killed_end_with_it() {
    let _lock = lock();
    let mut program = std::process::Command::new(std::env::current_exe().expect("it runs"))
        .args(["--exact", "children::waits_to_be_killed", "--ignored"])
        .spawn()
        .expect("the program starts");
    let pid = i32::try_from(program.id()).expect("the kernel's pids fit");
    let children = eventually("the scripted behavior of both", || {
        let children = proc::children(pid);
        let ignores_sigterm = children.iter().any(|&pid| has_sigterm(pid, "SigIgn"));
        let is_stuck = children.iter().any(|&pid| has_state(pid, 'T'));
        (ignores_sigterm && is_stuck).then_some(children)
    });
    assert_eq!(children.len(), 2);
    program.kill().expect("the child runs");
    program.wait().expect("its own child");
    eventually("the end of both children", || {
        (!children.iter().any(|&pid| proc::is_alive(pid))).then_some(())
    });
}

#[test]
fn dropping_scripted_children_kills_no_other_process() {
    let _lock = lock();
    let first = ScriptedChildren::new(Behavior::Live);
    let (master, _) = start(&first);
    let mut unrelated = std::process::Command::new("/bin/sleep")
        .arg("1000")
        .spawn()
        .expect("a program of every system");
    let second = ScriptedChildren::new(Behavior::Live);
    let (second_master, _) = start(&second);
    eventually("both children", || {
        (first.alive().len() == 1 && second.alive().len() == 1).then_some(())
    });
    drop(second);
    assert!(second_master.wait().is_err());
    assert_eq!(first.starts(), 1);
    assert_eq!(first.alive().len(), 1);
    assert_eq!(unrelated.try_wait().expect("its own child"), None);
    unrelated.kill().expect("the child runs");
    unrelated.wait().expect("its own child");
    stop(master);
}

#[test]
fn a_thousand_children_of_a_hundred_masters_leave_nothing() {
    let _lock = lock();
    let before = resources();
    for _ in 0..100 {
        let children = ScriptedChildren::new(Behavior::Noop);
        let log = MemoryLog::new();
        let result = Prefork::new()
            .workers(10)
            .recover_threshold(0)
            .child_producer(children.producer())
            .logger(log.logger())
            .start()
            .expect("the master starts")
            .wait();
        assert!(result.is_err(), "the first exit ends the master; {log}");
        assert!(children.alive().is_empty(), "{log}");
    }
    assert_eq!(resources(), before);
}
