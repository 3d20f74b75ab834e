//! A standby replaces a worker that exits unexpectedly, without the time that a start takes.

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, get, slot_and_pid};
use prefork_tests::{READY, proc};

const STANDBY: &str = env!("CARGO_BIN_EXE_standby");
const BUILDER: &str = env!("CARGO_BIN_EXE_builder");
const PARITY_SHELL: &str = env!("CARGO_BIN_EXE_parity_shell");
const RAW_STD: &str = env!("CARGO_BIN_EXE_raw_std");

/// A worker that is ready, in this slot.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    slot: usize,
    pid: i32,
}

/// Waits until this number of workers has reported that they are ready. Returns their slots, and
/// their pids.
fn ready(server: &RunningServer, count: usize) -> Vec<Process> {
    let of_line = |line: String| {
        let (slot, pid) = line.strip_prefix(READY)?.trim().split_once(' ')?;
        let (slot, pid) = (slot.parse().ok()?, pid.parse().ok()?);
        Some(Process { slot, pid })
    };
    eventually("ready workers", || {
        let ready: Vec<_> = server.log().into_iter().filter_map(of_line).collect();
        (ready.len() >= count).then_some(ready)
    })
}

/// A worker and a standby, both ready.
fn start() -> (RunningServer, Process, Process) {
    let server = Server::new(STANDBY).start();
    let [worker, standby] = ready(&server, 2)[..] else {
        panic!("{:#?}", server.log());
    };
    assert_eq!((worker.slot, standby.slot), (0, 1));
    (server, worker, standby)
}

fn served_by(server: &RunningServer) -> (usize, i32) {
    let body = get(server.addr(), "/").expect("an answer");
    slot_and_pid(&body).expect("slot and pid")
}

fn assert_nothing_is_left(server: &RunningServer) {
    eventually("no process is left", || {
        server.processes().is_empty().then_some(())
    });
}

#[test]
fn a_standby_that_was_started_before_replaces_a_killed_worker() {
    let (mut server, worker, standby) = start();
    assert_eq!(served_by(&server), (0, worker.pid));
    server.kill_child(0);
    // The standby was ready before the kill, and serves in the slot of the worker.
    assert_eq!(served_by(&server), (0, standby.pid));
    let (old, new) = (worker.pid, standby.pid);
    let line = format!("prefork: worker 0 (pid {new}) promoted, replacing pid {old}");
    server.wait_for_log(|other| other == line);
    let hook = format!("recovered: pid {new} replaces pid {old}");
    server.wait_for_log(|other| other == hook);
    eventually("the name of its role", || {
        proc::name(new)?.ends_with("worker 0").then_some(())
    });
    let stderr = |pid: i32| std::fs::read_link(format!("/proc/{pid}/fd/2")).ok();
    assert_eq!(stderr(new), stderr(server.master_pid()));
    // The next standby.
    let next = ready(&server, 3)[2];
    assert_eq!(next.slot, 1);
    let children = server.children();
    let children: Vec<_> = children
        .iter()
        .map(|child| (child.slot, child.pid))
        .collect();
    assert_eq!(children, [(0, new), (1, next.pid)]);
    server.kill_child(0);
    assert_eq!(served_by(&server), (0, next.pid));
    assert_eq!(server.stop().code(), Some(0));
    assert_nothing_is_left(&server);
}

#[test]
fn clients_in_the_queue_of_a_dead_worker_are_answered_by_the_standby() {
    let (server, _, standby) = start();
    server.signal_child(0, Signal::SIGSTOP);
    let waiting: Vec<_> = (0..8)
        .map(|_| ask(server.addr(), "/").expect("the queue has room"))
        .collect();
    server.kill_child(0);
    for client in waiting {
        let body = answer(client).expect("an answer");
        assert_eq!(slot_and_pid(&body), Some((0, standby.pid)));
    }
}

#[test]
fn a_standby_accepts_no_connection_before_it_is_promoted() {
    let (server, worker, standby) = start();
    for _ in 0..50 {
        assert_eq!(served_by(&server), (0, worker.pid));
    }
    server.signal_child(0, Signal::SIGSTOP);
    let waiting = ask(server.addr(), "/").expect("the queue has room");
    eventually("an idle standby", || {
        let state = proc::queued(server.addr());
        (state == 1).then_some(())
    });
    server.signal_child(0, Signal::SIGCONT);
    let body = answer(waiting).expect("an answer");
    assert_eq!(slot_and_pid(&body), Some((0, worker.pid)));
    assert!(proc::is_alive(standby.pid));
}

