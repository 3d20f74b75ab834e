//! All workers of a server answer on its addresses.

use std::collections::BTreeSet;
use std::thread;

use prefork_testkit::{Server, eventually};
use prefork_tests::client::{answer, ask, get, slot_and_pid};
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const SPARE_LISTENER: &str = env!("CARGO_BIN_EXE_spare_listener");
const TWO_LISTENERS: &str = env!("CARGO_BIN_EXE_two_listeners");

#[test]
fn all_workers_answer_real_load() {
    let server = Server::new(HELLO).env("PREFORK_WORKERS", "4").start();
    let children = server.wait_for_children(4);
    let mut seen = BTreeSet::new();
    let mut answered = 0;
    eventually("answers from all four workers", || {
        for body in burst(server.addr(), 50) {
            seen.insert(slot_and_pid(&body).expect(&body));
            answered += 1;
        }
        (seen.len() >= 4 && answered >= 200).then_some(())
    });
    let children = children.iter().map(|child| (child.slot, child.pid));
    assert_eq!(seen, children.collect::<BTreeSet<_>>());
}

/// Opens this many connections at the same time, each in its own thread; returns the answers.
fn burst(addr: std::net::SocketAddr, count: usize) -> Vec<String> {
    let clients: Vec<_> = (0..count)
        .map(|_| thread::spawn(move || get(addr, "/")))
        .collect();
    clients
        .into_iter()
        .map(|client| {
            client
                .join()
                .expect("the thread does not panic")
                .expect("every client is answered")
        })
        .collect()
}

#[test]
fn a_server_without_an_async_runtime_serves() {
    let mut server = Server::new(PLAIN).start();
    let children = server.wait_for_children(2);
    for _ in 0..20 {
        let body = get(server.addr(), "/").expect("an answer");
        let from_a_worker = |pid| body == format!("hello from pid {pid}\n");
        assert!(
            children.iter().any(|child| from_a_worker(child.pid)),
            "{body}"
        );
    }
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn port_zero_is_a_free_port_that_the_start_line_names() {
    let one = Server::new(HELLO).env("PREFORK_WORKERS", "1").start();
    let other = Server::new(HELLO).env("PREFORK_WORKERS", "1").start();
    assert_ne!(one.addr(), other.addr());
    for server in [&one, &other] {
        let (_, pid) =
            slot_and_pid(&get(server.addr(), "/").expect("an answer")).expect("a worker");
        assert_eq!(server.child(0).map(|child| child.pid), Some(pid));
    }
}

#[test]
fn the_start_is_two_lines_however_many_workers() {
    let mut server = Server::new(HELLO).env("PREFORK_WORKERS", "4").start();
    for child in server.wait_for_children(4) {
        eventually("an answer of every worker", || {
            let (_, pid) = slot_and_pid(&get(server.addr(), "/").ok()?)?;
            // The kernel chooses the worker. After enough requests each worker has answered.
            (pid == child.pid).then_some(())
        });
    }
    let addr = server.addr();
    let pid = server.master_pid();
    let ready = "prefork: all workers are ready (4 workers)";
    server.wait_for_log(|line| line == ready);
    let expected =
        format!("prefork: listening on listener0={addr} with 4 workers (master pid {pid})");
    assert_eq!(server.log(), [expected.as_str(), ready]);
    server.stop();
}

/// tokio sets the names of the runtime threads.
#[test]
fn a_worker_has_as_many_runtime_threads_as_configured() {
    for (configured, expected) in [("1", 0), ("3", 3)] {
        let server = Server::new(HELLO)
            .env("PREFORK_WORKERS", "1")
            .env("PREFORK_RUNTIME_THREADS", configured)
            .start();
        let child = server.wait_for_children(1)[0];
        get(server.addr(), "/").expect("an answer");
        // The worker also has its main thread and the thread that monitors the master.
        assert_eq!(proc::thread_names(child.pid).len(), 2 + expected);
        eventually("threads that have named themselves", || {
            let threads = proc::thread_names(child.pid);
            let of_tokio = threads.iter().filter(|name| name.starts_with("tokio-rt"));
            (of_tokio.count() == expected).then_some(())
        });
    }
}

#[test]
fn arguments_take_the_listeners_of_their_names() {
    let server = Server::new(TWO_LISTENERS).keep_listen().start();
    for name in ["http", "admin"] {
        let body = get(server.addr_of(name), "/").expect("an answer");
        assert_eq!(body, format!("{name}\n"));
    }
}

#[test]
fn a_listener_that_only_the_worker_argument_can_take_is_one_log_line() {
    for workers in ["0", "2"] {
        let mut server = Server::new(SPARE_LISTENER)
            .keep_listen()
            .env("PREFORK_WORKERS", workers)
            .start();
        server.stop();
        let log = server.final_log();
        let is_reported = |line: &&String| {
            line.starts_with("prefork: listener 'admin' is not used by any argument")
        };
        assert_eq!(log.iter().filter(is_reported).count(), 1, "{log:#?}");
    }
}

#[test]
fn the_operator_overrides_the_options_of_the_program() {
    let server = Server::new(TWO_LISTENERS)
        .listen("admin=127.0.0.1:0,[::1]:0")
        .env("PREFORK_WORKERS", "3")
        .start();
    server.wait_for_children(3);
    assert!(server.addr_of("listener1").is_ipv6());
    let of_the_rest = answer(ask(server.addr_of("listener1"), "/").expect("a listening server"));
    assert_eq!(of_the_rest.expect("an answer"), "http\n");
}
