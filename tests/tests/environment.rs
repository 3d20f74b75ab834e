//! The operator's variables and the platform's: which of them are used, rejected and ignored.

use prefork_testkit::{Output, RunningServer, Server};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const TWO_LISTENERS: &str = env!("CARGO_BIN_EXE_two_listeners");
const OPEN_PORT: &str = env!("CARGO_BIN_EXE_open_port");
const OWN_PREFIX: &str = env!("CARGO_BIN_EXE_own_prefix");

/// A program that sets neither port nor workers. The environment sets them.
fn open() -> Server {
    Server::new(OPEN_PORT)
        .keep_listen()
        .env("PORT", "0")
        .env("PREFORK_WORKERS", "1")
}

fn assert_refused(output: &Output, named: &[&str]) {
    assert_eq!(output.code(), Some(78), "{:?}", output.log);
    let [line] = output.log.as_slice() else {
        panic!("not one line: {:?}", output.log);
    };
    for name in named {
        assert!(line.contains(name), "no '{name}' in: {line}");
    }
}

fn stop(mut server: RunningServer) -> Vec<String> {
    let status = server.stop();
    let log = server.final_log();
    assert_eq!(status.code(), Some(0), "{log:?}");
    log
}

#[test]
fn an_overridden_variable_of_the_platform_is_logged() {
    let server = Server::new(HELLO)
        .env("PORT", "5000")
        .env("WEB_CONCURRENCY", "3")
        .env("PREFORK_WORKERS", "1")
        .start();
    let log = stop(server);
    let ignored = log.iter().filter(|line| line.contains("ignoring "));
    let ignored: Vec<&String> = ignored.collect();
    assert_eq!(
        ignored,
        [
            "prefork: ignoring WEB_CONCURRENCY='3': workers = 1 (PREFORK_WORKERS) takes precedence; \
             to use WEB_CONCURRENCY, remove PREFORK_WORKERS",
            "prefork: ignoring PORT='5000': listen (PREFORK_LISTEN) sets every port; \
             to use PORT, omit the port, as in '127.0.0.1'",
        ]
    );
    let server = open().env("WEB_CONCURRENCY", "1").start();
    let log = stop(server);
    assert!(
        !log.iter().any(|line| line.contains("ignoring ")),
        "{log:?}"
    );
}

#[test]
fn a_misspelled_option_is_refused_with_the_nearest_one() {
    for (name, near) in [
        ("PREFORK_WORKER", "PREFORK_WORKERS"),
        ("PREFORK_LISTN", "PREFORK_LISTEN"),
        ("PREFORK_RECOVERTHRESHOLD", "PREFORK_RECOVER_THRESHOLD"),
        ("PREFORK_REUSE_PORT", "PREFORK_REUSEPORT"),
        ("PREFORK_EXPLIAN", "PREFORK_EXPLAIN"),
    ] {
        let output = Server::new(HELLO).env(name, "1").run();
        assert_refused(
            &output,
            &[&format!("{name}: "), &format!("did you mean {near}?")],
        );
    }
}

#[test]
fn the_name_of_another_server_for_an_option_is_refused_with_the_name_of_the_option() {
    for (name, here) in [
        ("PREFORK_PROCESSES", "PREFORK_WORKERS"),
        ("PREFORK_NUM_WORKERS", "PREFORK_WORKERS"),
        ("PREFORK_BIND", "PREFORK_LISTEN"),
        (
            "PREFORK_TIMEOUT_GRACEFUL_SHUTDOWN",
            "PREFORK_SHUTDOWN_GRACE_PERIOD",
        ),
    ] {
        let output = Server::new(HELLO).env(name, "8").run();
        assert_refused(
            &output,
            &[&format!("{name}: "), &format!("unknown option; use {here}")],
        );
    }
}

#[test]
fn an_unsupported_option_is_reported_with_its_alternative() {
    let server = Server::new(HELLO).env("PREFORK_PORT", "8080").start();
    let log = stop(server);
    let is_reported =
        |line: &&String| line.contains("PREFORK_PORT (set host and port together in `listen`");
    assert_eq!(log.iter().filter(is_reported).count(), 1, "{log:?}");
}