#[test]
fn a_killed_standby_is_replaced_and_counts() {
    let (server, worker, standby) = start();
    server.kill_child(1);
    let line = format!("prefork: standby 1 (pid {}) was killed", standby.pid);
    server.wait_for_log(|other| other.starts_with(&line));
    let next = ready(&server, 3)[2];
    assert_eq!(next.slot, 1);
    assert_eq!(served_by(&server), (0, worker.pid));

    let mut server = Server::new(STANDBY)
        .env("PREFORK_RECOVER_THRESHOLD", "0")
        .start();
    ready(&server, 2);
    server.kill_child(1);
    let status = server.wait();
    assert!(!status.success(), "{:#?}", server.log());
    let is_named = |line: &String| line.contains("recover_threshold") && line.contains("standby 1");
    assert!(server.log().iter().any(is_named), "{:#?}", server.log());
    assert_nothing_is_left(&server);
}

#[test]
fn a_stop_ends_standbys_in_each_state() {
    // The standby initializes.
    let mut server = Server::new(STANDBY).start();
    ready(&server, 1);
    eventually("a standby", || server.child(1));
    assert_eq!(server.stop().code(), Some(0));
    assert_nothing_is_left(&server);

    let (mut server, ..) = start();
    assert_eq!(server.stop().code(), Some(0));
    assert_nothing_is_left(&server);

    // The master is killed.
    let (mut server, ..) = start();
    server.signal(Signal::SIGKILL);
    server.wait();
    assert_nothing_is_left(&server);
}

#[test]
fn a_rollout_replaces_the_standby_after_its_verdict() {
    let (mut server, worker, standby) = start();
    server.signal(Signal::SIGHUP);
    server.wait_for_log(|line| line.contains("rollout accepted after"));
    let [successor, next] = ready(&server, 4)[2..] else {
        panic!("{:#?}", server.log());
    };
    assert_eq!((successor.slot, next.slot), (0, 1));
    for old in [worker, standby] {
        eventually("the old processes exit", || {
            (!proc::is_alive(old.pid)).then_some(())
        });
    }
    server.kill_child(0);
    assert_eq!(served_by(&server), (0, next.pid));
    assert_eq!(server.stop().code(), Some(0));
    assert_nothing_is_left(&server);
}

#[test]
fn a_program_without_a_gate_is_refused() {
    let output = Server::new(RAW_STD).env("PREFORK_STANDBY", "1").run();
    assert_eq!(output.code(), Some(78), "{:#?}", output.log);
    let text = "a listener of std or tokio";
    let is_named = |line: &String| line.contains("PREFORK_STANDBY") && line.contains(text);
    assert!(output.log.iter().any(is_named), "{:#?}", output.log);
}

/// The workers of these servers would accept connections as standbys.
#[test]
fn workers_that_cannot_wait_get_no_standby_and_one_error() {
    let foreign = Server::new(PARITY_SHELL)
        .arg("exec sleep 1000")
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_STANDBY", "2")
        .env("PREFORK_HEALTHY_AFTER", "10ms")
        .env("PREFORK_RECOVER_THRESHOLD", "1");
    let server = foreign.start_unready();
    let line = "no standby is started: the workers have not declared that they can wait";
    server.wait_for_log(|other| other.contains(line));
    let killed = server.kill_child(0);
    server.wait_for_replacement(killed);
    let count = |server: &RunningServer| {
        let log = server.log();
        log.iter().filter(|other| other.contains(line)).count()
    };
    assert_eq!(count(&server), 1, "{:#?}", server.log());
    // It is one worker again, and nothing else.
    assert_eq!(server.children().len(), 1);
}

#[test]
fn a_program_that_initializes_before_it_runs_the_builder_has_standbys() {
    let server = Server::new(BUILDER)
        .arg("init_ms=500")
        .env("PREFORK_STANDBY", "1")
        .env("PREFORK_HEALTHY_AFTER", "10ms")
        .start_unready();
    eventually("a worker and a standby", || {
        let log = server.log();
        let initialized = log.iter().filter(|line| *line == "initialized");
        (initialized.count() == 2).then_some(())
    });
    let killed = server.kill_child(0);
    let promoted = format!("promoted, replacing pid {}", killed.pid);
    server.wait_for_log(|line| line.ends_with(&promoted));
}
