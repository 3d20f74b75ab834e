//! Several signals count as one stop request or as two, and no signal is lost.

use std::fs::File;
use std::io::{PipeWriter, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, get};
use prefork_tests::proc;
use prefork_tests::signals::{deliver, send, wait_until_new};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const WAITING_HOOK: &str = env!("CARGO_BIN_EXE_waiting_hook");

/// Pairs of signals that arrive together.
const PAIRS: [[Signal; 2]; 5] = [
    [Signal::SIGINT, Signal::SIGINT],
    [Signal::SIGTERM, Signal::SIGINT],
    [Signal::SIGINT, Signal::SIGTERM],
    [Signal::SIGHUP, Signal::SIGINT],
    [Signal::SIGQUIT, Signal::SIGINT],
];

fn hello(workers: &str) -> Server {
    Server::new(HELLO)
        .env("PREFORK_WORKERS", workers)
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
}

/// Sends a request that takes a second and waits until a worker has accepted it.
fn in_flight(server: &RunningServer) -> TcpStream {
    get(server.addr(), "/").expect("an answer");
    let asked = ask(server.addr(), "/slow?ms=1000").expect("the server is listening");
    eventually("the request in flight", || {
        (proc::queued(server.addr()) == 0).then_some(())
    });
    asked
}

/// Sends both signals within the window of one stop request.
///
/// Returns `false` if the machine was too slow.
fn send_together(pid: i32, pair: [Signal; 2]) -> bool {
    let began = Instant::now();
    for signal in pair {
        deliver(pid, signal);
    }
    began.elapsed() < Duration::from_millis(80)
}

/// Sends a pair that counts as one stop request; returns the log.
///
/// Retries if the machine did not send the pair in time.
fn one_request(server: impl Fn() -> Server, pair: [Signal; 2]) -> Vec<String> {
    for _ in 0..10 {
        let mut server = server().start();
        let asked = in_flight(&server);
        if !send_together(server.master_pid(), pair) {
            continue;
        }
        answer(asked).unwrap_or_else(|error| panic!("{pair:?}: {error}; {:#?}", server.log()));
        assert_eq!(server.wait().code(), Some(0), "{pair:?}");
        return server.final_log();
    }
    panic!("each attempt to send two signals took more than 80 ms");
}

#[test]
fn two_signals_of_one_request_do_not_end_the_stop() {
    for pair in PAIRS {
        let log = one_request(|| hello("2"), pair);
        let is_kill = |line: &String| line.contains("killing") || line.contains("SIGKILL");
        assert!(!log.iter().any(is_kill), "{pair:?}: {log:#?}");
    }
}

#[test]
fn two_signals_of_one_request_do_not_end_single_mode() {
    for pair in PAIRS {
        one_request(|| hello("0"), pair);
    }
}

/// Both signals are pending when the process continues, so they arrive together on any machine.
#[test]
fn signals_that_a_paused_server_finds_are_one_request() {
    for workers in ["2", "0"] {
        let mut server = hello(workers).start();
        let asked = in_flight(&server);
        server.signal(Signal::SIGSTOP);
        eventually("the pause", || {
            proc::is_stopped(server.master_pid()).then_some(())
        });
        server.signal(Signal::SIGINT);
        server.signal(Signal::SIGTERM);
        server.signal(Signal::SIGCONT);
        answer(asked).expect("the request was sent before the stop");
        assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log());
    }
}

/// If the master dies, its worker drains. The signals of a terminal do not shorten that.
#[test]
fn an_orphaned_worker_finishes_its_request_despite_signals() {
    for pair in PAIRS {
        let mut server = hello("1").start();
        let asked = in_flight(&server);
        let worker = server.wait_for_children(1)[0];
        server.signal(Signal::SIGKILL);
        server.wait();
        server.wait_for_log(|line| line.ends_with("master process died; draining"));
        for signal in pair {
            let _ = send(worker.pid, signal);
        }
        answer(asked).unwrap_or_else(|error| panic!("{pair:?}: {error}"));
    }
}

#[test]
fn a_worker_that_gets_a_signal_finishes_its_request() {
    for pair in PAIRS {
        let server = hello("1").start();
        let asked = in_flight(&server);
        let worker = server.wait_for_children(1)[0];
        for signal in pair {
            deliver(worker.pid, signal);
        }
        answer(asked).unwrap_or_else(|error| panic!("{pair:?}: {error}"));
    }
}

