//! The readiness of workers: hooks, and workers that take it back.

use std::sync::{Arc, Mutex};

use prefork::{Error, Handle, Prefork};
use prefork_testkit::{MemoryLog, RunningServer, Server, eventually};
use prefork_tests::client::{answer, ask, connect, get, slot_and_pid};
use prefork_tests::proc;
use prefork_tests::signals::send;

const FICKLE: &str = env!("CARGO_BIN_EXE_fickle");

/// The beginning of a script that a child runs. It defines `ready`.
const PRELUDE: &str = r"
    channel=${PREFORK_CHILD##*:}; rest=${PREFORK_CHILD#*:*:}; child=${rest%%:*}
    ready() {
        printf 'hello protocol=1 ready=announced listeners=' >&$channel
        printf ready >&$channel
    }
";

/// A master with two children that run this script, and its log.
fn master(script: &str) -> (Prefork, MemoryLog) {
    let (lines, text) = (MemoryLog::new(), format!("{PRELUDE}\n{script}"));
    let prefork = Prefork::new().workers(2).logger(lines.logger());
    let prefork = prefork.child_producer(move |child| {
        child.program("/bin/sh").arg("-c").arg(&text);
    });
    (prefork, lines)
}

/// The calls of hooks, as text.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn push(&self, call: String) {
        self.0.lock().expect("no hook panics").push(call);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("no hook panics").clone()
    }

    fn record(&self, prefork: Prefork) -> Prefork {
        let calls = [(); 4].map(|()| self.clone());
        let [spawned, announced, ready, all_ready] = calls;
        prefork
            .on_child_spawn(move |child| spawned.push(format!("spawned {}", child.pid())))
            .on_master_ready(move |_| announced.push("master ready".to_owned()))
            .on_child_ready(move |child| ready.push(format!("ready {}", child.pid())))
            .on_fleet_ready(move |fleet| all_ready.push(format!("all ready {:?}", fleet.pids())))
    }
}

fn pids(calls: &[String], what: &str) -> Vec<i32> {
    let texts = calls.iter().filter_map(|call| call.strip_prefix(what));
    let texts = texts.filter_map(|text| text.strip_prefix(' '));
    texts.map(|pid| pid.parse().expect("a pid")).collect()
}

fn wait_for_line(lines: &MemoryLog, text: &str) {
    lines.wait_for(|line| line.text.contains(text));
}

fn stop(master: Handle) {
    master.stop();
    master.wait().expect("the stop succeeds");
}

#[test]
fn on_child_ready_is_called_for_each_child_and_on_fleet_ready_once() {
    let (prefork, lines) = master("ready; exec sleep 1000");
    let calls = Calls::default();
    let master = calls.record(prefork).start().expect("the master starts");
    wait_for_line(&lines, "all workers are ready (2");
    // The log gets the line before the hook is called.
    let is_called = |call: &String| call.starts_with("all ready");
    let before = eventually("on_fleet_ready", || {
        Some(calls.all()).filter(|calls| calls.iter().any(is_called))
    });
    let (mut spawned, mut ready) = (pids(&before, "spawned"), pids(&before, "ready"));
    assert_eq!(before.last(), Some(&format!("all ready {spawned:?}")));
    assert!(before.contains(&"master ready".to_owned()), "{before:?}");
    send(spawned[0], nix::libc::SIGKILL).expect("the worker runs");
    let after = eventually("the hooks of the replacement", || {
        Some(calls.all()).filter(|calls| calls.len() == before.len() + 2)
    });
    let [_, last] = &after[before.len()..] else {
        panic!("{after:?}");
    };
    let replacement = pids(&after, "spawned")[2];
    assert_eq!(*last, format!("ready {replacement}"), "{after:?}");
    spawned.sort_unstable();
    ready.sort_unstable();
    assert_eq!(spawned, ready);
    stop(master);
}

#[test]
fn a_child_that_cannot_report_readiness_is_ready_after_healthy_after() {
    for healthy_after in ["0s", "200ms"] {
        let (prefork, lines) = master("exec sleep 1000");
        let (calls, ages) = (Calls::default(), Calls::default());
        let note = ages.clone();
        let prefork = calls.record(prefork).healthy_after(healthy_after);
        let prefork = prefork.on_child_ready(move |child| {
            note.push(format!(
                "{} {}",
                child.slot(),
                child.age().as_millis() >= 200
            ));
        });
        let master = prefork.start().expect("the master starts");
        wait_for_line(&lines, "all workers are ready (2");
        let is_old = healthy_after == "200ms";
        let mut ages = ages.all();
        ages.sort_unstable();
        assert_eq!(ages, [format!("0 {is_old}"), format!("1 {is_old}")]);
        stop(master);
    }
}

