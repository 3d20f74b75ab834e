//! A requested stop: the workers finish their requests, and the master exits in time with status 0.

use std::net::TcpStream;
use std::time::Instant;

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, get, slot_and_pid};
use prefork_tests::proc;
use prefork_tests::signals::{send, wait_until_new};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const ODD: &str = env!("CARGO_BIN_EXE_odd");

/// A server with a grace period that is long enough on a loaded machine.
fn hello(workers: &str) -> RunningServer {
    Server::new(HELLO)
        .env("PREFORK_WORKERS", workers)
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start()
}

/// Sends requests and waits until workers have accepted all of them.
fn in_flight(server: &RunningServer, count: usize, path: &str) -> Vec<TcpStream> {
    let asked: Vec<_> = (0..count)
        .map(|_| ask(server.addr(), path).expect("the server listens"))
        .collect();
    eventually("all requests in flight", || {
        (proc::queued(server.addr()) == 0).then_some(())
    });
    asked
}

fn requests_in_flight_are_answered_after(signal: Signal) {
    let mut server = hello("2");
    let asked = in_flight(&server, 50, "/slow?ms=1000");
    server.signal(signal);
    for client in asked {
        answer(client).expect("requested before the stop");
    }
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.processes(), []);
}

#[test]
fn fifty_requests_in_flight_are_answered_after_sigterm() {
    requests_in_flight_are_answered_after(Signal::SIGTERM);
}

#[test]
fn fifty_requests_in_flight_are_answered_after_sigint() {
    requests_in_flight_are_answered_after(Signal::SIGINT);
}

#[test]
fn fifty_requests_in_flight_are_answered_after_sigquit() {
    requests_in_flight_are_answered_after(Signal::SIGQUIT);
}

/// SIGHUP replaces the workers, and the server serves on.
#[test]
fn fifty_requests_in_flight_are_answered_after_sighup() {
    let mut server = hello("2");
    let asked = in_flight(&server, 50, "/slow?ms=3000");
    server.signal(Signal::SIGHUP);
    server.wait_for_log(|line| line.contains("rollout accepted"));
    for client in asked {
        answer(client).expect("requested before the rollout");
    }
    get(server.addr(), "/").expect("the new workers serve");
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), []);
}

#[test]
fn the_sender_of_a_stop_is_logged() {
    let mut server = hello("1");
    server.stop();
    let pid = std::process::id();
    let expected = format!("prefork: SIGTERM from pid {pid}: stopping 1 worker within 1m");
    assert!(server.final_log().contains(&expected), "{:?}", server.log());
}

#[test]
fn the_end_of_a_stop_is_the_last_line_and_has_its_duration() {
    let mut server = hello("2");
    server.wait_for_children(2);
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    let last = log.last().expect("there are lines");
    let taken = last
        .strip_prefix("prefork: stopped after ")
        .and_then(|rest| rest.strip_suffix(": all workers exited"));
    assert!(taken.is_some_and(|taken| taken.ends_with('s')), "{log:#?}");
}

#[test]
fn a_second_sigint_ends_the_stop_at_once() {
    let mut server = hello("2");
    // Longer than a test waits.
    let asked = in_flight(&server, 2, "/slow?ms=50000");
    server.signal(Signal::SIGINT);
    server.wait_for_log(|line| line.contains("stopping 2 workers"));
    wait_until_new(Instant::now());
    server.signal(Signal::SIGINT);
    assert_eq!(server.wait().code(), Some(0));
    for client in asked {
        answer(client).expect_err("its worker was killed");
    }
    let log = server.final_log();
    // One worker may have accepted both requests.
    let mut killed = log.iter().filter(|line| line.contains("was killed by"));
    let is_immediate = |line: &String| line.ends_with(": immediate stop requested");
    assert!(killed.clone().count() > 0, "{log:#?}");
    assert!(killed.all(is_immediate), "{log:#?}");
    assert_eq!(server.processes(), []);
}

#[test]
fn sigint_is_immediate_after_sigterm_too() {
    let mut server = hello("1");
    let asked = in_flight(&server, 1, "/slow?ms=50000");
    server.signal(Signal::SIGTERM);
    server.wait_for_log(|line| line.contains("stopping 1 worker"));
    wait_until_new(Instant::now());
    server.signal(Signal::SIGINT);
    assert_eq!(server.wait().code(), Some(0));
    drop(asked);
}

