//! The master logs through the backend that the program has installed, with facts as fields.
//! Without a backend it logs to stderr.

use prefork_testkit::{RunningServer, Server, eventually};
use prefork_tests::READY;

const LOGGING: &str = env!("CARGO_BIN_EXE_logging");
const LOGGER: &str = env!("CARGO_BIN_EXE_logger");

fn with(backend: &str) -> RunningServer {
    Server::new(LOGGING).env("BACKEND", backend).spawn()
}

/// Kills a worker, stops the server, and returns the log and the pid of that worker.
fn run(backend: &str) -> (Vec<String>, i32) {
    let mut server = with(backend);
    server.wait_for_log(|line| line.contains(" with 1 worker"));
    wait_for_ready(&server, 1);
    let killed = server.kill_child(0);
    server.wait_for_log(|line| line.contains("was killed by"));
    wait_for_ready(&server, 2);
    assert_eq!(server.stop().code(), Some(0));
    let mut log = server.final_log();
    log.retain(|line| !line.ends_with(READY));
    (log, killed.pid)
}

fn wait_for_ready(server: &RunningServer, count: usize) {
    eventually("as many workers", || {
        let log = server.log();
        let ready = log.iter().filter(|line| line.ends_with(READY)).count();
        (ready == count).then_some(())
    });
}

fn assert_logged_once(log: &[String], parts: &[&str]) {
    let fits = |line: &String| parts.iter().all(|part| line.contains(part));
    assert_eq!(
        log.iter().filter(|line| fits(line)).count(),
        1,
        "{parts:?}: {log:#?}"
    );
}

#[test]
fn a_backend_gets_every_line_with_its_fields_and_stderr_none() {
    let sender = std::process::id();
    for (backend, warn) in [("tracing", "tracing: "), ("log", "log: ")] {
        let (log, pid) = run(backend);
        assert!(log.iter().all(|line| line.starts_with(warn)), "{log:#?}");
        let text = format!("{warn}ERROR prefork worker 0 (pid {pid}) was killed by SIGKILL after ");
        let fields = format!(" slot=0 pid={pid} signal=SIGKILL age_ms=");
        assert_logged_once(&log, &[&text, &fields]);
        let text =
            format!("{warn}INFO prefork SIGTERM from pid {sender}: stopping 1 worker within 5s");
        assert_logged_once(&log, &[&text, &format!(" signal=SIGTERM sender={sender}")]);
        assert_logged_once(&log, &["exited with status 0", " slot=0 ", " status=0 "]);
    }
}

#[test]
fn without_a_backend_lines_are_written_to_stderr() {
    let (log, pid) = run("none");
    assert!(
        log.iter().all(|line| line.starts_with("prefork: ")),
        "{log:#?}"
    );
    assert_logged_once(
        &log,
        &[&format!(
            "prefork: worker 0 (pid {pid}) was killed by SIGKILL after "
        )],
    );
}

#[test]
fn with_both_backends_each_line_is_logged_once() {
    let (log, _) = run("tracing and log");
    assert!(
        log.iter().all(|line| line.starts_with("tracing: ")),
        "{log:#?}"
    );
}

#[test]
fn a_backend_that_panics_stops_neither_the_master_nor_its_log() {
    for backend in ["tracing that panics", "log that panics"] {
        let (log, pid) = run(backend);
        assert_logged_once(&log, &["prefork: ", " with 1 worker"]);
        assert_logged_once(
            &log,
            &["panicked; log lines are written to stderr from now on"],
        );
        assert_logged_once(
            &log,
            &[&format!(
                "prefork: worker 0 (pid {pid}) was killed by SIGKILL"
            )],
        );
    }
}

#[test]
fn a_fatal_error_is_printed_once_if_the_backend_panics() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound").to_string();
    for backend in ["tracing that panics", "log that panics"] {
        let output = Server::new(LOGGING)
            .env("BACKEND", backend)
            .listen(&addr)
            .run();
        assert_eq!(output.code(), Some(69));
        assert_logged_once(&output.log, &["prefork: listener 'listener0': cannot "]);
        assert_logged_once(&output.log, &["panicked; log lines are written to stderr"]);
    }
}

#[test]
fn a_fatal_error_is_logged_by_the_backend_and_printed_to_stderr() {
    let output = Server::new(LOGGING)
        .env("BACKEND", "tracing")
        .env("PREFORK_WORKERS", "many")
        .run();
    assert_eq!(output.code(), Some(78));
    // Options are rejected before `init`, which installs the backend.
    assert_eq!(output.log.len(), 1, "{}", output.text());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound").to_string();
    let output = Server::new(LOGGING)
        .env("BACKEND", "tracing")
        .listen(&addr)
        .run();
    assert_eq!(output.code(), Some(69));
    assert_logged_once(
        &output.log,
        &["prefork: listener 'listener0': cannot ", &addr],
    );
    assert_logged_once(
        &output.log,
        &[
            "tracing: ERROR prefork listener 'listener0': cannot ",
            &addr,
        ],
    );
}

#[test]
fn a_fatal_error_is_logged_by_the_logger_of_the_program_and_printed_to_stderr() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound").to_string();
    for workers in ["0", "1"] {
        let output = Server::new(LOGGER)
            .env("PREFORK_WORKERS", workers)
            .listen(&addr)
            .run();
        // No argument of main takes the listener. It is bound nevertheless.
        assert_eq!(output.code(), Some(69), "{}", output.text());
        let text = "listener 'listener0': cannot bind ";
        assert_logged_once(&output.log, &[&format!("prefork: {text}"), &addr]);
        assert_logged_once(&output.log, &[&format!("logger: Error {text}"), &addr]);
        assert!(!output.text().contains("tracing: "), "{}", output.text());
    }
    // An error that ends the master after it has served.
    let mut server = Server::new(LOGGER)
        .env("PREFORK_RECOVER_THRESHOLD", "0")
        .spawn();
    server.wait_for_log(|line| line.contains(" with 1 worker"));
    server.kill_child(0);
    assert_eq!(server.wait().code(), Some(75));
    let log = server.final_log();
    assert_logged_once(&log, &["prefork: 1 worker exited unexpectedly"]);
    assert_logged_once(&log, &["logger: Error 1 worker exited unexpectedly"]);
}
