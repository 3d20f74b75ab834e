//! The variables of a role are for one process. An unrelated process ignores them and runs as a
//! master. Programs that a worker starts do not inherit them.

use std::path::Path;
use std::process::Command;

use prefork_testkit::Server;
use prefork_tests::client::get;
use prefork_tests::proc;

const FORGED_ROLE: &str = env!("CARGO_BIN_EXE_forged_role");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const ODD: &str = env!("CARGO_BIN_EXE_odd");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");

/// A program that has inherited the variables of a worker.
fn inherited(role: &str, listen_pid: &str) -> Server {
    Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_CHILD", role)
        .env("PREFORK_ADDRS", "http=127.0.0.1:1")
        .env("LISTEN_PID", listen_pid)
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "http")
}

#[test]
fn the_role_of_another_process_is_one_line_and_no_role() {
    // A role of pid 1, roles of a pid that does not exist, and a malformed role.
    for (role, listen_pid) in [
        ("1:0:1:4", "1"),
        ("1:0:1:4", "4194304"),
        ("2:0:1:4", "4194304"),
        ("yes", "4194304"),
    ] {
        let mut server = inherited(role, listen_pid).start();
        get(server.addr(), "/").expect("an answer");
        let log = server.log();
        let about: Vec<_> = log
            .iter()
            .filter(|line| line.contains("PREFORK_CHILD"))
            .collect();
        let [line] = about.as_slice() else {
            panic!("not one line: {log:?}");
        };
        let expected = format!(
            "prefork: ignoring PREFORK_CHILD: it is meant for another process (LISTEN_PID is {listen_pid}, this is pid {})",
            server.master_pid()
        );
        assert_eq!(**line, expected);
        for child in server.wait_for_children(2) {
            let of_child = proc::variable(child.pid, "LISTEN_PID");
            assert_eq!(of_child, Some(child.pid.to_string()));
        }
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn a_wrapper_that_forks_is_refused_and_starts_no_masters() {
    // The second script also closes the descriptors. `LISTEN_PID` is the pid of an ancestor, which
    // is not a worker.
    for script in ["\"$@\"; exit $?", "\"$@\" 3<&- 4<&-; exit $?"] {
        let output = Server::new(PLAIN)
            .wrapper([FORGED_ROLE, "sh", "-c", script, "sh"])
            .run();
        assert_eq!(output.code(), Some(76), "{script}: {:?}", output.log);
        let [line] = output.log.as_slice() else {
            panic!("{script}: not one line: {:?}", output.log);
        };
        assert!(line.contains("LISTEN_PID is invalid"), "{line}");
    }
}

/// A library that starts a thread before `main`, as agents and allocators do.
const THREAD: &str = "
#include <pthread.h>
#include <unistd.h>
static void *wait_forever(void *unused) { for (;;) pause(); return unused; }
__attribute__((constructor)) static void start(void) {
    pthread_t thread;
    pthread_create(&thread, 0, wait_forever, 0);
}
";

/// Compiles the library and returns its path, or `None` without a compiler.
fn compile(folder: &Path) -> Option<String> {
    let source = folder.join("thread.c");
    std::fs::write(&source, THREAD).expect("the folder is writable");
    let library = folder.join("thread.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-pthread", "-o"])
        .args([&library, &source])
        .status();
    compiled
        .is_ok_and(|status| status.success())
        .then(|| library.display().to_string())
}

#[test]
fn a_thread_before_main_leaves_no_variable_to_other_programs() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(library) = compile(folder.path()) else {
        println!("skipped: needs cc");
        return;
    };
    let mut server = Server::new(ODD)
        .arg("grandchild")
        .env("LD_PRELOAD", library)
        .env("MY_PREFORK_CHILD", "stays")
        .start();
    server.wait_for_log(|line| line.starts_with("printed by worker 0: Ok"));
    let worker = server.wait_for_children(1)[0];
    assert!(
        proc::thread_names(worker.pid).len() > 2,
        "the thread still runs"
    );
    let log = server.log();
    let has = |name: &str| log.iter().any(|line| line.starts_with(&format!("{name}=")));
    for name in [
        "PREFORK_CHILD",
        "PREFORK_ADDRS",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
    ] {
        assert!(!has(name), "{name} in {log:?}");
    }
    assert!(has("MY_PREFORK_CHILD") && has("PATH"), "{log:?}");
    assert_eq!(server.stop().code(), Some(0));
}