#[test]
fn a_repeated_sigterm_keeps_the_first_deadline() {
    let mut server = ignoring_stop("1", "3s");
    // If each signal restarted the grace period, the master would never exit.
    eventually("the end of the first period", || {
        server.signal(Signal::SIGTERM);
        (!proc::is_alive(server.master_pid())).then_some(())
    });
    assert_eq!(server.wait().code(), Some(0));
    let repeats = server.log();
    assert!(
        repeats
            .iter()
            .any(|line| line.ends_with("already stopping"))
    );
}

#[test]
fn a_worker_that_ignores_the_stop_is_killed_after_the_grace_period_and_logged() {
    let mut server = ignoring_stop("1", "500ms");
    let child = server.wait_for_children(1)[0];
    assert_eq!(server.stop().code(), Some(0));
    let pid = child.pid;
    let line = server
        .wait_for_log(|line| line.contains("did not stop within shutdown_grace_period (500ms)"));
    assert!(
        line.contains(&format!("worker 0 (pid {pid}) was killed by SIGKILL")),
        "{line}"
    );
    assert_eq!(server.processes(), []);
}

/// Workers that do not exit when a stop is requested.
fn ignoring_stop(workers: &str, grace: &str) -> RunningServer {
    let server = Server::new(ODD)
        .arg("ignores_stop")
        .env("PREFORK_WORKERS", workers)
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", grace)
        .start();
    eventually("workers that ignore the stop", || {
        let count = server
            .log()
            .iter()
            .filter(|line| *line == "ignoring stop")
            .count();
        (count.to_string() == workers).then_some(())
    });
    server
}

#[test]
fn no_child_is_started_after_a_stop_has_begun() {
    let mut server = ignoring_stop("2", "1m");
    server.signal(Signal::SIGTERM);
    server.wait_for_log(|line| line.contains("stopping 2 workers"));
    let killed = server.kill_child(0);
    server.wait_for_log(|line| line.contains(&format!("worker 0 (pid {})", killed.pid)));
    assert_eq!(server.child(0), None);
    server.kill_child(1);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.final_log();
    assert_eq!(
        log.iter()
            .filter(|line| line.contains("was killed by"))
            .count(),
        2
    );
}

#[test]
fn a_worker_ignores_the_signals_of_a_terminal() {
    let server = hello("1");
    let (_, pid) = slot_and_pid(&get(server.addr(), "/").expect("an answer")).expect("hello");
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        server.signal_child(0, signal);
    }
    for _ in 0..10 {
        let body = get(server.addr(), "/").expect("the same worker serves");
        assert_eq!(slot_and_pid(&body), Some((0, pid)));
    }
}

#[test]
fn signals_of_later_versions_are_logged_and_change_nothing() {
    let server = hello("1");
    let child = server.wait_for_children(1);
    for signal in [
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
    ] {
        server.signal(signal);
        server.wait_for_log(|line| {
            line.contains(&format!("ignoring {signal} from "))
                && line.ends_with(": not supported yet")
        });
    }
    server.signal(Signal::SIGWINCH);
    assert!(get(server.addr(), "/").is_ok());
    assert_eq!(server.children(), child);
}

#[test]
fn clients_that_connect_after_the_stop_are_refused_while_requests_are_finished() {
    let mut server = hello("2");
    let asked = in_flight(&server, 2, "/slow?ms=3000");
    server.signal(Signal::SIGTERM);
    eventually("a client that is refused", || get(server.addr(), "/").err());
    for client in asked {
        answer(client).expect("requested before the stop");
    }
    assert_eq!(server.wait().code(), Some(0));
}

/// A service manager, a terminal and `timeout` signal all processes at once. If the master sees the
/// exit of a worker before its own signal, the exit still counts as requested.
#[test]
fn a_signal_to_the_whole_group_is_a_stop_and_no_failure() {
    if std::process::Command::new("setsid")
        .arg("true")
        .status()
        .is_err()
    {
        println!("skipped: needs setsid(1)");
        return;
    }
    for _ in 0..20 {
        let mut server = Server::new(PLAIN)
            .env("PREFORK_WORKERS", "8")
            .env("PREFORK_RECOVER_THRESHOLD", "0")
            .wrapper(["setsid"])
            .start();
        server.wait_for_children(8);
        // The leader of a session also leads the process group with its pid.
        // A negative pid is a process group (kill(2)).
        send(-server.master_pid(), Signal::SIGTERM).expect("the group exists");
        assert_eq!(server.wait().code(), Some(0), "{:#?}", server.final_log());
    }
}
