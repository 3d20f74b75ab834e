//! After a pause, the master handles the events of the pause before it compares deadlines with its
//! clock.

use std::fs::File;
use std::time::{Duration, Instant};

use prefork_testkit::{Server, Signal, eventually};
use prefork_tests::{READY, proc};

const LATE_WORKER: &str = env!("CARGO_BIN_EXE_late_worker");

/// Long enough that a loaded machine pauses the master before the timeout.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

#[test]
fn workers_that_become_ready_during_a_pause_of_the_master_are_not_late() {
    let folder = tempfile::tempdir().expect("a folder");
    let ready = folder.path().join("ready");
    let mut server = Server::new(LATE_WORKER)
        .env("READY_FILE", ready.as_os_str())
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_READY_TIMEOUT", "5s")
        .start_unready();
    let children = server.wait_for_children(2);
    server.signal(Signal::SIGSTOP);
    eventually("the pause", || {
        proc::is_stopped(server.master_pid()).then_some(())
    });
    let paused = Instant::now();
    File::create(&ready).expect("the test owns the folder");
    eventually("both ready", || {
        let log = server.log();
        (log.iter().filter(|line| line.ends_with(READY)).count() == 2).then_some(())
    });
    eventually("the end of the time to become ready", || {
        (paused.elapsed() > READY_TIMEOUT).then_some(())
    });
    server.signal(Signal::SIGCONT);
    // The master handles signals first. If a worker were late, the master would kill it before or
    // during the stop.
    server.signal(Signal::SIGUSR1);
    server.wait_for_log(|line| line.contains("SIGUSR1"));
    assert_eq!(server.children(), children, "{:#?}", server.log());
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    assert!(!log.iter().any(|line| line.contains("SIGKILL")), "{log:#?}");
}
