//! P11 to P14, P16, P19: the calls of the hooks, their number, their order, and errors in hooks.

use prefork::Error;
use prefork_testkit::{RunningServer, Server, Signal, eventually};

use crate::support::{
    HookCall, REST, Recorded, assert_gone, cause, fail, kill_child, master, record_hooks, spawned,
    start, stop,
};

/// The same with the attribute. The hooks print their arguments. The program's arguments select the
/// hook that fails.
const HOOKS: &str = env!("CARGO_BIN_EXE_parity_hooks");

/// The first three children exit after they are ready. The others wait.
const SIX: &str = "ready; [ $child -le 3 ] && exit 0; exec sleep 1000";

/// The calls of the hooks of a master until it has recovered three children.
fn six() -> Vec<HookCall> {
    let (prefork, _) = master(3, SIX);
    let (prefork, calls) = record_hooks(prefork);
    let master = start(prefork);
    let calls = calls.wait("three recoveries", 3 + 1 + 3 * 2);
    stop(master);
    calls
}

#[test]
fn p11_on_child_spawn_is_called_for_every_start() {
    let calls = six();
    let pids = spawned(&calls);
    assert_eq!(pids.len(), 6, "{calls:?}");
    assert!(pids.iter().all(|pid| *pid > 0));
    assert_gone(&pids);
}

#[test]
fn p11_an_error_at_the_first_start_stops_all_and_is_returned() {
    let (mut prefork, _) = master(2, REST);
    let pids = Recorded::default();
    let note = pids.clone();
    prefork = prefork.on_child_spawn(move |child| {
        note.push(child.pid());
        Err("initial spawn rejected")
    });
    let error = fail(prefork);
    let Error::Hook { hook, .. } = &error else {
        panic!("another error: {error}");
    };
    assert_eq!(*hook, "on_child_spawn");
    assert_eq!(cause(&error).as_deref(), Some("initial spawn rejected"));
    let pids: Vec<i32> = pids.all();
    assert_eq!(pids.len(), 1, "the master must not start another child");
    assert_gone(&pids);
}

#[test]
fn p12_on_master_ready_is_called_once_after_all_first_starts_and_before_any_recovery() {
    for _ in 0..5 {
        let calls = six();
        let ready: Vec<usize> = calls
            .iter()
            .enumerate()
            .filter_map(|(index, call)| matches!(call, HookCall::Ready(_)).then_some(index))
            .collect();
        assert_eq!(ready, [3], "{calls:?}");
        assert_eq!(calls[3], HookCall::Ready(spawned(&calls[..3])), "{calls:?}");
    }
}

#[test]
fn p12_an_error_stops_all_and_is_returned() {
    let (prefork, _) = master(2, REST);
    let (mut prefork, calls) = record_hooks(prefork);
    prefork = prefork.on_master_ready(|_| Err("ready rejected"));
    let error = fail(prefork);
    assert!(
        matches!(&error, Error::Hook { hook, .. } if *hook == "on_master_ready"),
        "{error}"
    );
    assert_eq!(cause(&error).as_deref(), Some("ready rejected"));
    let pids = spawned(&calls.all());
    assert_eq!(pids.len(), 2);
    assert_gone(&pids);
}

#[test]
fn p13_on_child_recover_follows_on_child_spawn_of_the_new_child() {
    let calls = six();
    let mut recovered = Vec::new();
    for pair in calls[4..].chunks(2) {
        let [
            HookCall::Spawned(new),
            HookCall::Recovered(old_pid, new_pid),
        ] = pair
        else {
            panic!("another order: {calls:?}");
        };
        assert_eq!(new_pid, new);
        assert_ne!(old_pid, new_pid);
        recovered.push(*old_pid);
    }
    recovered.sort_unstable();
    let mut first = spawned(&calls[..3]);
    first.sort_unstable();
    assert_eq!(recovered, first);
}

#[test]
fn p13_on_child_recover_gets_the_status_of_the_old_child() {
    let (mut prefork, _) = master(1, "[ $child = 1 ] && exit 3; exec sleep 1000");
    let ends = Recorded::default();
    let note = ends.clone();
    prefork = prefork.on_child_recover(move |child| note.push(child.old_end().to_owned()));
    let master = start(prefork);
    assert_eq!(ends.wait("a recovery", 1), ["exited with status 3"]);
    stop(master);
}

