//! When `main` ends, the worker ends, even if its process still runs. The log contains the reason.

use prefork_testkit::{Output, RunningServer, Server, eventually};
use prefork_tests::client::{get, slot_and_pid};
use prefork_tests::proc;

const MAIN_ENDS: &str = env!("CARGO_BIN_EXE_main_ends");
const TOKIO_BELOW: &str = env!("CARGO_BIN_EXE_main_ends_on_tokio");
const BUILDER: &str = env!("CARGO_BIN_EXE_main_ends_in_builder");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const FILTERED: &str = env!("CARGO_BIN_EXE_filtered");

fn holding(program: &str, grace: &str) -> RunningServer {
    Server::new(program)
        .arg("hold")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", grace)
        .start()
}

/// Requests that `main` ends in this way; returns the pid of the worker.
fn end(server: &RunningServer, how: &str) -> i32 {
    let (_, pid) =
        slot_and_pid(&get(server.addr(), "/").expect("the server answers")).expect("a worker");
    // The worker may exit before it answers.
    let _ = get(server.addr(), &format!("/end/{how}"));
    pid
}

fn served_by_another(server: &RunningServer, pid: i32) {
    eventually("an answer of the replacement", || {
        let (_, answering) = slot_and_pid(&get(server.addr(), "/").ok()?)?;
        (answering != pid).then_some(())
    });
}

fn gives_up(how: &str, threshold: &str) -> Output {
    Server::new(MAIN_ENDS)
        .arg(how)
        .env("PREFORK_RECOVER_THRESHOLD", threshold)
        .run()
}

#[test]
fn an_error_of_main_is_the_reason_of_the_exit() {
    let server = Server::new(MAIN_ENDS).start();
    let pid = end(&server, "error");
    server.wait_for_log(|line| {
        line.starts_with(&format!("prefork: worker 0 (pid {pid}) exited with status 1 after "))
            && line.ends_with(
                r#": main returned an error: Custom { kind: Other, error: "lost the database\nand \u{1b}[2J" }"#,
            )
    });
    served_by_another(&server, pid);
}

#[test]
fn a_panic_of_main_is_the_reason_of_the_exit() {
    let server = Server::new(MAIN_ENDS).start();
    let pid = end(&server, "panic");
    server.wait_for_log(|line| {
        line.starts_with(&format!(
            "prefork: worker 0 (pid {pid}) exited with status 101 after "
        )) && line.contains(": main panicked at ")
            && line.ends_with("lost the plot")
    });
    served_by_another(&server, pid);
}

#[test]
fn a_main_that_returns_is_the_reason_of_the_exit() {
    let server = Server::new(MAIN_ENDS).start();
    let pid = end(&server, "return");
    server.wait_for_log(|line| {
        line.starts_with(&format!(
            "prefork: worker 0 (pid {pid}) exited with status 0 after "
        )) && line.ends_with(": main returned")
    });
    served_by_another(&server, pid);
}

#[test]
fn a_process_that_ends_itself_has_no_other_reason() {
    let server = Server::new(MAIN_ENDS).start();
    let pid = end(&server, "exit");
    server.wait_for_log(|line| {
        line.starts_with(&format!(
            "prefork: worker 0 (pid {pid}) exited with status 9 after "
        )) && !line.contains("main")
    });
}

#[test]
fn a_worker_whose_main_has_ended_is_replaced_while_its_process_still_runs() {
    for program in [MAIN_ENDS, TOKIO_BELOW, BUILDER] {
        for how in ["error", "panic", "return"] {
            let server = holding(program, "1h");
            let pid = end(&server, how);
            served_by_another(&server, pid);
            let line = server.wait_for_log(|line| line.contains("still runs"));
            assert!(line.contains(&format!("worker 0 (pid {pid})")), "{line}");
            let reason = match (program, how) {
                (_, "panic") => ": main panicked at ",
                // Only the program knows what the body of a builder returns.
                (BUILDER, _) | (_, "return") => ": main returned, ",
                (_, _) => "lost the database",
            };
            assert!(line.contains(reason), "{program} {how}: {line}");
            assert!(
                proc::is_alive(pid),
                "{program} {how}: the worker still has an hour of grace period"
            );
        }
    }
}