/// On Ctrl-C, the terminal sends SIGINT to a package runner and to its child. The runner relays
/// SIGINT to the child, which gets it twice.
#[test]
fn a_key_press_and_its_relay_are_one_request() {
    if !std::process::Command::new("setsid")
        .args(["--fork", "--wait", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("skipped: needs setsid of util-linux");
        return;
    }
    for _ in 0..10 {
        let terminal = openpty(None, None).expect("a terminal");
        let mut server = hello("1")
            .stdin(terminal.slave)
            .wrapper(["setsid", "--ctty", "--wait"])
            .start();
        let asked = in_flight(&server);
        let began = Instant::now();
        File::from(terminal.master.try_clone().expect("descriptors"))
            .write_all(b"\x03")
            .expect("the terminal's buffer has space");
        server.wait_for_log(|line| line.contains("SIGINT from the terminal: stopping"));
        server.signal(Signal::SIGINT);
        if began.elapsed() > Duration::from_millis(80) {
            continue;
        }
        answer(asked).expect("the request was sent before the stop");
        assert_eq!(server.wait().code(), Some(0));
        return;
    }
    panic!("each attempt to send two signals took more than 80 ms");
}

/// A master with a hook that waits, and the pipe that ends the wait when it is dropped.
fn busy(hook: &str) -> (RunningServer, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("descriptors");
    let server = Server::new(WAITING_HOOK)
        .env("HOOK", hook)
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .stdin(OwnedFd::from(reader))
        .start_unready();
    server.wait_for_log(|line| line == "the hook waits");
    (server, writer)
}

#[test]
fn signals_that_came_during_a_hook_count_by_the_times_when_they_came() {
    for (pair, is_late, expected) in [
        ([Signal::SIGINT, Signal::SIGINT], true, "killing 1 worker"),
        ([Signal::SIGTERM, Signal::SIGINT], true, "killing 1 worker"),
        ([Signal::SIGINT, Signal::SIGTERM], true, "already stopping"),
        ([Signal::SIGINT, Signal::SIGINT], false, "stopping 1 worker"),
        ([Signal::SIGTERM, Signal::SIGINT], false, "already stopping"),
    ] {
        let (mut server, hook) = busy("succeeds");
        let began = Instant::now();
        deliver(server.master_pid(), pair[0]);
        if is_late {
            wait_until_new(Instant::now());
        }
        deliver(server.master_pid(), pair[1]);
        if !is_late && began.elapsed() > Duration::from_millis(80) {
            println!("skipped: needs a machine that sends two signals within 200 ms");
            continue;
        }
        // The hook returns after the window, but the times of arrival count.
        wait_until_new(Instant::now());
        drop(hook);
        assert_eq!(server.wait().code(), Some(0));
        let log = server.final_log();
        let is_expected = |line: &String| line.contains(expected);
        assert!(log.iter().any(is_expected), "{pair:?}, {is_late}: {log:#?}");
        let kills = log.iter().any(|line| line.contains("killing"));
        assert_eq!(kills, expected.contains("killing"), "{log:#?}");
    }
}

/// The hook fails after the signal arrives, so a stop has begun when the master reads the signal.
#[test]
fn a_sigint_that_came_before_a_hook_failed_is_no_second_request() {
    let (mut server, hook) = busy("fails");
    deliver(server.master_pid(), Signal::SIGINT);
    drop(hook);
    assert_ne!(server.wait().code(), Some(0), "the hook failed");
    let log = server.final_log();
    assert!(!log.iter().any(|line| line.contains("killing")), "{log:#?}");
}

#[test]
fn sigterm_is_not_lost_behind_any_number_of_other_signals() {
    const COUNT: usize = 700;
    let (mut server, hook) = busy("succeeds");
    for _ in 0..COUNT {
        deliver(server.master_pid(), Signal::SIGUSR1);
    }
    deliver(server.master_pid(), Signal::SIGTERM);
    drop(hook);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.final_log();
    let sender = std::process::id();
    let lines: Vec<&String> = log.iter().filter(|line| line.contains("SIGUSR1")).collect();
    let expected =
        format!("prefork: ignoring SIGUSR1 from pid {sender} ({COUNT} times): not supported yet");
    assert_eq!(lines, [&expected]);
    let term = format!("prefork: SIGTERM from pid {sender}: stopping 1 worker within 1m");
    assert!(log.contains(&term), "{log:#?}");
}

#[test]
fn a_flood_of_signals_gets_a_line_a_second() {
    let mut server = hello("1").start();
    let began = Instant::now();
    let mut sent = 0;
    while sent < 2_000 || began.elapsed() < Duration::from_secs(3) {
        deliver(server.master_pid(), Signal::SIGUSR1);
        sent += 1;
    }
    let seconds = began.elapsed().as_secs();
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    let lines: Vec<&String> = log.iter().filter(|line| line.contains("SIGUSR1")).collect();
    // The master logs the first line at once and the last line at the stop.
    let most = usize::try_from(seconds).expect("a short test") + 3;
    assert!((2..=most).contains(&lines.len()), "{lines:#?}");
    // The lines count each signal.
    let times = |line: &String| {
        let (_, rest) = line.split_once('(')?;
        rest.split_once(" times)")?.0.parse::<u32>().ok()
    };
    let counted: u32 = lines.iter().map(|line| times(line).unwrap_or(1)).sum();
    assert_eq!(counted, sent, "{lines:#?}");
}

#[test]
fn a_flood_during_a_stop_gets_a_line_a_second_too() {
    let mut server = hello("1").start();
    let asked = in_flight(&server);
    let began = Instant::now();
    while proc::is_alive(server.master_pid()) && began.elapsed() < Duration::from_millis(700) {
        server.signal(Signal::SIGTERM);
    }
    answer(asked).expect("the request was sent before the stop");
    assert_eq!(server.wait().code(), Some(0));
    let log = server.final_log();
    let lines = log.iter().filter(|line| line.contains("SIGTERM"));
    // The stop, the first repeat, and the others: after each second and at the end.
    assert!(lines.count() <= 5, "{log:#?}");
}

/// `nohup`, or a shell without job control, can start a server with ignored signals.
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let mut server = hello("1")
        .wrapper(["sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh"])
        .start();
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        server.signal(signal);
    }
    get(server.addr(), "/").expect("the server still answers");
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    let is_logged = |line: &String| line.contains("SIGINT") || line.contains("SIGQUIT");
    assert!(!log.iter().any(is_logged), "{log:#?}");
}