#[test]
fn p13_on_child_recover_is_not_called_if_on_child_spawn_failed() {
    let (prefork, _) = master(2, SIX);
    let (mut prefork, calls) = record_hooks(prefork);
    let mut starts = 0;
    prefork = prefork.on_child_spawn(move |_| {
        starts += 1;
        if starts > 2 {
            return Err("spawn failed");
        }
        Ok(())
    });
    let error = fail(prefork);
    assert_eq!(cause(&error).as_deref(), Some("spawn failed"));
    let calls = calls.all();
    let is_recovery = |call: &HookCall| matches!(call, HookCall::Recovered(..));
    assert!(!calls.iter().any(is_recovery), "{calls:?}");
}

#[test]
fn p13_an_error_stops_all_and_is_returned() {
    let (prefork, _) = master(2, SIX);
    let (mut prefork, calls) = record_hooks(prefork);
    prefork = prefork.on_child_recover(|child| {
        assert_ne!(child.old_pid(), child.new_pid());
        Err("enough")
    });
    let error = fail(prefork);
    assert!(
        matches!(&error, Error::Hook { hook, .. } if *hook == "on_child_recover"),
        "{error}"
    );
    assert_eq!(cause(&error).as_deref(), Some("enough"));
    assert_gone(&spawned(&calls.all()));
}

/// Each hook of the attribute, each way to fail, each time of a call.
const FAILURES: [[&str; 3]; 8] = [
    ["on_child_spawn", "error", "first"],
    ["on_child_spawn", "panic", "first"],
    ["on_child_spawn", "error", "later"],
    ["on_child_spawn", "panic", "later"],
    ["on_master_ready", "error", "first"],
    ["on_master_ready", "panic", "first"],
    ["on_child_recover", "error", "later"],
    ["on_child_recover", "panic", "later"],
];

fn failing(arguments: [&str; 3]) -> Server {
    let server = Server::new(HOOKS);
    arguments.into_iter().fold(server, Server::arg)
}

#[test]
fn p14_a_panic_or_an_error_in_a_hook_ends_the_master_with_a_paragraph_that_names_the_hook() {
    for arguments in FAILURES {
        let [hook, failure, time] = arguments;
        let mut server = failing(arguments).spawn();
        if time == "later" {
            server.wait_for_log(|line| line.starts_with("ready "));
            server.kill_child(0);
        }
        assert_eq!(server.wait().code(), Some(70), "{arguments:?}");
        let log = server.final_log();
        let message = if failure == "panic" {
            "panicked: out of order"
        } else {
            "out of order"
        };
        let expected = format!("prefork: hook {hook} failed: {message}");
        let last = log.last().expect("a paragraph");
        assert!(last.starts_with(&expected), "{arguments:?}: {log:#?}");
        assert_eq!(server.processes(), [0; 0], "{arguments:?}");
    }
}

#[test]
fn p14_a_panic_or_an_error_in_on_master_death_is_a_line_and_the_worker_ends() {
    for failure in ["error", "panic"] {
        let mut server = failing(["on_master_death", failure, "first"]).start();
        server.wait_for_children(2);
        wait_for_workers(&server);
        server.signal(Signal::SIGKILL);
        server.wait();
        let log = server.final_log();
        let named = |line: &&String| {
            line.starts_with("prefork: ")
                && line.contains("on_master_death")
                && line.contains("out of order")
        };
        assert_eq!(log.iter().filter(named).count(), 2, "{failure}: {log:#?}");
        // No process waits for the workers.
        eventually("the end of the workers", || {
            server.processes().is_empty().then_some(())
        });
    }
}

/// Waits until both bodies run. Before that, a worker cannot detect the death of its master.
fn wait_for_workers(server: &RunningServer) {
    eventually("both workers", || {
        let log = server.log();
        let workers = log.iter().filter(|line| line.starts_with("worker "));
        (workers.count() == 2).then_some(())
    });
}

#[test]
fn p14_a_panic_of_a_producer_is_its_error() {
    let (mut prefork, _) = master(1, REST);
    prefork = prefork.child_producer(|_| -> Result<(), String> { panic!("no ink") });
    let error = fail(prefork);
    assert!(matches!(error, Error::Producer { .. }), "{error}");
    assert_eq!(cause(&error).as_deref(), Some("panicked: no ink"));
}

