//! `PREFORK_EXPLAIN=1` prints the options and their origins, and exits with the status of a start.

use std::net::TcpListener;
use std::process::{Command, Output};

use prefork_testkit::Server;

const OPEN_PORT: &str = env!("CARGO_BIN_EXE_open_port");
const OWN_PREFIX: &str = env!("CARGO_BIN_EXE_own_prefix");
const TWO_LISTENERS: &str = env!("CARGO_BIN_EXE_two_listeners");
const SPARE_LISTENER: &str = env!("CARGO_BIN_EXE_spare_listener");
const BUILDER: &str = env!("CARGO_BIN_EXE_builder");

/// Runs the program. Unlike the testkit, it keeps stdout and stderr separate.
fn explain(program: &str, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let is_option =
        |name: &str| name.starts_with("PREFORK_") || ["PORT", "WEB_CONCURRENCY"].contains(&name);
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| is_option(name)) {
        command.env_remove(name);
    }
    let command = command.args(args).env("PREFORK_EXPLAIN", "1");
    command
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the output is UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("the output is UTF-8")
}

/// The value and the origin of an option.
fn row(text: &str, option: &str) -> (String, String) {
    let line = text
        .lines()
        .find(|line| line.split(' ').next() == Some(option));
    let line = line.unwrap_or_else(|| panic!("no {option} in:\n{text}"));
    let cells: Vec<&str> = line
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect();
    (cells[1].to_owned(), cells[2].to_owned())
}

#[test]
fn every_option_is_printed_with_value_and_origin() {
    let output = explain(
        OPEN_PORT,
        &[],
        &[
            ("PORT", "8081"),
            ("WEB_CONCURRENCY", "4"),
            ("PREFORK_WORKERS", "3"),
            ("PREFORK_RECOVER_THRESHOLD", "7"),
            ("PREFORK_COLOUR", "red"),
            ("PREFORK_WEB_PORT", "9000"),
            ("PREFORK_RUNTIME_THREADS", "8"),
        ],
    );
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    for option in prefork_options::TABLE {
        row(&text, option.name);
    }
    let row = |option| row(&text, option);
    let expected = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(row("workers"), expected("3", "PREFORK_WORKERS"));
    assert_eq!(
        row("recover_threshold"),
        expected("7", "PREFORK_RECOVER_THRESHOLD")
    );
    assert_eq!(row("ready_timeout"), expected("30s", "default"));
    assert_eq!(row("runtime_threads"), expected("1", "default"));
    assert_eq!(
        row("configure"),
        expected("a function", "attribute at tests/bins/open_port.rs:12")
    );
    assert_eq!(
        row("listen"),
        expected(
            "http=127.0.0.1:8081,admin=127.0.0.1:0",
            "attribute at tests/bins/open_port.rs:10, port from PORT"
        )
    );
    assert!(
        text.contains("127.0.0.1:8081, shared by 3 workers"),
        "{text}"
    );
    for ignored in [
        "WEB_CONCURRENCY='4': workers is set",
        "recover_threshold = 5 (attribute at tests/bins/open_port.rs:11): overridden by PREFORK_RECOVER_THRESHOLD",
        "PREFORK_COLOUR: unknown variable",
        "ignoring runtime_threads = 8 (PREFORK_RUNTIME_THREADS): main is not async",
        "PREFORK_WEB_PORT: probably set by Kubernetes or Docker",
    ] {
        assert!(text.contains(ignored), "{text}");
    }
}

#[test]
fn origins_in_the_builder_and_in_configure_have_their_lines() {
    let text = stdout(&explain(BUILDER, &["shutdown_grace_period=2s"], &[]));
    let (value, origin) = row(&text, "shutdown_grace_period");
    assert_eq!(value, "2s");
    assert!(
        origin.starts_with("builder at tests/bins/builder.rs:"),
        "{origin}"
    );

    let text = stdout(&explain(
        OPEN_PORT,
        &[],
        &[("PORT", "0"), ("CONFIGURE", "one")],
    ));
    let (value, origin) = row(&text, "workers");
    assert_eq!(value, "1");
    assert!(
        origin.starts_with("configure at tests/bins/open_port.rs:"),
        "{origin}"
    );
}

