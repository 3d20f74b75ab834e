//! The resources of a master do not grow with the number of recoveries.

use std::fs;

use prefork_testkit::{RunningServer, Server, TIMEOUT};
use prefork_tests::proc;

const SERVER: &str = env!("CARGO_BIN_EXE_parity_recoveries");

/// For a million: `PREFORK_TESTS_RECOVERIES=1000000 cargo test --release … recoveries`.
const RECOVERIES: &str = "PREFORK_TESTS_RECOVERIES";

/// The allowed growth: pages that are used for the first time, and buffers that reach their size. A
/// leak of 64 bytes for each of 10,000 children would be 640 kB.
const KILOBYTES: u64 = 400;

/// The resources of a master that could grow.
#[derive(Debug, Clone, Copy)]
struct Resources {
    fds: usize,
    kilobytes: u64,
    zombies: usize,
    threads: Option<u64>,
}

fn resources(server: &RunningServer) -> Resources {
    let pid = server.master_pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let memory = memory.expect("Linux 4.5 or newer").trim();
    let kilobytes = memory
        .strip_suffix(" kB")
        .and_then(|text| text.parse().ok());
    Resources {
        fds: proc::fds(pid).len(),
        kilobytes: kilobytes.expect("a number of kB"),
        zombies: proc::zombies_of(pid).len(),
        threads: proc::status(pid, "Threads"),
    }
}

#[test]
fn ten_thousand_recoveries_leave_the_master_as_it_was() {
    let count = std::env::var(RECOVERIES).unwrap_or_else(|_| "10000".to_owned());
    let mut server = Server::new(SERVER).arg(&count).start();
    server.wait_for_children(2);
    let before = resources(&server);
    server.kill_child(0);
    server.kill_child(1);
    wait_for_the_last(&server);
    server.wait_for_children(2);
    let after = resources(&server);
    assert_eq!(after.fds, before.fds, "{before:?} {after:?}");
    assert_eq!((after.zombies, after.threads), (0, before.threads));
    let grown = after.kilobytes.saturating_sub(before.kilobytes);
    assert!(grown < KILOBYTES, "{before:?} {after:?}");
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), [0; 0]);
}

/// Waits for the last recovery, as long as there is progress. The total time has no limit.
fn wait_for_the_last(server: &RunningServer) {
    let is_over = |line: &String| line == "recovered all";
    let mut seen = 0;
    loop {
        let begin = std::time::Instant::now();
        while server.log().len() == seen {
            assert!(begin.elapsed() < TIMEOUT, "no further recovery");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let log = server.log();
        if log[seen..].iter().any(is_over) {
            return;
        }
        seen = log.len();
    }
}
