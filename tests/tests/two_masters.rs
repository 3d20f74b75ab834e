//! If several masters start at the same time, one of them owns the port.

use std::process::Command;
use std::thread;

use prefork_testkit::{RunningServer, Server, reserve_addr};
use prefork_tests::client::get;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");

/// How often masters start together. Each master without the port waits a second for it.
const ROUNDS: usize = 6;

const MASTERS: usize = 3;

fn master(addr: &str, reuseport: &str) -> Server {
    Server::new(HELLO)
        .listen(format!("listener={addr}"))
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_REUSEPORT", reuseport)
}

/// Waits until a master serves or exits; returns whether it serves.
///
/// A master that does not serve exits with the documented status and message.
fn serves(server: &mut RunningServer, addr: &str) -> bool {
    let refused = |line: &str| line.contains("in use");
    let line = server.wait_for_log(|line| refused(line) || line.contains("listening on"));
    if !refused(&line) {
        return true;
    }
    assert_eq!(server.wait().code(), Some(69), "{line}");
    assert!(line.contains("'listener'") && line.contains(addr), "{line}");
    false
}

fn assert_one_owner(mut masters: Vec<RunningServer>, addr: &str, case: &str) {
    let serving: Vec<bool> = masters
        .iter_mut()
        .map(|master| serves(master, addr))
        .collect();
    let owners = serving.iter().filter(|serves| **serves).count();
    assert_eq!(owners, 1, "{case}: {serving:?}");
    for _ in 0..10 {
        let body = get(addr.parse().expect("an address"), "/").expect("an answer");
        assert!(body.starts_with("hello from worker "), "{body}");
    }
}

fn one_owns_the_port(reuseport: &str) {
    for round in 0..ROUNDS {
        let reserved = reserve_addr();
        let addr = reserved.to_string();
        let masters = (0..MASTERS).map(|_| master(&addr, reuseport).spawn());
        let masters = masters.collect();
        assert_one_owner(masters, &addr, &format!("round {round}"));
    }
}

#[test]
fn of_masters_that_start_together_one_owns_the_shared_port() {
    one_owns_the_port("false");
}

#[test]
fn of_masters_that_start_together_one_owns_the_port_of_all_slots() {
    one_owns_the_port("true");
}

/// strace delays each step of binding, in both masters.
#[test]
fn a_master_that_is_slow_between_two_calls_shares_no_port() {
    let attempt = Command::new("strace")
        .args(["-e", "inject=bind:delay_enter=1:when=1", "true"])
        .output();
    if !attempt.is_ok_and(|output| output.status.success()) {
        println!("skipped: needs strace(1)");
        return;
    }
    let steps = [
        "bind:delay_enter=600000:when=1",
        "bind:delay_enter=600000:when=2",
        "bind:delay_exit=600000:when=1",
        "listen:delay_enter=600000:when=1",
        "listen:delay_enter=600000:when=2",
        "setsockopt:delay_enter=200000:when=2",
    ];
    // Each pair of masters waits most of the time.
    thread::scope(|scope| {
        for step in steps {
            for reuseport in ["false", "true"] {
                scope.spawn(move || slow_masters(step, reuseport));
            }
        }
    });
}

fn slow_masters(step: &str, reuseport: &str) {
    let reserved = reserve_addr();
    let addr = reserved.to_string();
    let inject = format!("inject={step}");
    let slow = || {
        let wrapper = ["strace", "-qq", "-o", "/dev/null", "-e", &inject];
        master(&addr, reuseport).wrapper(wrapper).spawn()
    };
    let masters = (0..2).map(|_| slow()).collect();
    assert_one_owner(masters, &addr, &format!("{step}, reuseport = {reuseport}"));
}