#[test]
fn p11_to_p13_hooks_by_attribute_get_the_same_calls() {
    let mut server = Server::new(HOOKS).start();
    let children = server.wait_for_children(2);
    wait_for_workers(&server);
    let killed = server.kill_child(1);
    server.wait_for_log(|line| line.starts_with("recover "));
    let new = eventually("another child in slot 1", || {
        server.child(1).filter(|child| child.pid != killed.pid)
    });
    assert_eq!(server.stop().code(), Some(0));
    let lines: Vec<String> = server
        .final_log()
        .into_iter()
        .filter(|line| ["spawn", "ready", "recover"].contains(&event(line)))
        .collect();
    let [one, two] = [children[0].pid, children[1].pid];
    let expected = [
        format!("spawn 0 {one}"),
        format!("spawn 1 {two}"),
        format!("ready {one} {two} on listener0={}", server.addr()),
        format!("spawn 1 {}", new.pid),
        format!("recover 1 {two} {}", new.pid),
    ];
    assert_eq!(lines, expected);
}

fn event(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

#[test]
fn p16_on_master_death_is_called_once_in_every_worker() {
    let mut server = Server::new(HOOKS).start();
    server.wait_for_children(2);
    wait_for_workers(&server);
    assert!(
        !server
            .log()
            .iter()
            .any(|line| line.starts_with("master death "))
    );
    server.signal(Signal::SIGKILL);
    server.wait();
    let mut deaths: Vec<String> = server.final_log();
    deaths.retain(|line| line.starts_with("master death "));
    deaths.sort_unstable();
    assert_eq!(deaths, ["master death 0", "master death 1"]);
}

#[test]
fn p16_a_stop_does_not_call_on_master_death() {
    let mut server = Server::new(HOOKS).start();
    server.wait_for_children(2);
    wait_for_workers(&server);
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    assert!(
        !log.iter().any(|line| line.starts_with("master death ")),
        "{log:?}"
    );
}

/// The parent of the workers is process 1, as it would be for orphans.
#[test]
fn p16_a_master_that_is_pid_1_does_not_count_as_dead() {
    let namespace = ["unshare", "--pid", "--fork", "--mount-proc"];
    let mut attempt = std::process::Command::new(namespace[0]);
    let attempt = attempt.args(&namespace[1..]).arg("true").output();
    if !attempt.is_ok_and(|output| output.status.success()) {
        println!("skipped: needs unshare(1) and the right to make a PID namespace");
        return;
    }
    let mut server = Server::new(HOOKS).wrapper(namespace).start();
    server.wait_for_children(2);
    wait_for_workers(&server);
    server.kill_child(0);
    server.wait_for_log(|line| line.starts_with("recover "));
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    assert!(
        !log.iter().any(|line| line.starts_with("master death ")),
        "{log:?}"
    );
}

#[test]
fn p19_a_failing_hook_leaves_no_zombie() {
    // The child has ended already when its hook fails.
    let (mut prefork, _) = master(1, "exit 0");
    let pids = Recorded::default();
    let note = pids.clone();
    prefork = prefork.on_child_spawn(move |child| {
        note.push(child.pid());
        eventually("the child's end", || {
            (!prefork_tests::proc::is_alive(child.pid())).then_some(())
        });
        Err("too late")
    });
    let error = fail(prefork);
    assert_eq!(cause(&error).as_deref(), Some("too late"));
    let pids: Vec<i32> = pids.all();
    assert_eq!(pids.len(), 1);
    assert_gone(&pids);
}

#[test]
fn p19_a_failing_recovery_hook_leaves_no_zombie() {
    let (prefork, _) = master(2, REST);
    let (mut prefork, calls) = record_hooks(prefork);
    prefork = prefork.on_child_recover(|_| Err("no more"));
    let master = start(prefork);
    let first = spawned(&calls.wait("both children, announced", 3));
    kill_child(first[1]);
    master.wait().expect_err("the hook failed");
    let all = spawned(&calls.all());
    assert_eq!(all.len(), 3);
    assert_gone(&all);
}
