//! Errors of accept. A shortage of file descriptors is logged once, and the server recovers.
//! A permanent error ends the process, and the log contains the reason.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use prefork_testkit::{RunningServer, Server, eventually};
use prefork_tests::client::{answer_of, connect, get, send};
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const LOST_LISTENER: &str = env!("CARGO_BIN_EXE_lost_listener");

const OF_A_WORKER: [&str; 2] = ["prefork: worker 0 (pid "; 2];

/// More clients than the limit of file descriptors allows.
const CLIENTS: usize = 40;

fn start(program: &str, workers: &str) -> RunningServer {
    Server::new(program)
        .env("PREFORK_WORKERS", workers)
        .wrapper(["sh", "-c", "ulimit -n 24; exec \"$@\"", "sh"])
        .start()
}

fn is_beginning(line: &str) -> bool {
    line.contains("cannot accept connections on listener 'listener0': Too many open files")
        && line
            .contains("raise the limit of 24 open files (`ulimit -n`, or LimitNOFILE= of systemd)")
}

fn is_end(line: &str) -> bool {
    line.contains("accepts connections on listener 'listener0' again after")
}

/// Checks that a shortage is logged once and that the server recovers from it.
///
/// The line of its beginning starts with `about[0]`, the line of its end with `about[1]`.
fn assert_a_shortage_is_logged_once_and_ends(program: &str, workers: &str, about: [&str; 2]) {
    let server = start(program, workers);
    let silent: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| connect(server.addr()).expect("the kernel queues it"))
        .collect();
    let line = server.wait_for_log(is_beginning);
    assert!(line.starts_with(about[0]), "{line}");
    drop(silent);
    let line = server.wait_for_log(is_end);
    assert!(line.starts_with(about[1]), "{line}");
    get(server.addr(), "/").expect("an answer");
    let log = server.log();
    let count = |fits: fn(&str) -> bool| log.iter().filter(|line| fits(line)).count();
    assert_eq!((count(is_beginning), count(is_end)), (1, 1), "{log:#?}");
}

#[test]
fn an_axum_server_logs_a_shortage_of_descriptors_and_recovers() {
    assert_a_shortage_is_logged_once_and_ends(HELLO, "1", OF_A_WORKER);
}

#[test]
fn a_blocking_server_logs_a_shortage_of_descriptors_and_recovers() {
    assert_a_shortage_is_logged_once_and_ends(PLAIN, "1", OF_A_WORKER);
}

#[test]
fn a_single_process_logs_a_shortage_of_descriptors_and_recovers() {
    assert_a_shortage_is_logged_once_and_ends(HELLO, "0", ["prefork: cannot", "prefork: accepts"]);
}

#[test]
fn a_shortage_at_a_unix_socket_is_logged_and_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.sock");
    let server = Server::new(HELLO)
        .listen(format!("unix:{}", path.display()))
        .env("PREFORK_WORKERS", "1")
        .wrapper(["sh", "-c", "ulimit -n 24; exec \"$@\"", "sh"])
        .start();
    let silent: Vec<UnixStream> = (0..CLIENTS)
        .map(|_| UnixStream::connect(&path).expect("the kernel queues it"))
        .collect();
    server.wait_for_log(is_beginning);
    drop(silent);
    server.wait_for_log(is_end);
    let mut client = UnixStream::connect(&path).expect("the socket listens");
    send(&mut client, "/").expect("the worker serves");
    answer_of(client).expect("an answer");
}

/// A busy loop uses more processor time in one second than a worker in this whole test.
#[test]
fn a_lasting_shortage_is_one_log_line_and_does_not_spin() {
    let server = start(HELLO, "1");
    let worker = server.wait_for_children(1)[0];
    let _silent: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| connect(server.addr()).expect("the kernel queues it"))
        .collect();
    server.wait_for_log(is_beginning);
    let switches = || proc::context_switches(worker.pid).expect("the worker runs");
    let (used, before) = (ticks(worker.pid), switches());
    // The worker retries ten times a second and sleeps between the attempts.
    eventually("twenty more attempts", || {
        (switches() >= before + 20).then_some(())
    });
    let used = ticks(worker.pid) - used;
    assert!(used <= 50, "{used} hundredths of a second");
    let log = server.log();
    let count = log.iter().filter(|line| is_beginning(line)).count();
    assert_eq!(count, 1, "{log:#?}");
}

/// The processor time of a process, in hundredths of a second.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the worker runs");
    let fields = stat.rsplit(") ").next().expect("a name in brackets");
    let times = fields.split(' ').skip(11).take(2);
    times
        .map(|time| time.parse::<u64>().expect("a number"))
        .sum()
}

#[test]
fn a_worker_whose_listener_cannot_accept_any_more_ends_with_the_reason() {
    let mut server = Server::new(LOST_LISTENER)
        .env("PREFORK_RECOVER_THRESHOLD", "0")
        .start();
    let worker = server.wait_for_children(1)[0];
    assert_eq!(get(server.addr(), "/lose").expect("an answer"), "lost\n");
    server.wait();
    let log = server.final_log();
    let expected = format!(
        "prefork: worker 0 (pid {}) exited with status 71",
        worker.pid
    );
    let line = log.iter().find(|line| line.starts_with(&expected));
    let line = line.unwrap_or_else(|| panic!("{log:#?}"));
    let reason = "listener 'listener0': cannot accept connections: Invalid argument";
    assert!(line.contains(reason), "{line}");
}

#[test]
fn a_single_process_whose_listener_cannot_accept_any_more_ends_with_the_reason() {
    let mut server = Server::new(LOST_LISTENER)
        .env("PREFORK_WORKERS", "0")
        .start();
    assert_eq!(get(server.addr(), "/lose").expect("an answer"), "lost\n");
    assert_eq!(server.wait().code(), Some(71));
    let log = server.final_log();
    let reason = "listener 'listener0': cannot accept connections";
    assert!(log.iter().any(|line| line.contains(reason)), "{log:#?}");
}
