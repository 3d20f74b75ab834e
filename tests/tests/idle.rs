//! The master does not poll: an idle master does not wake up.

use std::thread;
use std::time::Duration;

use prefork_testkit::{RunningServer, Server, eventually};
use prefork_tests::client::get;
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");

#[test]
fn an_idle_master_has_one_thread_and_does_not_wake_up() {
    let server = Server::new(HELLO).env("PREFORK_WORKERS", "2").start();
    server.wait_for_children(2);
    get(server.addr(), "/").expect("an answer");
    assert_eq!(proc::status(server.master_pid(), "Threads"), Some(1));
    // On a loaded machine, a late wake-up of the startup may fall into a span.
    let attempts = (0..3).map(|_| switches_in(&server, Duration::from_secs(10)));
    let is_idle = attempts.take_while(|switches| *switches != 0).count() < 3;
    assert!(is_idle, "the master wakes up in each of three spans of 10s");
}

fn switches_in(server: &RunningServer, span: Duration) -> u64 {
    let count = || proc::context_switches(server.master_pid()).expect("the master runs");
    let before = count();
    thread::sleep(span);
    count() - before
}

#[test]
fn fifty_recoveries_leave_the_master_as_it_was() {
    let server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_RECOVER_THRESHOLD", "10000")
        .start();
    server.wait_for_children(2);
    let master = server.master_pid();
    // The count begins after the startup, when all children have sent their frames.
    let body = get(server.addr(), "/");
    body.expect("an answer");
    let fds = proc::fds(master).len();
    for round in 0..50 {
        let slot = round % 2;
        let killed = server.kill_child(slot);
        eventually("another child in the slot", || {
            server.child(slot).filter(|child| child.pid != killed.pid)
        });
    }
    let after = eventually("closed descriptors of the killed children", || {
        let after = proc::fds(master);
        (after.len() == fds).then_some(after)
    });
    assert_eq!(after.len(), fds);
    assert_eq!(proc::status(master, "Threads"), Some(1));
    assert_eq!(proc::zombies_of(master), [0; 0]);
}
