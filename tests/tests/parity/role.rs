//! P1 to P4, P28, P32: the role of a process, how the process detects it, and the defaults.

use std::fs;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use prefork_testkit::{Server, Signal};
use prefork_tests::proc;

use crate::support::{Lines, REST, fail, fd, master, record_hooks, spawned, start, stop};

const HOOKS: &str = env!("CARGO_BIN_EXE_parity_hooks");
const ROLE: &str = env!("CARGO_BIN_EXE_parity_role");
const SHELL: &str = env!("CARGO_BIN_EXE_parity_shell");

fn command_line(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).expect("the process runs")
}

/// The values of a variable in the environment of a process, one for each occurrence.
fn occurrences(pid: i32, name: &str) -> Vec<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("the process runs");
    let text = String::from_utf8_lossy(&environment).into_owned();
    let value = |pair: &str| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned());
    text.split('\0').filter_map(value).collect()
}

#[test]
fn p01_a_child_is_this_executable_with_the_same_arguments() {
    let server = Server::new(HOOKS)
        .arg("--color")
        .arg("")
        .arg("two words")
        .start();
    let master = server.master_pid();
    let image = |pid| fs::read_link(format!("/proc/{pid}/exe")).expect("the process runs");
    assert!(command_line(master).ends_with(b"\0--color\0\0two words\0"));
    for child in server.wait_for_children(2) {
        assert_eq!(image(child.pid), image(master));
        assert_eq!(command_line(child.pid), command_line(master));
    }
}

#[test]
fn p01_the_role_travels_in_the_environment() {
    let server = Server::new(HOOKS).start();
    for child in server.wait_for_children(2) {
        let role = occurrences(child.pid, "PREFORK_CHILD");
        let slot = format!("1:{}:", child.slot);
        assert!(role.len() == 1 && role[0].starts_with(&slot), "{role:?}");
    }
    assert_eq!(occurrences(server.master_pid(), "PREFORK_CHILD"), [""; 0]);
}

#[test]
fn p02_the_marker_is_set_once_replaces_others_and_keeps_similar_names() {
    let (prefork, _) = master(1, REST);
    let (mut prefork, calls) = record_hooks(prefork);
    prefork = prefork.child_producer(|child| {
        child
            .program("/bin/sleep")
            .arg("1000")
            .env("PREFORK_CHILD", "forged")
            .env("PREFORK_CHILDREN", "stays")
            .env("MY_PREFORK_CHILD", "stays")
            .env("prefork_child", "stays");
    });
    let master = start(prefork);
    let pid = spawned(&calls.wait("the child, announced", 2))[0];
    let marker = occurrences(pid, "PREFORK_CHILD");
    assert!(
        marker.len() == 1 && marker[0].starts_with("1:0:"),
        "{marker:?}"
    );
    for similar in ["PREFORK_CHILDREN", "MY_PREFORK_CHILD", "prefork_child"] {
        assert_eq!(occurrences(pid, similar), ["stays"]);
    }
    stop(master);
}

fn log_of(extra: &[(&str, &str)]) -> Vec<String> {
    let server = Server::new(ROLE).env("PREFORK_WORKERS", "1");
    let server = extra
        .iter()
        .fold(server, |server, (name, value)| server.env(*name, *value));
    let mut server = server.start();
    server.wait_for_log(|line| line == "started 0");
    assert_eq!(server.stop().code(), Some(0));
    server.final_log()
}

#[test]
fn p02_a_program_that_a_worker_starts_is_no_child() {
    let log = log_of(&[]);
    let expected = "grandchild: child false, variable false".to_owned();
    assert!(log.contains(&expected), "{log:?}");
}

/// A worker has removed the variable from its environment. The answer does not change.
#[test]
fn p03_is_child_does_not_change() {
    let log = log_of(&[]);
    let expected = "worker: child true, variable false".to_owned();
    assert!(log.contains(&expected), "{log:?}");
    assert!(!prefork::is_child());
}