#[test]
fn a_child_that_is_not_ready_calls_no_hook() {
    let (prefork, lines) = master("[ $child = 1 ] && ready; exec sleep 1000");
    let calls = Calls::default();
    let prefork = calls.record(prefork).ready_timeout("1m");
    let master = prefork.start().expect("the master starts");
    eventually("a ready worker", || {
        (!pids(&calls.all(), "ready").is_empty()).then_some(())
    });
    stop(master);
    assert_eq!(pids(&calls.all(), "ready").len(), 1);
    let lines = lines.lines();
    let is_about_all = lines.iter().any(|line| line.text.contains("are ready"));
    assert!(!is_about_all, "{lines:?}");
}

#[test]
fn an_error_of_a_hook_about_readiness_ends_the_master() {
    type SetHook = fn(Prefork) -> Prefork;
    let failing: [(&str, SetHook); 2] = [
        ("on_child_ready", |prefork| {
            prefork.on_child_ready(|_| Err("rejected"))
        }),
        ("on_fleet_ready", |prefork| {
            prefork.on_fleet_ready(|_| panic!("rejected"))
        }),
    ];
    for (name, set) in failing {
        let (prefork, _) = master("ready; exec sleep 1000");
        let master = set(prefork).start().expect("the master starts");
        let error = master.wait().expect_err("the hook fails");
        let is_named = matches!(&error, Error::Hook { hook, .. } if *hook == name);
        assert!(is_named, "{name}: {error}");
    }
}

/// Asks a worker to be not ready for this time. Returns its pid.
fn take_back(server: &RunningServer, milliseconds: u32) -> i32 {
    let path = format!("/not_ready?ms={milliseconds}");
    pid_of(&get(server.addr(), &path).expect("an answer"))
}

fn pid_of(answer: &str) -> i32 {
    slot_and_pid(answer).expect("it names its worker").1
}

#[test]
fn a_worker_that_is_not_ready_leaves_new_connections_to_the_others() {
    let server = Server::new(FICKLE).start();
    let pid = take_back(&server, 1_500);
    let line = format!("(pid {pid}) not ready: it accepts no connections");
    server.wait_for_log(|logged| logged.contains(&line));
    for _ in 0..50 {
        let answer = get(server.addr(), "/").expect("the other worker answers");
        assert_ne!(pid_of(&answer), pid);
    }
    let line = format!("(pid {pid}) ready again");
    server.wait_for_log(|logged| logged.contains(&line));
    server.wait_for_log(|logged| logged.contains("all workers are ready again (2 workers)"));
    eventually("an answer of that worker", || {
        let answer = get(server.addr(), "/").expect("an answer");
        (pid_of(&answer) == pid).then_some(())
    });
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("exited")), "{log:#?}");
}

#[test]
fn connections_wait_while_no_worker_is_ready() {
    let server = Server::new(FICKLE).env("PREFORK_WORKERS", "1").start();
    let pid = take_back(&server, 700);
    let waiting: Vec<_> = (0..5)
        .map(|_| ask(server.addr(), "/").expect("the server is listening"))
        .collect();
    eventually("the queue", || {
        (proc::queued(server.addr()) == 5).then_some(())
    });
    for client in waiting {
        assert_eq!(pid_of(&answer(client).expect("an answer")), pid);
    }
}

#[test]
fn a_worker_whose_readiness_changes_often_is_neither_killed_nor_floods_the_log() {
    let server = Server::new(FICKLE).env("PREFORK_WORKERS", "1").start();
    let answer = get(server.addr(), "/flap?times=3000").expect("an answer");
    let again = get(server.addr(), "/").expect("an answer");
    assert_eq!(pid_of(&answer), pid_of(&again));
    let log = server.log();
    let is_report = |line: &&String| line.contains("not ready") || line.contains("ready again");
    assert!(log.iter().filter(is_report).count() < 10, "{log:#?}");
}

#[test]
fn a_worker_that_is_not_ready_drains_and_leaves_the_queue() {
    let mut server = Server::new(FICKLE).start();
    let pid = take_back(&server, 60_000);
    let line = format!("(pid {pid}) not ready");
    server.wait_for_log(|logged| logged.contains(&line));
    // It must not wait for requests of this connection.
    let _idle = connect(server.addr()).expect("the server is listening");
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    assert!(!log.iter().any(|line| line.contains("killed")), "{log:#?}");
}

#[test]
fn a_single_process_that_is_not_ready_lets_connections_wait() {
    let server = Server::new(FICKLE).env("PREFORK_WORKERS", "0").start();
    take_back(&server, 500);
    server.wait_for_log(|line| line.contains("not ready: it accepts no connections"));
    get(server.addr(), "/").expect("an answer");
    server.wait_for_log(|line| line.contains("ready again"));
}
