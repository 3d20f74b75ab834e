//! A server of the testkit leaves no process, even if the test panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use prefork_testkit::{Server, Signal, eventually};
use prefork_tests::client::get;
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const ODD: &str = env!("CARGO_BIN_EXE_odd");

#[test]
fn a_server_that_is_dropped_leaves_nothing() {
    let server = Server::new(HELLO).env("PREFORK_WORKERS", "3").start();
    server.wait_for_children(3);
    let processes = server.processes();
    assert_eq!(processes.len(), 4);
    drop(server);
    assert!(!processes.into_iter().any(proc::is_alive));
}

#[test]
fn a_test_that_panics_leaves_nothing_not_even_orphans() {
    let mut processes = Vec::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut server = Server::new(ODD)
            .arg("ignores_stop")
            .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "10m")
            .start();
        server.wait_for_log(|line| line == "ignoring stop");
        processes = server.processes();
        server.signal(Signal::SIGKILL);
        server.wait();
        assert_eq!(
            server.processes().len(),
            1,
            "an orphan that ignores the stop"
        );
        panic!("the test fails here");
    }));
    assert!(result.is_err());
    assert_eq!(processes.len(), 2);
    assert!(!processes.into_iter().any(proc::is_alive));
}

#[test]
fn a_server_that_does_not_serve_is_reported_with_its_log() {
    let result = catch_unwind(|| Server::new(HELLO).listen("nowhere").start());
    let panic = result.expect_err("the server does not start");
    let message = panic.downcast::<String>().expect("a message");
    assert!(message.contains("'nowhere' has no port"), "{message}");
}

/// The message of a start that fails.
fn failure_of(server: Server) -> String {
    let result = catch_unwind(AssertUnwindSafe(|| server.start()));
    let panic = result.expect_err("the server does not become ready");
    *panic.downcast::<String>().expect("a message")
}

#[test]
fn a_server_that_ends_before_it_is_ready_is_reported_with_its_end() {
    let message = failure_of(Server::new("sh").arg("-c").arg("echo no database; exit 3"));
    assert!(message.contains("it exited with status 3; "), "{message}");
    assert!(
        message.contains("did not report that its workers were started"),
        "{message}"
    );
    assert!(message.contains("no database"), "{message}");

    let message = failure_of(Server::new("sh").arg("-c").arg("kill -KILL $$"));
    assert!(message.contains("it was killed by signal 9; "), "{message}");
}

/// If the wrapper exits, the server that it started continues to run.
#[test]
fn a_server_outlives_the_wrapper_that_started_it() {
    let wrapper = ["sh", "-c", r#""$@" & exit 0"#, "sh"];
    let server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "1")
        .wrapper(wrapper)
        .start();
    get(server.addr(), "/").expect("an answer");
}

#[test]
fn a_server_that_was_stopped_has_a_log_and_a_status() {
    let mut server = Server::new(HELLO).env("PREFORK_WORKERS", "1").start();
    get(server.addr(), "/").expect("an answer");
    assert!(server.stop().success());
    assert!(server.wait().success());
    eventually("no process", || server.processes().is_empty().then_some(()));
    assert!(
        server
            .final_log()
            .iter()
            .any(|line| line.contains("SIGTERM"))
    );
}

/// A shell without job control ignores SIGINT and SIGQUIT in a test behind `&`. `nohup` ignores
/// SIGHUP.
#[test]
fn signals_reach_a_server_although_the_test_was_started_with_the_signals_ignored() {
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' INT QUIT HUP; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().expect("the test program runs"))
        .args(["--exact", "a_server_acts_on_each_signal", "--nocapture"])
        .output()
        .expect("sh is available");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn a_server_acts_on_each_signal() {
    let mut server = Server::new(HELLO).env("PREFORK_WORKERS", "1").start();
    server.signal(Signal::SIGHUP);
    server.wait_for_log(|line| line.contains("rollout requested by SIGHUP"));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let mut server = Server::new(HELLO).env("PREFORK_WORKERS", "1").start();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
    }
}