#[test]
fn names_and_values_are_refused_at_once() {
    let output = Server::new(HELLO)
        .env("PREFORK_WORKER", "1")
        .env("PREFORK_RECOVER_WINDOW", "60")
        .env("PREFORK_LOGGER", "syslog")
        .run();
    assert_refused(
        &output,
        &[
            "PREFORK_WORKER: ",
            "PREFORK_RECOVER_WINDOW: ",
            "PREFORK_LOGGER: ",
        ],
    );
}

#[test]
fn unknown_names_are_one_log_line_and_those_of_platforms_none() {
    let server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_COLOUR", "red")
        .env("PREFORK_FLAVOUR", "sweet")
        .env("PREFORK_SERVICE_HOST", "10.0.0.1")
        .env("PREFORK_PORT", "tcp://10.0.0.1:80")
        .env("PREFORK_WEB_PORT_8080_TCP_ADDR", "10.0.0.1")
        .start();
    let log = stop(server);
    let reported: Vec<_> = log.iter().filter(|line| line.contains("COLOUR")).collect();
    let [line] = reported.as_slice() else {
        panic!("not one line: {log:?}");
    };
    assert!(line.contains("PREFORK_FLAVOUR"), "{line}");
    let platforms = ["SERVICE_HOST", "PREFORK_PORT", "WEB_PORT"];
    assert!(
        !log.iter()
            .any(|line| platforms.iter().any(|name| line.contains(name))),
        "{log:?}"
    );
}

#[test]
fn a_declared_name_replaces_one_listener_and_an_address_the_list() {
    let one = Server::new(TWO_LISTENERS)
        .listen("admin=127.0.0.2:0")
        .start();
    assert_eq!(one.addr_of("admin").ip().to_string(), "127.0.0.2");
    assert_eq!(one.addr_of("http").ip().to_string(), "127.0.0.1");
    stop(one);

    let list = Server::new(TWO_LISTENERS)
        .listen("127.0.0.2:0,127.0.0.2:0")
        .start();
    assert_eq!(list.addr_of("listener0").ip().to_string(), "127.0.0.2");
    assert_eq!(list.addr_of("listener1").ip().to_string(), "127.0.0.2");
    stop(list);
}

#[test]
fn a_port_that_the_program_does_not_set_comes_from_the_platform() {
    let reserved = prefork_testkit::reserve_port();
    let port = reserved.port();
    let server = open().env("PORT", port.to_string()).start();
    assert_eq!(server.addr_of("http").port(), port);
    assert_ne!(server.addr_of("admin").port(), port);
    stop(server);
}

#[test]
fn a_missing_port_is_refused_with_both_ways_to_set_it() {
    let output = open().env_remove("PORT").run();
    assert_refused(
        &output,
        &[
            "listen: ",
            "'http=127.0.0.1' has no port",
            "'http=127.0.0.1:8080'",
            "PORT",
        ],
    );
}

#[test]
fn invalid_variables_of_the_platform_are_refused_by_name() {
    let output = open()
        .env_remove("PREFORK_WORKERS")
        .env("PORT", "http")
        .env("WEB_CONCURRENCY", "many")
        .run();
    assert_refused(&output, &["PORT: 'http'", "WEB_CONCURRENCY: 'many'"]);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    for empty in ["", "  "] {
        let mut server = open()
            .env("PORT", "0")
            .env("WEB_CONCURRENCY", empty)
            .env("PREFORK_LISTEN", empty);
        for name in [
            "NETWORK",
            "REUSEPORT",
            "RECOVER_THRESHOLD",
            "RECOVER_WINDOW",
            "READY_TIMEOUT",
            "SHUTDOWN_GRACE_PERIOD",
            "RUNTIME_THREADS",
            "TLS_CERT",
            "TLS_ALPN",
            "EXPLAIN",
            "WORKER",
            "COLOUR",
        ] {
            server = server.env(format!("PREFORK_{name}"), empty);
        }
        let log = stop(server.start());
        assert!(!log.iter().any(|line| line.contains("PREFORK_")), "{log:?}");
    }
    let output = open().env("PORT", "").run();
    assert_refused(&output, &["'http=127.0.0.1' has no port", "PORT"]);
    let server = Server::new(OWN_PREFIX)
        .keep_listen()
        .env("MYAPP_WORKERS", "1")
        .env("MYAPP_RECOVER_WINDOW", "")
        .env("MYAPP_WORKER", "")
        .env("PREFORK_WORKERS", "")
        .start();
    let log = stop(server);
    assert!(!log.iter().any(|line| line.contains("MYAPP_")), "{log:?}");
}

