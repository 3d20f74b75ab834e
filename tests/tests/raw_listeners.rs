//! The listeners of the standard library and of tokio serve as well. The crate page lists their
//! limitations.

use prefork_testkit::{Server, Signal, eventually};
use prefork_tests::client::{answer, ask, get};
use prefork_tests::proc;

const RAW_STD: &str = env!("CARGO_BIN_EXE_raw_std");
const RAW_TOKIO: &str = env!("CARGO_BIN_EXE_raw_tokio");

#[test]
fn raw_listeners_serve_and_stop() {
    for program in [RAW_STD, RAW_TOKIO] {
        let mut server = Server::new(program).start();
        server.wait_for_children(2);
        for _ in 0..50 {
            assert_eq!(get(server.addr(), "/").expect("an answer"), "raw\n");
        }
        assert_eq!(server.stop().code(), Some(0));
        assert_eq!(server.processes(), []);
    }
}

#[test]
fn a_declared_std_listener_blocks() {
    let server = Server::new(RAW_STD).start();
    server.wait_for_log(|line| line == "blocking: true");
}

#[test]
fn connections_that_wait_for_a_killed_worker_are_answered_by_its_replacement() {
    for program in [RAW_STD, RAW_TOKIO] {
        let server = Server::new(program).env("PREFORK_WORKERS", "1").start();
        get(server.addr(), "/").expect("an answer");
        let stopped = server.signal_child(0, Signal::SIGSTOP);
        eventually("the worker's halt", || {
            proc::is_stopped(stopped.pid).then_some(())
        });
        let waiting: Vec<_> = (0..100)
            .map(|_| ask(server.addr(), "/").expect("the listen queue has space"))
            .collect();
        server.kill_child(0);
        for client in waiting {
            answer(client).expect("each waiting client gets an answer");
        }
    }
}