#[test]
fn a_process_that_still_runs_after_main_ends_within_the_grace_period() {
    let server = holding(MAIN_ENDS, "1s");
    let pid = end(&server, "error");
    // The runtime stops waiting for its blocking tasks, so the process exits with its own status.
    server.wait_for_log(|line| {
        line.starts_with(&format!(
            "prefork: worker 0 (pid {pid}) exited with status 1 after "
        ))
    });
    // A runtime that the crate did not create waits forever.
    let server = holding(TOKIO_BELOW, "1s");
    let pid = end(&server, "error");
    let line = server.wait_for_log(|line| line.contains("SIGKILL"));
    assert!(line.contains(&format!("(pid {pid})")), "{line}");
    assert!(line.contains("lost the database"), "{line}");
    served_by_another(&server, pid);
}

#[test]
fn blocking_tasks_have_the_rest_of_a_stop_and_end_with_it() {
    let mut server = holding(MAIN_ENDS, "1s");
    get(server.addr(), "/").expect("the server answers");
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    let line = log.iter().find(|line| line.contains(" after "));
    let line = line.expect("a worker exits");
    assert!(line.contains(" exited with status 0 "), "{log:#?}");
    assert!(line.ends_with(", as requested"), "{log:#?}");
}

#[test]
fn the_last_paragraph_names_the_reason_that_all_had() {
    let output = gives_up("error", "3");
    assert_eq!(output.code(), Some(75));
    let last = output.log.last().expect("a last line");
    for part in [
        "4 workers exited unexpectedly (recover_threshold = 3)",
        "no worker was ever ready",
        "each of the last 4 exited with status 1: main returned an error: ",
        "lost the database",
    ] {
        assert!(last.contains(part), "{last}");
    }
    let named = |line: &&String| line.starts_with("prefork: worker 0") && line.contains("lost");
    assert_eq!(
        output.log.iter().filter(named).count(),
        1,
        "{:#?}",
        output.log
    );
    let repeated = |line: &&String| line.contains(": same reason as before, ");
    assert_eq!(
        output.log.iter().filter(repeated).count(),
        3,
        "{:#?}",
        output.log
    );
}

#[test]
fn a_program_that_never_becomes_ready_ends_its_master() {
    // The window is shorter than the time between two exits, so it never contains both.
    let output = Server::new(MAIN_ENDS)
        .arg("never")
        .env("PREFORK_READY_TIMEOUT", "200ms")
        .env("PREFORK_RECOVER_WINDOW", "50ms")
        .env("PREFORK_RECOVER_THRESHOLD", "2")
        .run();
    assert_eq!(output.code(), Some(75));
    let last = output.log.last().expect("a last line");
    for part in [
        "3 workers exited unexpectedly (recover_threshold = 2)",
        "no worker was ever ready",
        "not ready within ready_timeout (200ms)",
    ] {
        assert!(last.contains(part), "{last}");
    }
}

#[test]
fn a_long_error_is_cut() {
    let output = gives_up("long", "0");
    assert_eq!(output.code(), Some(75));
    let is_of_master = |line: &&String| line.starts_with("prefork: ");
    let longest = output
        .log
        .iter()
        .filter(is_of_master)
        .map(String::len)
        .max();
    assert!(longest.is_some_and(|longest| (1000..5000).contains(&longest)));
}

#[test]
fn a_runtime_that_cannot_be_created_is_the_reason_of_the_exit() {
    // The runtime of the worker needs `eventfd2`. The master does not.
    let output = Server::new(MAIN_ENDS)
        .wrapper([FILTERED, "eventfd2", "EPERM"])
        .env("PREFORK_RECOVER_THRESHOLD", "0")
        .run();
    assert_eq!(output.code(), Some(75));
    let line = output.log.iter().find(|line| line.contains(" after "));
    let line = line.expect("a worker exits");
    assert!(line.contains("status 101"), "{line}");
    assert!(line.contains("cannot create a tokio runtime"), "{line}");
    assert!(
        line.contains("Operation not permitted") || line.contains("PermissionDenied"),
        "{line}"
    );
}

#[test]
fn a_blocking_server_does_without_eventfd() {
    let mut server = Server::new(PLAIN)
        .wrapper([FILTERED, "eventfd2", "EPERM"])
        .env("PREFORK_WORKERS", "1")
        .start();
    get(server.addr(), "/").expect("the server answers");
    assert_eq!(server.stop().code(), Some(0));
}
