//! If the master dies, all its children exit.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, connect, get, slot_and_pid};
use prefork_tests::proc;
use prefork_tests::signals::send;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const RAW_STD: &str = env!("CARGO_BIN_EXE_raw_std");
const BUILDER: &str = env!("CARGO_BIN_EXE_builder");
const ODD: &str = env!("CARGO_BIN_EXE_odd");
const ORPHANED: &str = env!("CARGO_BIN_EXE_orphaned");

/// Starts a server and waits until all its workers are idle.
fn idle(program: &str, workers: usize) -> RunningServer {
    let server = Server::new(program)
        .env("PREFORK_WORKERS", workers.to_string())
        .start();
    server.wait_for_children(workers);
    get(server.addr(), "/").expect("an answer");
    server
}

fn kill_master(server: &mut RunningServer) {
    server.signal(Signal::SIGKILL);
    assert_eq!(server.wait().code(), None);
}

#[test]
fn idle_children_exit_at_once_after_the_death_of_the_master() {
    for program in [HELLO, PLAIN, RAW_STD] {
        let mut server = idle(program, 4);
        let killed = Instant::now();
        kill_master(&mut server);
        eventually("the end of all children", || {
            server.processes().is_empty().then_some(())
        });
        let taken = killed.elapsed();
        println!("{program}: no child {taken:?} after the master");
        let log = server.final_log();
        let is_draining = |line: &&String| line.ends_with("): master process died; draining");
        assert_eq!(log.iter().filter(is_draining).count(), 4, "{log:#?}");
        // The limit is far below the grace period of 5 s. On an idle machine it takes 2 ms.
        assert!(taken < Duration::from_secs(2), "{taken:?}");
    }
}

#[test]
fn a_request_in_flight_is_answered_while_a_new_master_serves_on_the_same_port() {
    let mut old = Server::new(HELLO)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start();
    let addr = old.addr();
    get(addr, "/").expect("an answer");
    let busy = old.wait_for_children(1)[0];

    let asked = ask(addr, "/slow?ms=5000").expect("the server is listening");
    eventually("the request in flight", || {
        (proc::queued(addr) == 0).then_some(())
    });
    kill_master(&mut old);

    let new = Server::new(HELLO)
        .env("PREFORK_WORKERS", "1")
        .listen(addr.to_string())
        .start();
    let (_, pid) = slot_and_pid(&get(addr, "/").expect("the new worker serves")).expect("a worker");
    assert_eq!(new.child(0).map(|child| child.pid), Some(pid));
    assert!(
        proc::is_alive(busy.pid),
        "the old worker still has a request"
    );

    let (_, pid) =
        slot_and_pid(&answer(asked).expect("the old worker finishes")).expect("a worker");
    assert_eq!(pid, busy.pid);
    eventually("the end of the old worker", || {
        old.processes().is_empty().then_some(())
    });
}

#[test]
fn clients_that_wait_when_the_master_dies_are_answered() {
    for program in [HELLO, PLAIN] {
        let mut server = idle(program, 1);
        let halted = server.signal_child(0, Signal::SIGSTOP);
        eventually("the worker's halt", || {
            proc::is_stopped(halted.pid).then_some(())
        });
        let waiting: Vec<_> = (0..50)
            .map(|_| ask(server.addr(), "/").expect("the listen queue has space"))
            .collect();
        kill_master(&mut server);
        // The master is dead and cannot report the slot, so the test signals the pid itself.
        send(halted.pid, Signal::SIGCONT).expect("the worker exists");
        for client in waiting {
            answer(client).expect("each waiting client gets an answer");
        }
        eventually("the end of the worker", || {
            server.processes().is_empty().then_some(())
        });
    }
}

/// Connects and sends the beginning of a request.
fn begin(addr: SocketAddr) -> TcpStream {
    let mut stream = connect(addr).expect("the server is listening");
    stream
        .write_all(b"GET / HTTP/1.1\r\n")
        .expect("the buffer has space");
    stream
}

