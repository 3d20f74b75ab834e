//! Masters on threads of a process with other work: the process of these tests. They do not change
//! the handling of signals. After their end no child and no descriptor is left.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prefork::{Handle, Prefork};
use prefork_testkit::{Server, eventually};
use prefork_tests::client::get;
use prefork_tests::proc;
use prefork_tests::tls::{Authority, Client};

/// All tests of this file count the descriptors and the children of the same process.
fn lock() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).expect("the kernel's pids fit")
}

/// Children and descriptors of this process.
fn resources() -> (Vec<i32>, usize) {
    (proc::children(own_pid()), proc::fds(own_pid()).len())
}

/// A master of children that do not use the crate: they wait for SIGTERM.
fn start(workers: usize) -> Handle {
    let prefork = Prefork::new()
        .listen("127.0.0.1:0")
        .workers(workers)
        .child_producer(|command| {
            command.program("/bin/sleep").arg("1000");
            Ok::<_, std::convert::Infallible>(())
        });
    let handle = prefork.start().expect("the master starts");
    let addr = handle.listeners()[0].socket_addr().expect("an IP address");
    let is_own_child = move |pid: &i32| {
        proc::variable(*pid, "PREFORK_ADDRS")
            .is_some_and(|addrs| addrs.ends_with(&addr.to_string()))
    };
    eventually("all its children", || {
        let children = proc::children(own_pid());
        (children.iter().filter(|pid| is_own_child(pid)).count() == workers).then_some(())
    });
    handle
}

#[test]
fn several_masters_live_side_by_side_and_leave_nothing() {
    let _lock = lock();
    let before = resources();
    let masters: Vec<Handle> = (1..=3).map(start).collect();
    assert_eq!(proc::children(own_pid()).len(), before.0.len() + 6);
    for master in masters {
        master.stop();
        master.wait().expect("a requested stop");
    }
    assert_eq!(resources(), before);
}

#[test]
fn twenty_starts_and_stops_leave_no_descriptor_and_no_child() {
    let _lock = lock();
    let before = resources();
    for _ in 0..20 {
        let master = start(2);
        master.stop();
        master.wait().expect("a requested stop");
    }
    assert_eq!(resources(), before);
}

#[test]
fn servers_of_the_testkit_leave_no_descriptor_and_no_child_either() {
    let _lock = lock();
    let before = resources();
    for _ in 0..5 {
        let mut stopped = Server::new(env!("CARGO_BIN_EXE_hello")).start();
        let dropped = Server::new(env!("CARGO_BIN_EXE_plain")).start();
        stopped.stop();
        drop((stopped, dropped));
    }
    assert_eq!(resources(), before);
}

/// With an async server and with a blocking one.
#[test]
fn clients_are_answered_by_its_workers() {
    let _lock = lock();
    for program in [env!("CARGO_BIN_EXE_hello"), env!("CARGO_BIN_EXE_plain")] {
        let prefork = Prefork::new().listen("127.0.0.1:0").workers(2);
        visit_all(prefork, program, |addr| get(addr, "/"));
    }
}

#[test]
fn clients_that_speak_tls_are_answered_by_its_workers() {
    let _lock = lock();
    let authority = Authority::new("the test's");
    let (client, pair) = (Client::new(&authority, &[]), authority.issue());
    let prefork = Prefork::new()
        .listen("tls://127.0.0.1:0")
        .workers(2)
        .tls_cert(pair.cert.into_bytes())
        .tls_key(pair.key.into_bytes());
    let program = env!("CARGO_BIN_EXE_tls");
    visit_all(prefork, program, |addr| client.get(addr, "/"));
}

/// Starts `program` as two workers, and stops after both have answered.
///
/// Each worker answers with its pid.
fn visit_all(
    prefork: Prefork,
    program: &'static str,
    visit: impl Fn(SocketAddr) -> io::Result<String>,
) {
    let prefork = prefork.child_producer(move |command| {
        command.program(program);
    });
    let master = prefork.start().expect("the master starts");
    let addr = master.listeners()[0].socket_addr().expect("an IP address");
    let mut answers = BTreeSet::new();
    eventually("an answer of each worker", || {
        answers.insert(visit(addr).expect("an answer"));
        (answers.len() == 2).then_some(())
    });
    master.stop();
    master.wait().expect("a requested stop");
}

#[test]
fn a_dropped_handle_stops_its_master_at_once() {
    let _lock = lock();
    let before = resources();
    drop(start(2));
    assert_eq!(resources(), before);
}

#[test]
fn a_test_that_panics_leaves_nothing() {
    let _lock = lock();
    let before = resources();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _master = start(2);
        panic!("the test fails here");
    }));
    assert!(result.is_err());
    assert_eq!(resources(), before);
}

