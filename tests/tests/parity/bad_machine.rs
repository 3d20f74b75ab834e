//! Exits in a burst, and a stderr that accepts no data.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::get;
use prefork_tests::proc;
use prefork_tests::signals::send;

use crate::support::folder;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const SHELL: &str = env!("CARGO_BIN_EXE_parity_shell");

/// Kills up to `kills` started children, as long as the master runs. Returns the number of kills.
fn burst(server: &mut RunningServer, kills: usize) -> usize {
    let mut killed = 0;
    eventually("the kills, or the end", || {
        let log = server.log();
        let pids = log
            .iter()
            .filter_map(|line| line.strip_prefix("spawned ")?.parse().ok());
        for pid in pids.skip(killed).take(kills - killed).collect::<Vec<i32>>() {
            // The signal fails if the master has stopped the child before.
            let _ = send(pid, Signal::SIGKILL);
            killed += 1;
        }
        let is_over = killed == kills || !proc::is_alive(server.master_pid());
        is_over.then_some(())
    });
    killed
}

fn killable(workers: &str) -> Server {
    Server::new(SHELL)
        .arg("exec sleep 1000")
        // A child is healthy from its start.
        .env("PREFORK_HEALTHY_AFTER", "0s")
        .env("PREFORK_WORKERS", workers)
}

#[test]
fn bad_a_thousand_kills_in_a_burst_are_all_recovered() {
    let mut server = killable("50")
        .env("PREFORK_RECOVER_THRESHOLD", "10000")
        .start();
    server.wait_for_children(50);
    assert_eq!(burst(&mut server, 1000), 1000);
    let spawned = |server: &RunningServer| {
        let log = server.log();
        log.iter()
            .filter(|line| line.starts_with("spawned "))
            .count()
    };
    eventually("as many replacements", || {
        (spawned(&server) == 1050).then_some(())
    });
    assert_eq!(server.wait_for_children(50).len(), 50);
    assert_eq!(proc::zombies_of(server.master_pid()), [0; 0]);
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    let killed = log
        .iter()
        .filter(|line| line.contains("was killed by SIGKILL"));
    assert_eq!(killed.count(), 1000);
    assert_eq!(spawned(&server), 1050);
    assert_eq!(server.processes(), [0; 0]);
}

#[test]
fn bad_a_thousand_kills_in_a_burst_end_a_master_with_defaults_and_the_reason_is_logged() {
    let mut server = killable("4").start();
    server.wait_for_children(4);
    assert!(burst(&mut server, 1000) >= 9);
    assert_eq!(server.wait().code(), Some(75));
    let log = server.final_log();
    let last = log.last().expect("a paragraph");
    for part in [
        "workers exited unexpectedly",
        "(recover_threshold = 8); ",
        "each of the last ",
        "was killed by SIGKILL",
        "PREFORK_RECOVER_THRESHOLD",
    ] {
        assert!(last.contains(part), "{last}");
    }
    assert_eq!(server.processes(), [0; 0]);
}

/// The address of a server without a readable start line, from the environment of its worker.
fn addr(server: &RunningServer) -> SocketAddr {
    let child = server.wait_for_children(1)[0];
    let addrs = proc::variable(child.pid, "PREFORK_ADDRS").expect("a child has the variable");
    let (_, addr) = addrs.split_once('=').expect("name and address");
    addr.parse().expect("an address")
}

/// Checks that the server answers, recovers its worker and stops.
fn assert_serves_and_recovers(mut server: RunningServer) {
    let addr = addr(&server);
    for _ in 0..20 {
        get(addr, "/").expect("an answer");
        let killed = server.kill_child(0);
        eventually("another child", || {
            server.child(0).filter(|child| child.pid != killed.pid)
        });
    }
    get(addr, "/").expect("an answer");
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), [0; 0]);
}

#[test]
fn bad_a_closed_stderr_stops_nothing() {
    let server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_RECOVER_THRESHOLD", "1000")
        .wrapper(["sh", "-c", "exec 2>&- \"$@\"", "sh"])
        .spawn();
    assert_serves_and_recovers(server);
}

#[test]
fn bad_an_unread_stderr_stops_nothing_and_dropped_lines_are_counted() {
    let folder = folder();
    let path = folder.path().join("stderr");
    mkfifo(&path, Mode::S_IRWXU).expect("the folder is writable");
    // Both ends, so that no open waits. Nonblocking, so that the test can fill the pipe.
    let mut pipe = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .expect("the FIFO exists");
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    let server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_RECOVER_THRESHOLD", "1000")
        .env("PIPE", &path)
        .wrapper(["sh", "-c", "exec 2>\"$PIPE\" \"$@\"", "sh"])
        .spawn();
    let addr = addr(&server);
    get(addr, "/").expect("an answer");
    let killed = server.kill_child(0);
    eventually("another child", || {
        server.child(0).filter(|child| child.pid != killed.pid)
    });
    // The test reads the pipe. The next line has the number of dropped lines.
    let mut bytes = vec![0; 65_536];
    while pipe.read(&mut bytes).is_ok() {}
    server.kill_child(0);
    let mut text = String::new();
    eventually("the next lines", || {
        if let Ok(count) = pipe.read(&mut bytes) {
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        text.contains("was killed by SIGKILL").then_some(())
    });
    // Dropped: the start, that the worker is ready, the first exit, and two lines about the
    // replacement unless the test has read them.
    let lost = (3..=5).map(|lines| format!("prefork: {lines} log lines dropped"));
    assert!(
        lost.into_iter().any(|lost| text.starts_with(&lost)),
        "{text}"
    );
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    assert_serves_and_recovers(server);
}
