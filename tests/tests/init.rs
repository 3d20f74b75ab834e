//! `init` runs first in every process, once. If it fails, the process ends.

use prefork_testkit::{Output, RunningServer, Server};

const INIT: &str = env!("CARGO_BIN_EXE_init");
const WAITING_INIT: &str = env!("CARGO_BIN_EXE_waiting_init");

fn serving(workers: &str) -> RunningServer {
    Server::new(INIT).env("PREFORK_WORKERS", workers).start()
}

fn run_with(action: &str) -> Output {
    Server::new(INIT).env("INIT", action).run()
}

#[test]
fn init_is_called_first_in_the_master_and_in_every_worker() {
    let mut server = serving("1");
    server.wait_for_log(|line| line == "body");
    server.stop();
    let log = server.final_log();
    let of = |role| format!("init of {role}, threads: 1, marked: false");
    assert_eq!(log[0], of("master"));
    let begin = |line: &&String| line.starts_with("init of ") || *line == "body";
    let begin: Vec<&String> = log.iter().filter(begin).collect();
    assert_eq!(begin, [&of("master"), &of("worker 0"), &"body".to_owned()]);
}

#[test]
fn init_is_called_once_in_every_process() {
    let server = Server::new(INIT)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_RECOVER_THRESHOLD", "8")
        .start();
    let inits = |role: &str| {
        let start = format!("init of {role},");
        let log = server.log();
        log.iter().filter(|line| line.starts_with(&start)).count()
    };
    server.wait_for_children(2);
    let bodies = |count| {
        prefork_testkit::eventually("bodies", || {
            let bodies = server.log().iter().filter(|line| *line == "body").count();
            (bodies == count).then_some(())
        });
    };
    bodies(2);
    server.kill_child(1);
    bodies(3);
    let counts = ["master", "worker 0", "worker 1", "single"].map(inits);
    assert_eq!(counts, [1, 1, 2, 0]);
}

#[test]
fn init_gets_the_role_single_in_single_process_mode() {
    let mut server = serving("0");
    server.wait_for_log(|line| line == "body");
    server.stop();
    let log = server.final_log();
    assert_eq!(log[0], "init of single, threads: 1, marked: false");
    assert_eq!(log.iter().filter(|line| line.contains("init")).count(), 1);
}

#[test]
fn a_failed_init_of_the_master_binds_and_starts_nothing() {
    let output = run_with("refuse master");
    assert_eq!(output.code(), Some(70));
    let text = "prefork: init failed (master): no ink. Correct the init function. Nothing \
                was bound or started.";
    assert_eq!(output.log[1..], [text]);
}

#[test]
fn a_panic_of_init_is_a_failed_init() {
    let output = run_with("panic master");
    assert_eq!(output.code(), Some(70));
    assert!(
        output
            .text()
            .contains("init failed (master): panicked: out of paper")
    );
}

#[test]
fn a_failed_init_of_a_worker_is_an_exit_with_a_reason() {
    for (action, reason) in [
        ("refuse worker 0", "init failed (worker 0): no ink"),
        (
            "panic worker 0",
            "init failed (worker 0): panicked: out of paper",
        ),
    ] {
        let output = run_with(action);
        assert_eq!(output.code(), Some(75), "{}", output.text());
        let assert_logged = |start: &str, end: &str| {
            let fits = |line: &&String| line.starts_with(start) && line.ends_with(end);
            assert_eq!(
                output.log.iter().filter(fits).count(),
                1,
                "{}",
                output.text()
            );
        };
        assert_logged("prefork: worker 0 (pid ", &format!(": {reason}"));
        assert_logged(
            &format!("prefork: {reason}. "),
            "Correct the init function. Nothing was bound or started.",
        );
        assert!(output.text().contains("exited with status 70"));
        assert!(!output.log.contains(&"body".to_owned()));
    }
}

#[test]
fn a_thread_of_init_can_wait_for_the_stop() {
    for workers in ["0", "1"] {
        let mut server = Server::new(WAITING_INIT)
            .env("PREFORK_WORKERS", workers)
            .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1h")
            .spawn();
        server.wait_for_log(|line| line == "body");
        assert_eq!(server.stop().code(), Some(0));
        let log = server.final_log();
        assert!(log.contains(&"the thread goes".to_owned()), "{log:?}");
    }
}

#[test]
fn a_panic_hook_that_init_sets_is_called_too() {
    let output = run_with("panic later");
    let log = output.text();
    assert!(
        output.log.contains(&"its own hook for panics".to_owned()),
        "{log}"
    );
    assert!(log.contains(": main panicked at "), "{log}");
}

#[test]
fn neither_an_explanation_nor_refused_options_call_init() {
    for (variable, value, status) in [("PREFORK_EXPLAIN", "1", 0), ("PREFORK_WORKERS", "many", 78)]
    {
        let output = Server::new(INIT).env(variable, value).run();
        assert_eq!(output.code(), Some(status));
        assert!(!output.text().contains("init of"), "{}", output.text());
    }
}
