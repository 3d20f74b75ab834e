//! Stops and rollouts under load on kept connections. With the layer of feature `http`, no request
//! fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use prefork_testkit::load::{Failure, Load, LoadReport};
use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{connect, get};
use prefork_tests::proc;

const KEPT: &str = env!("CARGO_BIN_EXE_kept");

/// With a grace period that is long enough on a loaded machine.
fn kept(workers: &str) -> Server {
    Server::new(KEPT)
        .env("PREFORK_WORKERS", workers)
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
}

/// Sends a request that keeps the connection.
fn ask(client: &mut TcpStream, path: &str) {
    let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    client.write_all(head.as_bytes()).expect("it is open");
}

/// Reads a response. Returns its header `Connection`, if it has one, and its body.
fn answer(client: &TcpStream) -> (Option<String>, String) {
    let mut reader = BufReader::new(client);
    let (mut connection, mut length) = (None, 0);
    let mut status = String::new();
    reader.read_line(&mut status).expect("a response");
    assert_eq!(status, "HTTP/1.1 200 OK\r\n");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a response");
        match line.trim_end().split_once(": ") {
            None => break,
            Some(("connection", value)) => connection = Some(value.to_owned()),
            Some(("content-length", value)) => length = value.parse().expect("a number"),
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a whole body");
    (connection, String::from_utf8(body).expect("a text"))
}

fn has_ended(mut client: &TcpStream) -> bool {
    matches!(client.read(&mut [0]), Ok(0))
}

/// Opens kept connections, each of which has carried a request.
fn keep(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    let kept = (0..count).map(|_| {
        let mut client = connect(addr).expect("the server listens");
        ask(&mut client, "/");
        let (connection, _) = answer(&client);
        assert_eq!(connection, None, "the worker does not drain");
        client
    });
    kept.collect()
}

/// Waits until every worker has closed its listeners.
fn wait_until_closed(server: &RunningServer) {
    eventually("closed listeners", || {
        TcpStream::connect(server.addr()).is_err().then_some(())
    });
}

#[test]
fn a_request_on_a_kept_connection_is_answered_in_the_closing_phase_and_ends_it() {
    for workers in ["0", "2"] {
        let mut server = kept(workers).env("PREFORK_KEEPALIVE_GRACE", "30s").start();
        let clients = keep(server.addr(), 4);
        server.signal(Signal::SIGTERM);
        if workers == "2" {
            wait_until_closed(&server);
        }
        let began = Instant::now();
        for mut client in clients {
            ask(&mut client, "/");
            // The worker may not have handled the signal yet.
            while answer(&client).0.as_deref() != Some("close") {
                ask(&mut client, "/");
            }
            assert!(has_ended(&client));
        }
        // `keepalive_grace` is not over.
        assert_eq!(server.wait().code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn silent_kept_connections_are_closed_after_keepalive_grace() {
    let long = Duration::from_secs(1);
    for (mode, grace, is_long) in [
        ("layer", "1s", true),
        ("layer", "0s", false),
        ("plain", "30s", false),
    ] {
        let mut server = kept("1")
            .arg(mode)
            .env("PREFORK_KEEPALIVE_GRACE", grace)
            .start();
        let clients = keep(server.addr(), 2);
        let began = Instant::now();
        server.signal(Signal::SIGTERM);
        assert!(clients.iter().all(has_ended));
        let took = began.elapsed();
        assert!(!is_long || took >= long, "{mode} {grace}: {took:?}");
        assert!(
            is_long || took < Duration::from_secs(20),
            "{mode} {grace}: {took:?}"
        );
        assert_eq!(server.wait().code(), Some(0));
    }
}

/// The closing phase is at most half of the grace period.
#[test]
fn a_long_keepalive_grace_kills_no_worker() {
    let mut server = Server::new(KEPT)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "2s")
        .env("PREFORK_KEEPALIVE_GRACE", "1h")
        .start();
    let clients = keep(server.addr(), 2);
    assert_eq!(server.stop().code(), Some(0));
    assert!(clients.iter().all(has_ended));
    let log = server.final_log();
    assert!(!log.iter().any(|line| line.contains("killed")), "{log:#?}");
}

#[test]
fn main_can_wait_for_the_end_of_all_streams() {
    let mut server = kept("1").arg("waits").start();
    let (mut idle, mut busy) = (keep(server.addr(), 1), keep(server.addr(), 1));
    ask(&mut busy[0], "/slow?ms=1500");
    server.signal(Signal::SIGTERM);
    let (connection, _) = answer(&busy[0]);
    assert_eq!(connection.as_deref(), Some("close"));
    assert!(has_ended(&busy[0]) && has_ended(&idle.remove(0)));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_worker_counts_its_requests() {
    let server = kept("1").start();
    let mut clients = keep(server.addr(), 3);
    ask(&mut clients[0], "/slow?ms=3000");
    // Three requests of `keep`, one that is slow, and those that ask.
    let text = eventually("a slow request in flight", || {
        let text = get(server.addr(), "/counts").expect("an answer");
        text.ends_with(", 2 in flight\n").then_some(text)
    });
    let (count, _) = text.split_once(' ').expect("a number");
    assert!(count.parse::<u32>().expect("a number") >= 5, "{text}");
}

/// Runs a load on 16 kept connections, and something meanwhile.
fn under_load(server: &RunningServer, rate: Option<u32>, run: impl FnOnce()) -> LoadReport {
    let mut load = Load::new(server.addr()).connections(16);
    if let Some(rate) = rate {
        load = load.rate(rate);
    }
    let load = load.start();
    load.wait_for_answers(100);
    run();
    load.wait_for_answers(100);
    load.stop()
}

fn three_rollouts(mode: &str, rate: Option<u32>) -> LoadReport {
    let mut server = kept("4")
        .arg(mode)
        .env("PREFORK_ROLLOUT_PARALLEL", "50%")
        .env("PREFORK_ROLLOUT_SOAK", "100ms")
        .start();
    let report = under_load(&server, rate, || {
        for count in 1..=3 {
            server.signal(Signal::SIGHUP);
            eventually("a verdict", || {
                let log = server.log();
                let accepted = log.iter().filter(|line| line.contains("rollout accepted"));
                (accepted.count() == count).then_some(())
            });
        }
        eventually("the end of the old workers", || {
            (server.processes().len() == 5).then_some(())
        });
    });
    assert_eq!(server.stop().code(), Some(0));
    println!("{mode}, rate {rate:?}:\n{report}");
    report
}

#[test]
fn three_rollouts_fail_no_request_on_kept_connections_under_full_load() {
    three_rollouts("layer", None).assert_no_failures();
}

/// Each connection is idle for 200 ms between two requests, less than `keepalive_grace`.
#[test]
fn three_rollouts_fail_no_request_on_kept_connections_that_are_idle_at_times() {
    three_rollouts("layer", Some(80)).assert_no_failures();
}

/// HTTP/1.1 lets a server close an idle connection, and requests that are on their way fail.
#[test]
fn without_the_layer_only_requests_on_stale_connections_fail() {
    let report = three_rollouts("plain", None);
    report.assert_only(|failed| failed.failure == Failure::StaleConnection);
}

#[test]
fn a_stop_under_load_fails_no_request_on_a_kept_connection() {
    let mut server = kept("2").start();
    let load = Load::new(server.addr()).connections(16).start();
    load.wait_for_answers(100);
    let before = Instant::now();
    assert_eq!(server.stop().code(), Some(0));
    let report = load.stop();
    // New connections are refused.
    report.assert_only(|failed| failed.began_after(before) && failed.served_before == 0);
    assert_eq!(report.failed_with(Failure::Empty), 0, "{report}");
    println!("{report}");
}

/// Sends 50 requests of one second on kept connections, and `end`s their workers meanwhile. All are
/// answered, and the workers exit as soon as the last client has its answer.
fn fifty_in_flight(end: impl FnOnce(&RunningServer)) {
    let server = kept("2")
        .env("PREFORK_KEEPALIVE_GRACE", "30s")
        .env("PREFORK_ROLLOUT_SOAK", "0s")
        .start();
    let workers = server.wait_for_children(2);
    let mut clients = keep(server.addr(), 50);
    for client in &mut clients {
        ask(client, "/slow?ms=1000");
    }
    end(&server);
    for client in &clients {
        answer(client);
    }
    let answered = Instant::now();
    while workers.iter().any(|worker| proc::is_alive(worker.pid)) {
        // Less than `keepalive_grace`.
        assert!(answered.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(1));
    }
    println!("exit {:?} after the last answer", answered.elapsed());
}

#[test]
fn fifty_requests_on_kept_connections_are_answered_in_a_stop() {
    fifty_in_flight(|server| server.signal(Signal::SIGTERM));
}

#[test]
fn fifty_requests_on_kept_connections_are_answered_in_a_rollout() {
    fifty_in_flight(|server| server.signal(Signal::SIGHUP));
}

#[test]
fn fifty_requests_on_kept_connections_are_answered_after_the_death_of_the_master() {
    fifty_in_flight(|server| server.signal(Signal::SIGKILL));
}