#[test]
fn the_status_is_that_of_a_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let named = format!("http={}", taken.local_addr().expect("bound"));
    for (program, variable, value, status, named) in [
        (TWO_LISTENERS, "PREFORK_WORKERS", "many", 78, "'many'"),
        (
            TWO_LISTENERS,
            "PREFORK_LISTEN",
            "127.0.0.1:0",
            78,
            "the arguments of main",
        ),
        (
            TWO_LISTENERS,
            "PREFORK_LISTEN",
            "http=no-such-host.invalid:80",
            68,
            "no-such-host.invalid",
        ),
        (
            TWO_LISTENERS,
            "PREFORK_NETWORK",
            "tcp6",
            78,
            "PREFORK_NETWORK: 'http=127.0.0.1:0' is not a tcp6 address",
        ),
        (OPEN_PORT, "CONFIGURE", "one", 78, "has no port"),
        (OPEN_PORT, "CONFIGURE", "listen", 0, ""),
        (BUILDER, "PREFORK_WORKERS", "many", 78, "'many'"),
        // An explanation binds no address.
        (TWO_LISTENERS, "PREFORK_LISTEN", &named, 0, ""),
        (TWO_LISTENERS, "PREFORK_WORKERS", "0", 0, ""),
    ] {
        let output = explain(program, &[], &[(variable, value)]);
        let case = format!("{variable}={value}: {}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(status), "{case}");
        assert_eq!(
            stderr(&output).lines().count(),
            usize::from(status != 0),
            "{case}"
        );
        assert!(stderr(&output).contains(named), "{case}");
        assert!(stdout(&output).starts_with("option "), "{case}");
    }
}

#[test]
fn an_embedded_master_explains_and_does_not_start() {
    for (workers, status, expected) in [
        ("3", 0, ""),
        ("many", 78, "'many'"),
        // `run` serves in a single process, `start` cannot.
        ("0", 78, "no master to start"),
    ] {
        let output = explain(BUILDER, &["embedded"], &[("PREFORK_WORKERS", workers)]);
        let case = format!("{workers}: {}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(status), "{case}");
        assert!(stderr(&output).contains(expected), "{case}");
        assert!(stdout(&output).starts_with("option "), "{case}");
    }
}

#[test]
fn an_explanation_warns_about_a_listener_that_no_argument_takes() {
    for workers in ["0", "2"] {
        let output = explain(SPARE_LISTENER, &[], &[("PREFORK_WORKERS", workers)]);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        let (_, warning) = text.split_once("\nwarning\n").expect(&text);
        assert!(warning.starts_with("listener 'admin' is not used by any argument of main"));
    }
}

#[test]
fn an_unread_explanation_neither_blocks_nor_changes_the_status() {
    for redirection in [">&-", ">/dev/full", "| true"] {
        for (workers, status) in [("2", 0), ("many", 78)] {
            let script = format!("{{ \"$0\"; echo status $? >&2; }} {redirection}");
            let output = Command::new("sh")
                .args(["-c", &script, TWO_LISTENERS])
                .envs([("PREFORK_EXPLAIN", "1"), ("PREFORK_WORKERS", workers)])
                .output()
                .expect("the program starts");
            let errors = stderr(&output);
            assert!(
                errors.ends_with(&format!("status {status}\n")),
                "{redirection}: {errors}"
            );
        }
    }
}

#[test]
fn too_few_open_files_are_found_out() {
    for (workers, standbys, error) in [
        ("1000", "0", "PREFORK_WORKERS: 1000 workers need"),
        (
            "2",
            "500",
            "PREFORK_STANDBY: 2 workers and 500 standbys need",
        ),
    ] {
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 300; exec \"$0\"", TWO_LISTENERS])
            .env("PREFORK_EXPLAIN", "1")
            .envs([("PREFORK_WORKERS", workers), ("PREFORK_STANDBY", standbys)])
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(78));
        let text = stderr(&output);
        assert!(text.contains(error) && text.contains("ulimit -n"), "{text}");
    }
}

#[test]
fn with_env_prefix_the_variable_of_the_explanation_has_that_prefix() {
    let output = explain(
        OWN_PREFIX,
        &[],
        &[("MYAPP_EXPLAIN", "1"), ("PREFORK_WORKERS", "4")],
    );
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let (value, origin) = row(&text, "workers");
    assert_eq!(value, "2");
    assert!(
        origin.starts_with("attribute at tests/bins/own_prefix.rs:"),
        "{origin}"
    );
    assert!(
        text.contains("PREFORK_WORKERS: variables of this program begin with MYAPP_"),
        "{text}"
    );

    let mut server = Server::new(OWN_PREFIX)
        .keep_listen()
        .env("PREFORK_EXPLAIN", "1")
        .start();
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_variable_for_readiness_that_cannot_be_used_is_shown() {
    let output = explain(TWO_LISTENERS, &[], &[("PREFORK_NOTIFY_FD", "eight")]);
    let text = stdout(&output);
    let warning = "ignoring PREFORK_NOTIFY_FD='eight': not the number of a descriptor";
    assert!(text.contains(warning), "{text}");
    assert!(output.status.success(), "{}", stderr(&output));
}
