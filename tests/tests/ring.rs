//! With `reuseport`, each slot has a socket of its own, and the workers of a ring accept from it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{self, answer, ask, get, slot_and_pid};
use prefork_tests::{READY, proc};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const STALL: &str = env!("CARGO_BIN_EXE_stall");
const RAW_STD: &str = env!("CARGO_BIN_EXE_raw_std");
const RAW_TOKIO: &str = env!("CARGO_BIN_EXE_raw_tokio");
const TWO_LISTENERS: &str = env!("CARGO_BIN_EXE_two_listeners");
const FILTERED: &str = env!("CARGO_BIN_EXE_filtered");
const RAW_SECOND: &str = env!("CARGO_BIN_EXE_raw_second");
const STANDBY: &str = env!("CARGO_BIN_EXE_standby");

fn start(program: &str, workers: usize, reuseport: &str) -> RunningServer {
    let server = Server::new(program)
        .env("PREFORK_WORKERS", workers.to_string())
        .env("PREFORK_REUSEPORT", reuseport)
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start();
    server.wait_for_children(workers);
    server
}

/// The listening sockets of each slot, as the kernel names them: those of its worker at descriptor
/// 3, in the order of the slots.
fn sockets_of_slots(server: &RunningServer, workers: usize) -> Vec<String> {
    let first = |slot| {
        let child = server.child(slot)?;
        let (_, path) = proc::fds(child.pid).into_iter().find(|(fd, _)| *fd == 3)?;
        Some(path.display().to_string())
    };
    (0..workers)
        .map(|slot| eventually("a worker with its listener", || first(slot)))
        .collect()
}

/// The slots whose sockets each worker holds.
fn held(server: &RunningServer, sockets: &[String]) -> Option<BTreeMap<usize, BTreeSet<usize>>> {
    let of_worker = |worker: usize| {
        let own = proc::sockets(server.child(worker)?.pid);
        let slots = (0..sockets.len()).filter(|&slot| own.contains(&sockets[slot]));
        Some((worker, slots.collect()))
    };
    (0..sockets.len()).map(of_worker).collect()
}

/// Waits until each worker holds the sockets of these slots.
fn wait_for(server: &RunningServer, sockets: &[String], expected: &[&[usize]]) {
    let expected: BTreeMap<usize, BTreeSet<usize>> = expected
        .iter()
        .map(|slots| slots.iter().copied().collect())
        .enumerate()
        .collect();
    let mut found = None;
    let is_as_expected = || {
        found = held(server, sockets);
        (found.as_ref() == Some(&expected)).then_some(())
    };
    eventually("the sockets of each worker", is_as_expected);
}

#[test]
fn each_worker_holds_its_socket_and_that_of_the_slot_before() {
    for (program, reuseport) in [(HELLO, "true"), (HELLO, "auto"), (PLAIN, "2")] {
        let server = start(program, 4, reuseport);
        let sockets = sockets_of_slots(&server, 4);
        assert_eq!(sockets.iter().collect::<BTreeSet<_>>().len(), 4);
        wait_for(&server, &sockets, &[&[0, 3], &[0, 1], &[1, 2], &[2, 3]]);
        let masters = proc::sockets(server.master_pid());
        assert!(sockets.iter().all(|socket| masters.contains(socket)));
    }
}

#[test]
fn the_number_is_how_many_workers_hold_a_socket() {
    for (reuseport, expected) in [
        ("1", [&[0][..], &[1], &[2]]),
        ("2", [&[0, 2], &[0, 1], &[1, 2]]),
        ("3", [&[0, 1, 2]; 3]),
        ("100", [&[0, 1, 2]; 3]),
    ] {
        let server = start(HELLO, 3, reuseport);
        let sockets = sockets_of_slots(&server, 3);
        wait_for(&server, &sockets, &expected);
    }
}

#[test]
fn a_listener_of_std_or_tokio_is_the_socket_of_its_own_slot_alone() {
    for program in [RAW_STD, RAW_TOKIO] {
        let server = start(program, 3, "true");
        let sockets = sockets_of_slots(&server, 3);
        for _ in 0..30 {
            get(server.addr(), "/").expect("an answer");
        }
        wait_for(&server, &sockets, &[&[0], &[1], &[2]]);
    }
}

#[test]
fn a_raw_listener_does_not_change_the_sockets_of_another_listener() {
    let server = Server::new(RAW_SECOND)
        .keep_listen()
        .env("PREFORK_REUSEPORT", "true")
        .start();
    let sockets = sockets_of_slots(&server, 3);
    let all: [&[usize]; 3] = [&[0, 2], &[0, 1], &[1, 2]];
    for slot in [1, 2, 0] {
        wait_for(&server, &sockets, &all);
        let killed = server.kill_child(slot);
        server.wait_for_replacement(killed);
    }
    wait_for(&server, &sockets, &all);
}

#[test]
fn auto_is_one_shared_socket_for_a_blocking_main_and_for_raw_listeners() {
    for program in [PLAIN, RAW_STD, RAW_TOKIO] {
        let server = start(program, 3, "auto");
        let sockets = sockets_of_slots(&server, 3);
        assert_eq!(
            sockets.iter().collect::<BTreeSet<_>>().len(),
            1,
            "{program}"
        );
    }
}

fn halt(server: &RunningServer, slot: usize) -> i32 {
    let halted = server.signal_child(slot, Signal::SIGSTOP);
    eventually("the worker's halt", || {
        proc::is_stopped(halted.pid).then_some(())
    });
    halted.pid
}

