//! The master rejects invalid options with one clear error before it starts a child.

use std::net::TcpListener;
use std::process::Command;

use prefork_testkit::{Output, Server};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const TWO_LISTENERS: &str = env!("CARGO_BIN_EXE_two_listeners");
const BUILDER: &str = env!("CARGO_BIN_EXE_builder");

/// Checks the status, and that the log is one line that contains all of `named`.
fn assert_refused(case: &str, output: &Output, status: i32, named: &[&str]) {
    assert_eq!(output.code(), Some(status), "{case}: {:?}", output.log);
    let [line] = output.log.as_slice() else {
        panic!("{case}: not one line: {:?}", output.log);
    };
    assert!(
        line.starts_with("prefork: ") && line.ends_with('.'),
        "{case}: {line}"
    );
    for name in named {
        assert!(line.contains(name), "{case}: no '{name}' in: {line}");
    }
}

#[test]
fn each_bad_variable_is_refused_by_its_name() {
    let cases = [
        ("PREFORK_LISTEN", "localhost"),
        ("PREFORK_LISTEN", "8080"),
        ("PREFORK_LISTEN", "127.0.0.1:"),
        ("PREFORK_LISTEN", "127.0.0.1:65536"),
        ("PREFORK_LISTEN", "127.0.0.1:http"),
        ("PREFORK_LISTEN", "http://127.0.0.1:80"),
        ("PREFORK_LISTEN", "Http=127.0.0.1:80"),
        ("PREFORK_WORKERS", "many"),
        ("PREFORK_WORKERS", "-1"),
        ("PREFORK_WORKERS", "1.5"),
        ("PREFORK_WORKERS", "0%"),
        ("PREFORK_WORKERS", "auto-"),
        ("PREFORK_WORKERS", "10001"),
        ("PREFORK_RECOVER_THRESHOLD", "-1"),
        ("PREFORK_RECOVER_THRESHOLD", "1000001"),
        ("PREFORK_SHUTDOWN_GRACE_PERIOD", "5"),
        ("PREFORK_SHUTDOWN_GRACE_PERIOD", "-5s"),
        ("PREFORK_SHUTDOWN_GRACE_PERIOD", "25h"),
        ("PREFORK_ROLLOUT_PARALLEL", "25 %"),
        ("PREFORK_ROLLOUT_SOAK", "1d"),
        ("PREFORK_ROLLOUT_CANARY", "-1s"),
        ("PREFORK_ROLLOUT_TIMEOUT", "0s"),
        ("PREFORK_STANDBY", "auto"),
        ("PREFORK_DRAIN_DELAY", "5"),
        ("PREFORK_KEEPALIVE_GRACE", "1min"),
    ];
    for (variable, value) in cases {
        let output = Server::new(HELLO).env(variable, value).run();
        let case = format!("{variable}={value}");
        assert_refused(&case, &output, 78, &[variable, value]);
    }
}

#[test]
fn an_address_that_is_missing_in_a_list_is_refused() {
    let output = Server::new(HELLO).listen("127.0.0.1:0,").run();
    assert_refused("comma", &output, 78, &["PREFORK_LISTEN", "empty"]);
}

#[test]
fn a_name_that_two_listeners_have_is_refused() {
    let output = Server::new(TWO_LISTENERS)
        .listen("a=127.0.0.1:0,a=127.0.0.1:0")
        .run();
    assert_refused("twice a", &output, 78, &["'a'", "PREFORK_LISTEN"]);
}

#[test]
fn all_invalid_options_are_reported_at_once() {
    let output = Server::new(HELLO)
        .env("PREFORK_LISTEN", "nowhere")
        .env("PREFORK_WORKERS", "-1")
        .env("PREFORK_RECOVER_THRESHOLD", "often")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "long")
        .run();
    let named = ["nowhere", "-1", "often", "long"];
    assert_refused("four mistakes", &output, 78, &named);
}