#[test]
fn web_concurrency_applies_if_workers_is_not_set() {
    let server = open()
        .env_remove("PREFORK_WORKERS")
        .env("WEB_CONCURRENCY", "3")
        .start();
    assert_eq!(server.wait_for_children(3).len(), 3);
    stop(server);
    let server = open().env("WEB_CONCURRENCY", "3").start();
    assert_eq!(server.wait_for_children(1).len(), 1);
    stop(server);
}

#[test]
fn with_env_prefix_no_other_prefix_is_read() {
    let server = Server::new(OWN_PREFIX)
        .keep_listen()
        .env("MYAPP_WORKERS", "1")
        .env("PREFORK_WORKERS", "many")
        .env("MYAPP_DATABASE", "here")
        .env("MYAPP_LOGGER", "json")
        .env("MYAPP_LISTENERS", "2")
        .start();
    assert_eq!(server.wait_for_children(1).len(), 1);
    let log = stop(server);
    let unread = "prefork: ignoring PREFORK_WORKERS: variables of this program begin with MYAPP_";
    let reported: Vec<&String> = log.iter().filter(|line| line.contains("MYAPP_")).collect();
    assert_eq!(reported, [unread]);
    let output = Server::new(OWN_PREFIX)
        .keep_listen()
        .env("MYAPP_WORKER", "1")
        .run();
    assert_refused(&output, &["MYAPP_WORKER: ", "did you mean MYAPP_WORKERS?"]);
}

#[test]
fn configure_gets_the_resolved_settings_and_overrides_them() {
    let server = open()
        .env("PREFORK_WORKERS", "3")
        .env("CONFIGURE", "one")
        .start();
    assert_eq!(server.wait_for_children(1).len(), 1);
    stop(server);

    let server = open()
        .env("PREFORK_WORKERS", "2")
        .env("CONFIGURE", "print")
        .start();
    let log = stop(server);
    let reported = log
        .iter()
        .filter(|line| line.contains("settings: "))
        .collect::<Vec<_>>();
    // One line: workers do not call `configure`.
    assert_eq!(
        reported,
        ["settings: 2 workers, [\"http=127.0.0.1:0\", \"admin=127.0.0.1:0\"]"]
    );
}

#[test]
fn configure_may_set_missing_values() {
    let server = open().env_remove("PORT").env("CONFIGURE", "listen").start();
    assert_ne!(server.addr_of("http").port(), 0);
    stop(server);

    // An invalid value is rejected before `configure` is called.
    let output = open()
        .env("PREFORK_RECOVER_WINDOW", "60")
        .env("CONFIGURE", "print")
        .run();
    assert_refused(&output, &["PREFORK_RECOVER_WINDOW: "]);
}

#[test]
fn runtime_threads_without_a_runtime_of_the_crate_are_one_log_line() {
    let server = Server::new(TWO_LISTENERS)
        .keep_listen()
        .env("PREFORK_RUNTIME_THREADS", "8")
        .start();
    let log = stop(server);
    let reported: Vec<_> = log.iter().filter(|line| line.contains("threads")).collect();
    let [line] = reported.as_slice() else {
        panic!("not one line: {log:?}");
    };
    assert!(
        line.contains("ignoring runtime_threads = 8 (PREFORK_RUNTIME_THREADS)"),
        "{line}"
    );
    let server = Server::new(HELLO)
        .env("PREFORK_RUNTIME_THREADS", "2")
        .start();
    let log = stop(server);
    assert!(!log.iter().any(|line| line.contains("threads")), "{log:?}");
}

#[test]
fn configure_may_fail() {
    let output = open().env("CONFIGURE", "refuse").run();
    assert_refused(&output, &["configure failed: no such flag"]);
    let output = open().env("CONFIGURE", "bad").run();
    let named = [
        "configure: workers: 'some'",
        "configure: recover_window: 'ever'",
    ];
    assert_refused(&output, &named);
    let output = open().env("CONFIGURE", "panic").run();
    assert_eq!(output.code(), Some(78));
    assert!(
        output
            .text()
            .contains("configure failed: panicked: lost for words"),
        "{}",
        output.text()
    );
}