#[test]
fn workers_that_are_suspended_are_covered_by_others_until_they_are_resumed() {
    let server = start(HELLO, 5, "true");
    let sockets = sockets_of_slots(&server, 5);
    let all: [&[usize]; 5] = [&[0, 4], &[0, 1], &[1, 2], &[2, 3], &[3, 4]];
    wait_for(&server, &sockets, &all);
    // Two neighbors: without help, the clients of socket 1 would wait.
    let halted = [halt(&server, 1), halt(&server, 2)];
    // Worker 2 was given the socket 0 before it was halted, and keeps it.
    let covered: [&[usize]; 5] = [&[0, 4], &[0, 1], &[0, 1, 2], &[0, 1, 2, 3], &[1, 2, 3, 4]];
    wait_for(&server, &sockets, &covered);
    for _ in 0..100 {
        let body = get(server.addr(), "/").expect("no client waits for a suspended worker");
        let (_, pid) = slot_and_pid(&body).expect("a worker's answer");
        assert!(!halted.contains(&pid), "{body}");
    }
    for slot in [1, 2] {
        server.signal_child(slot, Signal::SIGCONT);
    }
    wait_for(&server, &sockets, &all);
}

#[test]
fn the_clients_of_a_worker_that_is_blocked_in_user_code_are_answered_by_its_neighbor() {
    let server = start(STALL, 4, "true");
    let sockets = sockets_of_slots(&server, 4);
    wait_for(&server, &sockets, &[&[0, 3], &[0, 1], &[1, 2], &[2, 3]]);
    let stalling = ask(server.addr(), "/stall?ms=60000").expect("it listens");
    server.wait_for_log(|line| line == "stalled");
    let clients: Vec<_> = (0..200)
        .map(|_| ask(server.addr(), "/").expect("the queues have space"))
        .collect();
    for client in clients {
        answer(client).expect("the neighbor answers");
    }
    drop(stalling);
}

#[test]
fn a_replacement_gets_the_sockets_of_the_worker_before_it() {
    let server = start(HELLO, 4, "true");
    let sockets = sockets_of_slots(&server, 4);
    let all: [&[usize]; 4] = [&[0, 3], &[0, 1], &[1, 2], &[2, 3]];
    for slot in [1, 2, 0, 3, 3, 0] {
        wait_for(&server, &sockets, &all);
        let killed = server.kill_child(slot);
        eventually("another worker", || {
            server.child(slot).filter(|child| child.pid != killed.pid)
        });
    }
    wait_for(&server, &sockets, &all);
}

#[test]
fn a_standby_gets_the_sockets_of_the_slot_that_it_fills() {
    let server = Server::new(STANDBY)
        .env("PREFORK_WORKERS", "3")
        .env("PREFORK_STANDBY", "1")
        .env("PREFORK_REUSEPORT", "true")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start();
    let sockets = sockets_of_slots(&server, 3);
    let all: [&[usize]; 3] = [&[0, 2], &[0, 1], &[1, 2]];
    for (promotions, slot) in [1, 0, 2].into_iter().enumerate() {
        wait_for(&server, &sockets, &all);
        let is_ready = |line: &&String| line.starts_with(READY);
        eventually("a standby", || {
            let ready = server.log().iter().filter(is_ready).count();
            (ready == 4 + promotions).then_some(())
        });
        server.kill_child(slot);
    }
    wait_for(&server, &sockets, &all);
    for _ in 0..50 {
        get(server.addr(), "/").expect("an answer");
    }
}

#[test]
fn if_the_system_rejects_the_socket_option_all_workers_share_one_socket_and_one_line_is_logged() {
    for reuseport in ["auto", "3"] {
        let server = Server::new(HELLO)
            .env("PREFORK_WORKERS", "3")
            .env("PREFORK_REUSEPORT", reuseport)
            .wrapper([FILTERED, "SO_REUSEPORT", "EPERM"])
            .start();
        server.wait_for_children(3);
        get(server.addr(), "/").expect("an answer");
        let sockets = sockets_of_slots(&server, 3);
        assert_eq!(sockets.iter().collect::<BTreeSet<_>>().len(), 1);
        let line = "prefork: reuseport has no effect on listener 'listener0': SO_REUSEPORT cannot \
                    be set (setsockopt): Operation not permitted (os error 1), so all workers \
                    share one socket";
        let lines = server.log().into_iter().filter(|other| other == line);
        assert_eq!(lines.count(), 1, "{:#?}", server.log());
    }
}

#[test]
fn a_promoted_standby_keeps_the_sockets_that_all_slots_share() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("app.sock");
    let server = Server::new(TWO_LISTENERS)
        .listen(format!("http=127.0.0.1:0,admin=unix:{}", path.display()))
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_STANDBY", "1")
        .env("PREFORK_REUSEPORT", "true")
        .env("PREFORK_RECOVER_THRESHOLD", "1000")
        .start();
    let is_promotion = |line: &String| line.contains("worker 0 (") && line.contains(" promoted");
    // A standby that is not ready yet is not promoted.
    for _ in 0..50 {
        let killed = server.kill_child(0);
        eventually("another worker", || {
            server.child(0).filter(|child| child.pid != killed.pid)
        });
        if server.log().iter().any(is_promotion) {
            break;
        }
    }
    assert!(server.log().iter().any(is_promotion), "{:#?}", server.log());
    halt(&server, 1);
    for _ in 0..10 {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        let limited = stream.set_read_timeout(Some(Duration::from_secs(30)));
        limited.expect("the limit is not zero");
        client::send(&mut stream, "/").expect("it is connected");
        let body = client::answer_of(stream).expect("the promoted worker answers");
        assert_eq!(body, "admin\n");
    }
}
