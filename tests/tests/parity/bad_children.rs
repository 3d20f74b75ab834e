//! Children that misbehave.

use std::time::Duration;

use prefork::{Error, Level, Prefork};
use prefork_testkit::{Behavior, MemoryLog, ScriptedChildren, Server, Signal, eventually};
use prefork_tests::proc;

use crate::support::{Lines, fail, record_hooks, spawned, start, stop};

const ODD: &str = env!("CARGO_BIN_EXE_odd");

/// A master with one worker. All its children follow the script.
fn master(children: &ScriptedChildren) -> (Prefork, MemoryLog) {
    let log = MemoryLog::new();
    let prefork = Prefork::new()
        .workers(1)
        .child_producer(children.producer())
        .logger(log.logger());
    (prefork, log)
}

#[test]
fn bad_children_that_exit_at_once_count_and_are_logged_with_their_status() {
    for (behavior, expected, level) in [
        (Behavior::Noop, "exited with status 0", Level::Warn),
        (Behavior::Exit(1), "exited with status 1", Level::Error),
        (
            Behavior::Signal(Signal::SIGKILL),
            "was killed by SIGKILL",
            Level::Error,
        ),
        (
            Behavior::Signal(Signal::SIGTERM),
            "was killed by SIGTERM",
            Level::Error,
        ),
    ] {
        let children = ScriptedChildren::new(behavior);
        let (prefork, log) = master(&children);
        let error = fail(prefork.recover_threshold(2));
        assert!(
            matches!(error, Error::OverRecovery { exits: 3, .. }),
            "{behavior:?}: {error}"
        );
        assert!(error.to_string().contains(expected), "{error}");
        let lines = log.with(expected);
        assert_eq!(lines.len(), 3, "{log}");
        assert!(lines.iter().all(|line| line.level == level), "{log}");
        assert_eq!(children.starts(), 3, "{behavior:?}");
    }
}

#[test]
fn bad_children_that_die_before_they_are_ready_do_not_stop_those_that_serve() {
    let children = ScriptedChildren::scripted(|start| match start.slot {
        0 => Behavior::Live,
        _ => Behavior::Exit(1),
    });
    let (prefork, log) = master(&children);
    let (prefork, calls) = record_hooks(prefork);
    let master = start(prefork.workers(2).recover_threshold(100));
    // Two starts, the announcement, and three recoveries.
    let pids = spawned(&calls.wait("three recoveries", 3 + 3 * 2));
    let alive = children.alive();
    assert!(
        alive
            .iter()
            .any(|child| child.slot == 0 && child.pid == pids[0]),
        "{log}"
    );
    stop(master);
}

#[test]
fn bad_a_child_that_ignores_the_stop_is_killed_in_time() {
    let children = ScriptedChildren::new(Behavior::Deaf);
    let (prefork, log) = master(&children);
    let master = start(prefork.shutdown_grace_period("300ms"));
    let ignores_sigterm =
        |pid| proc::signals(pid, "SigIgn").is_some_and(|set| set & (1 << 14) != 0);
    let child = eventually("a child that ignores SIGTERM", || {
        children
            .alive()
            .first()
            .copied()
            .filter(|child| ignores_sigterm(child.pid))
    });
    stop(master);
    let line = &log.with("was killed by SIGKILL")[0].text;
    assert!(line.contains(&format!("pid {}", child.pid)), "{line}");
    let why = ": did not stop within shutdown_grace_period (300ms)";
    assert!(line.ends_with(why), "{line}");
}

#[test]
fn bad_a_child_that_is_stopped_by_sigstop_during_a_stop_is_killed_in_time() {
    let mut server = Server::new(ODD)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "500ms")
        .start();
    server.wait_for_children(2);
    let halted = server.signal_child(1, Signal::SIGSTOP);
    eventually("the halt", || proc::is_stopped(halted.pid).then_some(()));
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    let expected = format!("worker 1 (pid {}) was killed by SIGKILL", halted.pid);
    assert!(log.iter().any(|line| line.contains(&expected)), "{log:#?}");
    assert_eq!(server.processes(), [0; 0]);
}

#[test]
fn bad_a_child_that_never_gets_ready_is_killed_and_counts() {
    let children = ScriptedChildren::new(Behavior::Unready);
    let (prefork, log) = master(&children);
    let error = fail(prefork.ready_timeout("50ms").recover_threshold(1));
    assert!(
        matches!(error, Error::OverRecovery { exits: 2, .. }),
        "{error}"
    );
    assert_eq!(
        log.with("not ready within ready_timeout (50ms)").len(),
        2,
        "{log}"
    );
}

#[test]
fn bad_over_recovery_names_the_variable_with_the_prefix_of_the_program() {
    let children = ScriptedChildren::new(Behavior::Unready);
    let (mut prefork, _log) = master(&children);
    prefork = prefork.env_prefix("MYAPP").ready_timeout("50ms");
    let error = fail(prefork.recover_threshold(0));
    let Error::OverRecovery { variable, .. } = error else {
        panic!("not over recovery: {error}");
    };
    assert_eq!(variable, "MYAPP_RECOVER_THRESHOLD");
}

#[test]
fn bad_children_that_break_the_protocol_are_killed_for_it() {
    for (behavior, rule) in [
        (Behavior::Liar, "a frame that is too long"),
        (Behavior::Flood, "more frames than allowed"),
    ] {
        let children = ScriptedChildren::new(behavior);
        let (prefork, log) = master(&children);
        let error = fail(prefork.recover_threshold(0));
        assert_eq!(error.exit_code(), 75, "{behavior:?}: {error}");
        assert_eq!(log.with(rule).len(), 1, "{log}");
    }
}

#[test]
fn bad_the_output_of_a_child_is_escaped_and_stays_one_line() {
    let children = ScriptedChildren::new(Behavior::Panic(
        "red \x1b[31m\nprefork: worker 9 \r\x07\u{9b}2J",
    ));
    let (prefork, log) = master(&children);
    let error = fail(prefork.recover_threshold(0));
    let lines = log.with("red ");
    assert_eq!(lines.len(), 1, "{log}");
    let expected = r": red \u{1b}[31m\nprefork: worker 9 \r\u{7}\u{9b}2J";
    assert!(lines[0].text.ends_with(expected), "{log}");
    // The final paragraph repeats the text, in the same log.
    let output = Server::new(ODD)
        .arg("panics")
        .env("PREFORK_RECOVER_THRESHOLD", "0")
        .run();
    let of_master = output
        .log
        .iter()
        .filter(|line| line.starts_with("prefork: "));
    for line in of_master {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    assert!(
        output.text().contains(r"out of cheese\nand \u{1b}[2J"),
        "{}",
        output.text()
    );
    assert_eq!(error.exit_code(), 75);
}

/// The hook sleeps while the children exit, several times.
#[test]
fn bad_a_slow_hook_loses_no_exit() {
    let children = ScriptedChildren::scripted(|start| match start.nth {
        0..4 => Behavior::Noop,
        _ => Behavior::Live,
    });
    let (mut prefork, log) = master(&children);
    prefork = prefork.workers(2).recover_threshold(100);
    prefork = prefork.on_child_spawn(|_| std::thread::sleep(Duration::from_millis(50)));
    let master = start(prefork);
    eventually("both slots alive", || {
        (children.starts() == 10 && children.alive().len() == 2).then_some(())
    });
    stop(master);
    assert_eq!(
        log.with("exited with status 0 after ").len(),
        8 + 2,
        "{log}"
    );
}
