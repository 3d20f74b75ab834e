//! P9, P10, P15: how a master stops.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use prefork_testkit::{Server, Signal, eventually};
use prefork_tests::client::{answer, ask, connect};
use prefork_tests::proc;
use prefork_tests::signals::wait_until_new;

use crate::support::{Lines, assert_gone, folder, master, record_hooks, spawned, start, stop};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const SHELL: &str = env!("CARGO_BIN_EXE_parity_shell");

/// Exits at SIGTERM. Ready only after the trap is set.
const EXITS_ON_TERM: &str = "trap 'exit 0' TERM; ready; while :; do sleep 0.05; done";

/// Ignores SIGTERM. An ignored signal stays ignored after `exec`.
const IGNORES_TERM: &str = "trap '' TERM; ready; exec sleep 1000";

/// Waits until the children ignore SIGTERM.
fn wait_until_ignoring(pids: &[i32]) {
    let ignores = |pid: &i32| {
        proc::signals(*pid, "SigIgn")
            .is_some_and(|set| set & (1 << (Signal::SIGTERM as i32 - 1)) != 0)
    };
    eventually("children that ignore SIGTERM", || {
        pids.iter().all(ignores).then_some(())
    });
}

fn wait_for_traps(pids: &[i32]) {
    let catches = |pid: &i32| {
        proc::signals(*pid, "SigCgt")
            .is_some_and(|set| set & (1 << (Signal::SIGTERM as i32 - 1)) != 0)
    };
    eventually("children with a trap", || {
        pids.iter().all(catches).then_some(())
    });
}

#[test]
fn p09_a_stop_returns_as_soon_as_all_children_have_exited() {
    let (prefork, lines) = master(3, EXITS_ON_TERM);
    let (prefork, calls) = record_hooks(prefork);
    let master = start(prefork.shutdown_grace_period("1h"));
    let pids = spawned(&calls.wait("three children, announced", 4));
    wait_for_traps(&pids);
    // The stop returns long before the hour is over.
    stop(master);
    let ends = lines.with("exited with status 0");
    assert_eq!(ends.len(), 3, "{lines:?}");
    assert!(
        ends.iter().all(|line| line.text.ends_with("as requested")),
        "{lines:?}"
    );
    assert_gone(&pids);
}

#[test]
fn p09_children_that_are_left_after_the_grace_period_are_killed() {
    const GRACE: Duration = Duration::from_millis(500);
    let (prefork, lines) = master(2, IGNORES_TERM);
    let (prefork, calls) = record_hooks(prefork);
    let master = start(prefork.shutdown_grace_period(GRACE));
    let pids = spawned(&calls.wait("both children, announced", 3));
    wait_until_ignoring(&pids);
    let asked = Instant::now();
    stop(master);
    assert!(asked.elapsed() >= GRACE, "{:?}", asked.elapsed());
    let killed = lines.with("was killed by SIGKILL");
    assert_eq!(killed.len(), 2, "{lines:?}");
    assert!(
        killed
            .iter()
            .all(|line| line.text.ends_with("within shutdown_grace_period (500ms)"))
    );
    assert_gone(&pids);
}

#[test]
fn p09_with_a_grace_period_of_zero_they_are_killed_at_once() {
    let (prefork, lines) = master(2, EXITS_ON_TERM);
    let (prefork, calls) = record_hooks(prefork);
    let master = start(prefork.shutdown_grace_period("0s"));
    let pids = spawned(&calls.wait("both children, announced", 3));
    wait_for_traps(&pids);
    stop(master);
    assert_eq!(lines.with("was killed by SIGKILL").len(), 2, "{lines:?}");
    assert_gone(&pids);
}

#[test]
fn p09_by_default_the_grace_period_is_five_seconds() {
    let mut server = Server::new(SHELL).env("PREFORK_WORKERS", "1").start();
    server.wait_for_children(1);
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    assert!(
        log.iter().any(|line| line.ends_with("within 5s")),
        "{log:?}"
    );
}

#[test]
fn p10_foreign_children_end_before_the_listener_is_closed() {
    // The child closes its copy of the socket. Only the master has one.
    let folder = folder();
    let release = folder.path().join("release");
    let script = format!(
        "trap 'while ! [ -e {} ]; do sleep 0.01; done; exit 0' TERM
         exec 3<&-; ready; while :; do sleep 0.01; done",
        release.display()
    );
    let (prefork, lines) = master(1, &script);
    let (mut prefork, calls) = record_hooks(prefork);
    prefork = prefork.listen("127.0.0.1:0").shutdown_grace_period("1m");
    let master = start(prefork);
    let addr = master.listeners()[0].socket_addr().expect("an IP address");
    let pids = spawned(&calls.wait("the child, announced", 2));
    wait_for_traps(&pids);
    master.stop();
    lines.wait_for(|line| line.text.contains("stopping 1 worker"));
    let late: TcpStream = connect(addr).expect("the queue is open while a child runs");
    drop(late);
    fs::write(&release, "").expect("the folder is writable");
    master.wait().expect("the stop succeeds");
    connect(addr).expect_err("the listener is closed");
}

#[test]
fn p10_late_clients_are_refused_when_all_workers_have_closed_the_listener() {
    let mut server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start();
    let asked = ask(server.addr(), "/slow?ms=3000").expect("the server listens");
    eventually("the request in flight", || {
        (proc::queued(server.addr()) == 0).then_some(())
    });
    server.signal(Signal::SIGTERM);
    eventually("a refusal", || connect(server.addr()).err());
    answer(asked).expect("the request came before the stop");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn p15_sigterm_and_sigint_stop_gracefully_and_successfully() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::new(HELLO)
            .env("PREFORK_WORKERS", "2")
            .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
            .start();
        let asked = ask(server.addr(), "/slow?ms=500").expect("the server listens");
        eventually("the request in flight", || {
            (proc::queued(server.addr()) == 0).then_some(())
        });
        server.signal(signal);
        answer(asked).expect("the request came before the stop");
        assert_eq!(server.wait().code(), Some(0), "{signal}");
        assert_eq!(server.processes(), [0; 0], "{signal}");
    }
}

#[test]
fn p15_a_second_sigint_stops_at_once() {
    let mut server = Server::new(SHELL)
        .arg(crate::support::script(IGNORES_TERM))
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1h")
        .start();
    let children = server.wait_for_children(2);
    wait_until_ignoring(&[children[0].pid, children[1].pid]);
    server.signal(Signal::SIGINT);
    server.wait_for_log(|line| line.contains(": stopping 2 workers"));
    wait_until_new(Instant::now());
    server.signal(Signal::SIGINT);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.processes(), [0; 0]);
}
