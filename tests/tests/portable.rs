//! Systems other than Linux: one process serves, whatever `workers` is, and logs the reason.
//! Features that need no master work as on Linux.
//!
//! `--cfg prefork_portable` hides Linux from the crate. `.ci/run` sets it. Without it this file
//! has no tests.
#![cfg(prefork_portable)]

use prefork::{Error, Prefork};
use prefork_testkit::Server;
use prefork_tests::READY;
use prefork_tests::client::get;

const INIT: &str = env!("CARGO_BIN_EXE_init");
const LOGGING: &str = env!("CARGO_BIN_EXE_logging");
const OPEN_PORT: &str = env!("CARGO_BIN_EXE_open_port");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");

/// The line with the reason.
fn reason(workers: usize) -> String {
    format!("ignoring workers = {workers}: a master needs Linux; serving in a single process")
}

#[test]
fn one_process_serves_and_logs_why_it_has_no_workers() {
    let mut server = Server::new(PLAIN).start();
    let pid = server.master_pid();
    let body = get(server.addr(), "/").expect("an answer");
    assert_eq!(body, format!("hello from pid {pid}\n"));
    assert_eq!(server.processes(), [pid]);
    let start = format!("listening on listener0={}", server.addr());
    assert_eq!(server.stop().code(), Some(0));
    let lines = [
        format!("prefork: {}", reason(2)),
        format!("prefork: {start} in a single process (pid {pid})"),
    ];
    assert_eq!(server.final_log(), lines);
}

#[test]
fn zero_workers_log_no_reason() {
    let mut server = Server::new(PLAIN).env("PREFORK_WORKERS", "0").start();
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    assert_eq!(log.len(), 1, "{log:#?}");
}

#[test]
fn init_runs_first_with_the_role_single() {
    let mut server = Server::new(INIT).start();
    server.wait_for_log(|line| line == "body");
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    assert_eq!(log[0], "init of single, threads: 1, marked: false");
    assert_eq!(log[1], format!("prefork: {}", reason(1)));
}

#[test]
fn a_backend_gets_the_lines() {
    for backend in ["tracing", "log"] {
        let mut server = Server::new(LOGGING).env("BACKEND", backend).spawn();
        server.wait_for_log(|line| line.ends_with(READY));
        assert_eq!(server.stop().code(), Some(0));
        let mut log = server.final_log();
        log.retain(|line| !line.ends_with(READY));
        assert_eq!(log.len(), 2, "{log:#?}");
        assert_eq!(log[0], format!("{backend}: WARN prefork {}", reason(1)));
        let text = format!("{backend}: INFO prefork listening on ");
        assert!(log[1].starts_with(&text), "{log:#?}");
        assert!(log[1].contains(" pid="), "{log:#?}");
    }
}

#[test]
fn configure_sets_the_ignored_number_of_workers() {
    let mut server = Server::new(OPEN_PORT)
        .keep_listen()
        .env("PORT", "0")
        .env("PREFORK_WORKERS", "3")
        .env("CONFIGURE", "one")
        .start();
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.final_log()[0], format!("prefork: {}", reason(1)));
}

#[test]
fn an_explanation_lists_ignored_workers() {
    let output = Server::new(PLAIN).env("PREFORK_EXPLAIN", "1").run();
    let text = output.text();
    assert_eq!(output.code(), Some(0), "{text}");
    assert!(text.contains(", served by one process"), "{text}");
    let ignored = output.log.iter().skip_while(|line| *line != "ignored");
    assert!(ignored.skip(1).any(|line| *line == reason(2)), "{text}");
}

#[test]
fn a_master_inside_another_program_is_refused() {
    let error = Prefork::new().workers(2).start().expect_err("no master");
    assert!(matches!(error, Error::Kernel { .. }), "{error}");
    assert_eq!(error.exit_code(), 71);
}