#[test]
fn p04_by_default_there_is_a_worker_for_every_usable_cpu() {
    let usable = available_parallelism().map_or(1, NonZeroUsize::get);
    let mut server = Server::new(SHELL).start();
    assert_eq!(server.wait_for_children(usable).len(), usable);
    assert_eq!(server.stop().code(), Some(0));
    // `taskset` allows one of the CPUs.
    let mut server = Server::new(SHELL)
        .wrapper([
            "sh",
            "-c",
            r#"exec taskset -c "$(taskset -pc $$ | sed 's/.*[: ,-]\([0-9]*\)$/\1/')" "$@""#,
            "sh",
        ])
        .start();
    let line = server.wait_for_log(|line| line.starts_with("prefork: "));
    assert!(line.contains(" with 1 worker "), "{line}");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn p04_an_async_body_has_a_runtime_of_one_thread() {
    let log = log_of(&[]);
    let is_it = |line: &String| line.starts_with("runtime CurrentThread, ");
    assert!(log.iter().any(is_it), "{log:?}");
}

#[test]
fn p28_stdin_is_empty_and_stdout_and_stderr_are_those_of_the_master() {
    let (reader, _writer) = std::io::pipe().expect("descriptors");
    let server = Server::new(HOOKS).stdin(reader).start();
    let master = server.master_pid();
    assert_ne!(fd(master, 0), Some("/dev/null".into()));
    for child in server.wait_for_children(2) {
        assert_eq!(fd(child.pid, 0), Some("/dev/null".into()));
        for number in [1, 2] {
            assert_eq!(fd(child.pid, number), fd(master, number));
            assert!(fd(child.pid, number).is_some());
        }
    }
}

#[test]
fn p32_a_builder_without_options_runs() {
    let mut server = Server::new(ROLE).keep_listen().start();
    server.wait_for_log(|line| line.starts_with("started "));
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    let is_start = |line: &String| line.starts_with("prefork: running with ");
    assert!(log.iter().any(is_start), "{log:?}");
}

#[test]
fn p32_zero_workers_are_one_process_that_serves() {
    let mut server = Server::new(ROLE).env("PREFORK_WORKERS", "0").start();
    server.wait_for_log(|line| line == "started 0");
    assert_eq!(server.children(), []);
    assert_eq!(server.processes(), [server.master_pid()]);
    assert_eq!(server.stop().code(), Some(0));
}

/// The meaning of 0 for durations. P7 has the threshold, P9 the grace period.
#[test]
fn p32_zero_has_the_documented_meaning_for_each_option() {
    // The time to become ready is unlimited. This worker ends without the master.
    let (mut prefork, lines) = master(1, REST);
    let hello = "printf 'hello protocol=1 ready=announced listeners=' >&$channel";
    prefork = crate::support::shell(prefork, &format!("{hello}; sleep 0.3; exit 3"));
    let error = fail(prefork.ready_timeout("0s").recover_threshold(0));
    assert_eq!(error.exit_code(), 75);
    assert_eq!(lines.with("exited with status 3").len(), 1, "{lines:?}");
    assert_eq!(lines.with("not ready within").len(), 0, "{lines:?}");

    // Each child is healthy at once and replaced at once, and its exit leaves the window at once.
    let (prefork, _) = master(1, "exit 0");
    let (mut prefork, calls) = record_hooks(prefork);
    prefork = prefork
        .healthy_after("0s")
        .recover_interval("0s")
        .recover_window("0s")
        .recover_threshold(1);
    let master = start(prefork);
    calls.wait("twenty recoveries", 2 + 20 * 2);
    stop(master);
}

#[test]
fn p15_an_embedded_master_does_not_change_the_signal_handlers_of_its_process() {
    // A master on a thread does not change the signal handlers of the process.
    let caught = |field| {
        let own = i32::try_from(std::process::id()).expect("a pid fits into i32");
        proc::signals(own, field).expect("this process runs")
    };
    let bit = 1 << (Signal::SIGTERM as i32 - 1);
    let (prefork, _) = master(1, REST);
    let master = start(prefork);
    assert_eq!(caught("SigCgt") & bit, 0);
    assert_eq!(caught("SigIgn") & bit, 0);
    stop(master);
}
