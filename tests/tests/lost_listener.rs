//! If a worker shuts down a listening socket, all workers that share the socket lose it. The master
//! binds the address again, and the server keeps serving.

use prefork_testkit::{Server, eventually};
use prefork_tests::client::get;

const LOST_LISTENER: &str = env!("CARGO_BIN_EXE_lost_listener");

fn a_lost_listener_is_bound_again(reuseport: &str) {
    let mut server = Server::new(LOST_LISTENER)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_REUSEPORT", reuseport)
        .env("PREFORK_RECOVER_THRESHOLD", "1000")
        .start();
    for round in 1..=3 {
        eventually("a worker that serves", || get(server.addr(), "/").ok());
        // The answer may be lost with the socket.
        let _ = get(server.addr(), "/lose");
        eventually("a line for each loss", || {
            let log = server.log();
            let lost = log.iter().filter(|line| {
                line.contains("was shut down by a process that shares its socket: bound it again")
            });
            (lost.count() >= round).then_some(())
        });
    }
    eventually("a worker that serves", || get(server.addr(), "/").ok());
    server.wait_for_log(|line| {
        line.contains("listener 'listener0': cannot accept connections: Invalid argument")
    });
    server.wait_for_children(2);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_lost_listener_that_all_slots_share_is_bound_again() {
    a_lost_listener_is_bound_again("false");
}

#[test]
fn a_lost_listener_of_one_slot_is_bound_again() {
    a_lost_listener_is_bound_again("true");
}