fn finish(mut stream: TcpStream) -> io::Result<String> {
    stream.write_all(b"connection: close\r\n\r\n")?;
    answer(stream)
}

fn wait_until_accepted(client: &TcpStream) {
    eventually("a worker for the client", || {
        proc::is_accepted(client).then_some(())
    });
}

/// The first worker that has no client left frees the port. It must not reset a connection that
/// the other worker would still accept.
#[test]
fn clients_that_connect_after_the_death_of_the_master_are_answered_until_the_port_is_free() {
    let mut old = Server::new(ORPHANED)
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start();
    let addr = old.addr();
    old.wait_for_children(2);
    // Each worker serves one client.
    let (first, second) = (begin(addr), begin(addr));
    wait_until_accepted(&first);
    wait_until_accepted(&second);
    let third = begin(addr);
    let fourth = ask(addr, "/").expect("the listen queue has space");
    kill_master(&mut old);
    let is_draining = |line: &&String| line.ends_with("): master process died; draining");
    eventually("both drain", || {
        (old.log().iter().filter(is_draining).count() == 2).then_some(())
    });

    finish(first).expect("the first worker answers");
    wait_until_accepted(&third);
    let late = ask(addr, "/").expect("the listen queue has space");
    finish(third).expect("the first worker answers");
    answer(fourth).expect("it was in the queue when the master died");
    answer(late).expect("no worker had closed its listener");

    let new = Server::new(HELLO).listen(addr.to_string()).start();
    get(addr, "/").expect("the new worker serves");
    finish(second).expect("the second worker still answers");
    eventually("the end of the old workers", || {
        old.processes().is_empty().then_some(())
    });
    drop(new);
}

#[test]
fn a_child_that_ignores_the_stop_is_killed_after_the_grace_period() {
    let mut server = Server::new(ODD)
        .arg("ignores_stop")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "500ms")
        .start();
    server.wait_for_log(|line| line == "ignoring stop");
    kill_master(&mut server);
    eventually("the end of the child", || {
        server.processes().is_empty().then_some(())
    });
    assert!(
        server
            .final_log()
            .iter()
            .any(|line| line.contains("did not finish within shutdown_grace_period (500ms)"))
    );
}

#[test]
fn children_that_run_another_program_are_terminated() {
    let mut server = Server::new(BUILDER)
        .arg("program=/bin/sleep")
        .env("PREFORK_WORKERS", "3")
        .start();
    server.wait_for_children(3);
    kill_master(&mut server);
    eventually("the end of all children", || {
        server.processes().is_empty().then_some(())
    });
}

#[test]
fn starting_workers_exit_if_their_master_dies() {
    let mut server = Server::new(ORPHANED).env("INIT_WAITS", "1").start_unready();
    let addr = server.addr();
    let waiting = |log: Vec<String>| log.iter().filter(|line| *line == "init waits").count();
    eventually("both in init", || {
        (waiting(server.log()) == 2).then_some(())
    });
    kill_master(&mut server);
    eventually("the end of all children", || {
        server.processes().is_empty().then_some(())
    });
    let next = Server::new(HELLO).listen(addr.to_string()).start();
    get(next.addr(), "/").expect("the port is free");
}

#[test]
fn workers_exit_and_the_port_is_free_while_a_process_that_the_master_forked_still_runs() {
    let mut server = Server::new(ORPHANED).env("MASTER_FORKS", "1").start();
    let forked = server.wait_for_log(|line| line.starts_with("forked "));
    let forked: i32 = forked["forked ".len()..].parse().expect("a pid");
    let workers = server.wait_for_children(2);
    get(server.addr(), "/").expect("an answer");
    kill_master(&mut server);
    eventually("the end of the workers", || {
        let gone = workers.iter().all(|child| !proc::is_alive(child.pid));
        gone.then_some(())
    });
    assert!(proc::is_alive(forked), "the fork holds the channels");
    let next = Server::new(HELLO).listen(server.addr().to_string()).start();
    get(next.addr(), "/").expect("the port is free");
    assert!(proc::is_alive(forked), "the fork holds the listener");
}