#[test]
fn each_bad_value_in_the_builder_is_refused_by_its_option() {
    let cases = [
        ("listen=nowhere", "listen"),
        ("listen=127.0.0.1:65536", "listen"),
        ("workers=many", "workers"),
        ("workers=auto-0", "workers"),
        ("worker_count=10001", "workers"),
        ("recover_threshold=1000001", "recover_threshold"),
        ("shutdown_grace_period=5", "shutdown_grace_period"),
        ("grace_in_hours=25", "shutdown_grace_period"),
    ];
    for (arg, option) in cases {
        let output = Server::new(BUILDER).keep_listen().arg(arg).run();
        assert_refused(arg, &output, 78, &[&format!("{option}: ")]);
    }
}

#[test]
fn a_port_that_is_taken_is_refused_with_its_address() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("bound").to_string();
    for workers in ["0", "2"] {
        let output = Server::new(HELLO)
            .listen(format!("listener={taken}"))
            .env("PREFORK_WORKERS", workers)
            .run();
        assert_refused(
            "taken",
            &output,
            69,
            &["'listener'", &taken, "bind", "in use"],
        );
    }
}

#[test]
fn a_port_of_another_master_is_refused() {
    let other = Server::new(HELLO).env("PREFORK_WORKERS", "1").start();
    let taken = other.addr().to_string();
    let output = Server::new(HELLO).listen(&taken).run();
    assert_refused("taken", &output, 69, &[&taken, "in use"]);
}

#[test]
fn an_address_of_another_machine_is_refused() {
    // TEST-NET-1 of RFC 5737.
    let output = Server::new(HELLO).listen("192.0.2.1:0").run();
    assert_refused("another machine", &output, 69, &["192.0.2.1:0"]);
}

#[test]
fn a_forbidden_port_is_refused() {
    let free_from = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let is_free =
        free_from.is_ok_and(|text| text.trim().parse().is_ok_and(|first: u16| first <= 81));
    let without = [
        "setpriv",
        "--bounding-set=-net_bind_service",
        "--inh-caps=-net_bind_service",
    ];
    let attempt = Command::new(without[0])
        .args(&without[1..])
        .arg("true")
        .output();
    if is_free || !attempt.is_ok_and(|output| output.status.success()) {
        println!("skipped: needs setpriv(1) and privileged ports");
        return;
    }
    let output = Server::new(HELLO)
        .listen("127.0.0.1:81")
        .wrapper(without)
        .run();
    let named = ["listener0", "127.0.0.1:81", "CAP_NET_BIND_SERVICE"];
    assert_refused("forbidden", &output, 69, &named);
}

#[test]
fn an_unknown_host_is_refused_by_its_name() {
    // RFC 6761: names that end with `.invalid` do not exist.
    let output = Server::new(HELLO)
        .listen("listener=no-such-host.invalid:80")
        .run();
    assert_refused(
        "unknown",
        &output,
        68,
        &["'listener'", "no-such-host.invalid"],
    );
}

#[test]
fn listeners_that_main_does_not_take_are_refused() {
    for workers in ["0", "2"] {
        let output = Server::new(PLAIN)
            .listen("127.0.0.1:0,admin=127.0.0.1:0")
            .env("PREFORK_WORKERS", workers)
            .run();
        assert_refused("one too many", &output, 78, &["'admin'"]);
    }
}

#[test]
fn a_named_listener_is_not_passed_to_an_argument_with_another_name() {
    for workers in ["0", "2"] {
        let output = Server::new(TWO_LISTENERS)
            .listen("htpp=127.0.0.1:0,admin=127.0.0.1:0")
            .env("PREFORK_WORKERS", workers)
            .run();
        assert_refused("misspelt", &output, 78, &["'http'", "did you mean 'htpp'?"]);
    }
}

#[test]
fn arguments_that_no_listener_is_left_for_are_refused() {
    let output = Server::new(TWO_LISTENERS).listen("other=127.0.0.1:0").run();
    assert_refused("one too few", &output, 78, &["'admin'", "'other'"]);
}
