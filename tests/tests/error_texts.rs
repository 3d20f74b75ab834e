//! A system error names the operation, its target and its cause, and describes how to fix it.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use prefork_testkit::{Output, Server, Signal};

const FILTERED: &str = env!("CARGO_BIN_EXE_filtered");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");

fn assert_only_line(output: &Output, code: i32, named: &[&str]) {
    assert_eq!(output.code(), Some(code), "{:?}", output.log);
    let [line] = output.log.as_slice() else {
        panic!("not one line: {:?}", output.log);
    };
    for name in named {
        assert!(line.contains(name), "no '{name}' in: {line}");
    }
}

#[test]
fn a_refused_socket_option_is_no_privileged_port() {
    let output = Server::new(HELLO)
        .wrapper([FILTERED, "setsockopt", "EPERM"])
        .run();
    assert_only_line(
        &output,
        69,
        &["cannot set SO_REUSEADDR for 127.0.0.1:", "seccomp"],
    );
    assert!(!output.text().contains("1024"), "{}", output.text());
}

#[test]
fn a_refused_signal_mask_is_named() {
    let output = Server::new(PLAIN)
        .env("PREFORK_WORKERS", "2")
        .wrapper([FILTERED, "rt_sigprocmask_block", "EPERM"])
        .run();
    assert_only_line(
        &output,
        71,
        &["the system call rt_sigprocmask is not available", "seccomp"],
    );
}

/// A command that hides a directory from the server, or `None` if mounts are not permitted.
fn hidden(directory: &str) -> Option<Vec<String>> {
    let script = format!("mount -t tmpfs none {directory} && exec \"$@\"");
    let as_root = vec!["unshare", "--mount"];
    let as_user = [as_root.clone(), vec!["--user", "--map-root-user"]].concat();
    [as_root, as_user].into_iter().find_map(|unshare| {
        let command = [unshare.as_slice(), &["sh", "-c", &script, "sh"]].concat();
        let mut attempt = Command::new(command[0]);
        attempt
            .args(&command[1..])
            .arg("true")
            .stderr(Stdio::null());
        let works = attempt.status().is_ok_and(|status| status.success());
        works.then(|| command.into_iter().map(str::to_owned).collect())
    })
}

#[test]
fn a_missing_directory_of_the_system_is_named() {
    for (directory, stage, hint) in [
        ("/dev", "cannot open /dev/null", "Mount /dev"),
        (
            "/proc",
            "cannot open its own program (/proc/self/exe)",
            "Mount /proc",
        ),
    ] {
        let Some(wrapper) = hidden(directory) else {
            println!("skipped: needs unshare(1) and the permission to mount");
            return;
        };
        let output = Server::new(PLAIN).wrapper(wrapper).run();
        assert_only_line(&output, 71, &[stage, "No such file or directory", hint]);
    }
}

/// Runs the server with the test's socket as descriptor 3.
fn with_socket(variables: &str, listener: TcpListener) -> Output {
    let address = listener.local_addr().expect("bound").to_string();
    let script = format!("{variables} exec 3<&0 0</dev/null; exec \"$@\"");
    Server::new(PLAIN)
        .listen(address)
        .stdin(OwnedFd::from(listener))
        .wrapper(["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()])
        .run()
}

#[test]
fn an_address_held_by_a_socket_of_the_process_is_not_reported_as_another_process() {
    let listener = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let output = with_socket("", listener());
    assert_only_line(&output, 69, &["fd 3 of this process", "Close that socket"]);
    assert!(
        !output.text().contains("Another process"),
        "{}",
        output.text()
    );

    // Socket activation of another process.
    let output = with_socket("export LISTEN_PID=1 LISTEN_FDS=1;", listener());
    assert_only_line(&output, 69, &["fd 3 of this process", "Close that socket"]);
}

#[test]
fn a_wildcard_is_held_by_a_socket_of_one_interface() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let script = "exec 3<&0 0</dev/null; exec \"$@\"";
    let output = Server::new(PLAIN)
        .listen(format!("0.0.0.0:{port}"))
        .stdin(OwnedFd::from(listener))
        .wrapper(["sh", "-c", script, "sh"])
        .run();
    assert_only_line(&output, 69, &["fd 3 of this process"]);
}

#[test]
fn a_kill_that_the_master_did_not_send_hints_at_memory() {
    let mut server = Server::new(PLAIN).env("PREFORK_WORKERS", "1").start();
    let killed = server.kill_child(0);
    let line = server.wait_for_log(|line| line.contains("was killed by SIGKILL"));
    assert!(line.contains(&format!("(pid {})", killed.pid)), "{line}");
    assert!(line.contains("memory limit of the container"), "{line}");
    let second = server.wait_for_replacement(killed);
    server.signal_child(0, Signal::SIGABRT);
    let line = server.wait_for_log(|line| line.contains("SIGABRT"));
    assert!(line.contains(&format!("(pid {})", second.pid)), "{line}");
    assert!(!line.contains("memory"), "{line}");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn without_a_limit_a_worker_has_any_time_to_become_ready() {
    let mut server = Server::new(PLAIN)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_READY_TIMEOUT", "0s")
        .start();
    let addr = server.addr();
    prefork_tests::client::get(addr, "/").expect("an answer");
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    assert!(
        !log.iter().any(|line| line.contains("was killed")),
        "{log:?}"
    );
}
