//! If a worker dies, the master replaces it and the replacement answers the waiting clients.

use std::{fs, io};

use prefork_testkit::{ChildInfo, RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, get, slot_and_pid};
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");

fn hello(workers: &str) -> RunningServer {
    Server::new(HELLO).env("PREFORK_WORKERS", workers).start()
}

fn replacement(server: &RunningServer, old: ChildInfo) -> ChildInfo {
    eventually("another child in the slot", || {
        server.child(old.slot).filter(|child| child.pid != old.pid)
    })
}

fn exits(server: &RunningServer) -> Vec<String> {
    let is_exit = |line: &String| line.contains(" after ");
    server.log().into_iter().filter(is_exit).collect()
}

#[test]
fn a_killed_worker_is_replaced_in_its_slot() {
    let server = hello("2");
    let before = server.wait_for_children(2);
    let killed = server.kill_child(1);
    let after = replacement(&server, killed);
    eventually("an answer of the replacement", || {
        let (slot, pid) = slot_and_pid(&get(server.addr(), "/").expect("a worker answers"))?;
        (pid == after.pid).then(|| assert_eq!(slot, 1))
    });
    assert_eq!(server.child(0), Some(before[0]));
}

#[test]
fn an_exit_is_one_log_line_with_slot_pid_status_and_age() {
    let server = hello("1");
    let killed = server.kill_child(0);
    let pid = killed.pid;
    let line = server.wait_for_log(|line| line.contains("SIGKILL"));
    let age = line.strip_prefix(&format!(
        "prefork: worker 0 (pid {pid}) was killed by SIGKILL after "
    ));
    // A hint at other possible senders follows.
    let age = age.and_then(|rest| rest.split(';').next());
    assert!(age.is_some_and(is_measured_time), "{line}");
    replacement(&server, killed);
    assert_eq!(exits(&server), [line]);
}

/// Whether the text is a duration like `12ms` or `5.1s`.
fn is_measured_time(text: &str) -> bool {
    let number = text.strip_suffix("ms").or_else(|| text.strip_suffix('s'));
    number.is_some_and(|number| number.parse::<f64>().is_ok())
}

#[test]
fn a_replacement_is_one_line_and_the_first_worker_is_none() {
    let server = hello("1");
    let killed = server.kill_child(0);
    let new = replacement(&server, killed);
    let expected = format!(
        "prefork: worker 0 (pid {}) started, replacing pid {}",
        new.pid, killed.pid
    );
    server.wait_for_log(|line| line == expected);
    let log = server.log();
    let replaced = log
        .iter()
        .filter(|line| line.contains("started, replacing"));
    assert_eq!(replaced.count(), 1, "{log:#?}");
}

#[test]
fn a_worker_that_aborts_is_replaced() {
    let server = hello("1");
    let aborted = server.wait_for_children(1)[0];
    get(server.addr(), "/abort").expect_err("the worker aborts before it answers");
    let pid = aborted.pid;
    let line = server.wait_for_log(|line| line.contains("SIGABRT"));
    assert!(
        line.starts_with(&format!("prefork: worker 0 (pid {pid}) ")),
        "{line}"
    );
    let after = replacement(&server, aborted);
    let body = get(server.addr(), "/").expect("the replacement serves");
    assert_eq!(slot_and_pid(&body), Some((0, after.pid)));
}

#[test]
fn connections_that_wait_for_a_killed_worker_are_answered_by_its_replacement() {
    for program in [HELLO, PLAIN] {
        let server = Server::new(program).env("PREFORK_WORKERS", "1").start();
        let body = get(server.addr(), "/").expect("an answer");
        let stopped = server.signal_child(0, Signal::SIGSTOP);
        eventually("the worker's halt", || {
            proc::is_stopped(stopped.pid).then_some(())
        });
        let waiting: Vec<_> = (0..100)
            .map(|_| ask(server.addr(), "/").expect("the listen queue has space"))
            .collect();
        server.kill_child(0);
        let pid = replacement(&server, stopped).pid;
        let expected = body.replace(&stopped.pid.to_string(), &pid.to_string());
        for client in waiting {
            assert_eq!(
                answer(client).expect("each waiting client gets an answer"),
                expected
            );
        }
    }
}

#[test]
fn the_other_workers_keep_serving_while_one_is_killed_repeatedly() {
    let server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_RECOVER_THRESHOLD", "1000")
        .start();
    let steady = server.wait_for_children(2)[0];
    for _ in 0..20 {
        // No client connects now: a connection that the killed worker had accepted would be lost.
        let killed = server.kill_child(1);
        replacement(&server, killed);
    }
    assert_eq!(server.child(0), Some(steady));
    eventually("an answer of the steady one", || {
        let (_, pid) = slot_and_pid(&get(server.addr(), "/").expect("a worker answers"))?;
        (pid == steady.pid).then_some(())
    });
}

#[test]
fn a_worker_that_another_process_terminates_finishes_and_is_replaced() {
    let server = hello("1");
    let asked = ask(server.addr(), "/slow?ms=500").expect("the server is listening");
    eventually("the request in flight", || {
        (proc::queued(server.addr()) == 0).then_some(())
    });
    let terminated = server.signal_child(0, Signal::SIGTERM);
    let body = answer(asked).expect("the request was sent before the stop");
    assert_eq!(slot_and_pid(&body), Some((0, terminated.pid)));
    let after = replacement(&server, terminated);
    let body = get(server.addr(), "/").expect("the replacement serves");
    assert_eq!(slot_and_pid(&body), Some((0, after.pid)));
    let line = server.wait_for_log(|line| line.starts_with("prefork: worker 0"));
    assert!(
        line.contains("exited with status 0") && !line.contains("as requested"),
        "{line}"
    );
}

#[test]
fn recovery_starts_the_same_program_when_its_file_was_replaced_or_removed() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let program = folder.path().join("hello");
    // A hard link instead of a copy: a file that was just written cannot be executed while another
    // thread forks.
    fs::hard_link(HELLO, &program).expect("the same file system");
    let server = Server::new(&program).env("PREFORK_WORKERS", "1").start();
    let replace = || {
        let other = folder.path().join("other");
        fs::write(&other, "not a program")?;
        fs::rename(&other, &program)
    };
    let remove = || fs::remove_file(&program);
    let changes: [&dyn Fn() -> io::Result<()>; 2] = [&replace, &remove];
    for change in changes {
        change().expect("the test owns the folder");
        let after = replacement(&server, server.kill_child(0));
        let body = get(server.addr(), "/").expect("the replacement serves");
        assert_eq!(slot_and_pid(&body), Some((0, after.pid)));
    }
}