#[test]
fn a_killed_child_is_replaced() {
    let _lock = lock();
    let master = start(1);
    let killed = proc::children(own_pid())[0];
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(killed),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("the child runs");
    eventually("another child", || {
        proc::children(own_pid())
            .first()
            .copied()
            .filter(|pid| *pid != killed)
    });
    master.stop();
    master.wait().expect("a requested stop");
}

#[test]
fn a_repeated_stop_changes_nothing_and_stop_now_is_immediate() {
    let _lock = lock();
    let master = start(1);
    master.stop();
    master.stop();
    master.stop_now();
    master.wait().expect("a requested stop");
}

#[test]
fn a_start_that_fails_returns_the_error_and_leaves_nothing() {
    let _lock = lock();
    let before = resources();
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("bound").to_string();
    let status = |prefork: Prefork| prefork.start().err().map(|error| error.exit_code());
    assert_eq!(status(Prefork::new().listen(taken)), Some(69));
    assert_eq!(status(Prefork::new().listen("nowhere")), Some(78));
    assert_eq!(status(Prefork::new().workers(0)), Some(78));
    drop(holder);
    assert_eq!(resources(), before);
}

/// A builder that counts the calls of its functions.
///
/// Its port is taken until the returned listener is dropped.
fn counting() -> (Prefork, TcpListener, Arc<Mutex<Vec<&'static str>>>) {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("bound").to_string();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let note = |call: &'static str| {
        let calls = Arc::clone(&calls);
        move || calls.lock().expect("it is not poisoned").push(call)
    };
    let (init, configure, produce) = (note("init"), note("configure"), note("producer"));
    let (spawned, ready, line) = (
        note("on_child_spawn"),
        note("on_master_ready"),
        note("logger"),
    );
    let prefork = Prefork::new()
        .listen(taken)
        .workers(1)
        .init(move |_| init())
        .configure(move |_| configure())
        .on_child_spawn(move |_| spawned())
        .on_master_ready(move |_| ready())
        .logger(move |_| line())
        .child_producer(move |command| {
            produce();
            command.program("/bin/sleep").arg("1000");
        });
    (prefork, holder, calls)
}

fn count(calls: &Mutex<Vec<&'static str>>, call: &str) -> usize {
    let calls = calls.lock().expect("it is not poisoned");
    calls.iter().filter(|other| **other == call).count()
}

#[test]
fn a_start_that_fails_can_be_tried_again_with_another_builder() {
    let _lock = lock();
    let before = resources();
    let (prefork, holder, calls) = counting();
    let error = prefork.start().expect_err("the port is taken");
    assert_eq!(error.exit_code(), 69);
    assert_eq!(count(&calls, "producer"), 0);
    drop(holder);
    let (prefork, holder, calls) = counting();
    drop(holder);
    let master = prefork.start().expect("the port is free");
    eventually("the announcement", || {
        (count(&calls, "on_master_ready") == 1).then_some(())
    });
    master.stop();
    master.wait().expect("a requested stop");
    for call in ["init", "configure", "producer", "on_child_spawn"] {
        assert_eq!(count(&calls, call), 1, "{call}");
    }
    assert!(count(&calls, "logger") > 0);
    assert_eq!(resources(), before);
}

#[test]
fn a_run_after_a_start_that_failed_has_the_functions_too() {
    let _lock = lock();
    let mut server = Server::new(env!("CARGO_BIN_EXE_builder"))
        .keep_listen()
        .arg("retry")
        .start();
    server.wait_for_log(|line| line == "spawned 0");
    let log = server.log();
    assert!(
        log.iter().any(|line| line.starts_with("not started: ")),
        "{log:?}"
    );
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn nothing_starts_without_an_init_that_failed() {
    let _lock = lock();
    let prefork = Prefork::new().workers(1).init(|_| Err("no disk"));
    let error = prefork.start().expect_err("init fails");
    assert!(error.to_string().starts_with("init failed"), "{error}");
    assert_eq!(error.exit_code(), 70);
}

#[test]
fn a_producer_that_refuses_ends_the_master_with_its_reason() {
    let _lock = lock();
    let before = resources();
    let prefork = Prefork::new()
        .workers(2)
        .child_producer(|_| Err("not today"));
    let error = prefork
        .start()
        .expect("the master starts")
        .wait()
        .expect_err("the producer returns an error");
    assert_eq!(error.exit_code(), 70);
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("not today"));
    assert_eq!(resources(), before);
}

#[test]
fn a_missing_program_ends_the_master_with_its_path() {
    let _lock = lock();
    let prefork = Prefork::new().workers(2).child_producer(|command| {
        command.program("/no/such/program");
        Ok::<_, std::convert::Infallible>(())
    });
    let error = prefork
        .start()
        .expect("the master starts")
        .wait()
        .expect_err("there is no such program");
    assert_eq!(error.exit_code(), 72);
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}
