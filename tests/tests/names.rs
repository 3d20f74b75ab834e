//! `ps -o comm` shows the program and the role of each process.

use std::fs;
use std::os::unix::fs::symlink;

use prefork::Prefork;
use prefork_testkit::{RunningServer, Server, eventually};
use prefork_tests::client::get;
use prefork_tests::proc;

const BUILDER: &str = env!("CARGO_BIN_EXE_builder");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");

/// Waits until the worker in slot 1 has its name; returns the names of the master and the worker.
fn names(server: &RunningServer) -> (String, String) {
    server.wait_for_children(2);
    let worker = server.child(1).expect("both workers run");
    let name = |pid| proc::name(pid).expect("the process runs");
    eventually("the worker's name", || {
        name(worker.pid).contains("worker").then_some(())
    });
    (name(server.master_pid()), name(worker.pid))
}

fn pair(master: &str, worker: &str) -> (String, String) {
    (master.to_owned(), worker.to_owned())
}

#[test]
fn master_and_workers_have_different_names_and_keep_their_arguments() {
    let server = Server::new(HELLO)
        .arg("--an=argument")
        .env("PREFORK_WORKERS", "2")
        .start();
    assert_eq!(names(&server), pair("hello master", "hello worker 1"));

    let worker = server.child(1).expect("the worker runs").pid;
    for pid in [server.master_pid(), worker] {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).expect("the process runs");
        assert!(arguments.ends_with(b"hello\0--an=argument\0"));
    }
}

#[test]
fn a_long_name_of_a_program_is_shortened() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("my-server-of-pages");
    symlink(HELLO, &program).expect("the test owns the folder");
    let server = Server::new(program).env("PREFORK_WORKERS", "2").start();
    assert_eq!(names(&server), pair("my-serve master", "my-ser worker 1"));
}

#[test]
fn a_replacement_gets_the_name_of_its_slot() {
    let server = Server::new(HELLO).env("PREFORK_WORKERS", "2").start();
    names(&server);
    let killed = server.kill_child(1);
    server.wait_for_replacement(killed);
    assert_eq!(names(&server), pair("hello master", "hello worker 1"));
}

#[test]
fn a_single_process_keeps_its_plain_name() {
    let server = Server::new(HELLO).env("PREFORK_WORKERS", "0").start();
    get(server.addr(), "/").expect("an answer");
    assert_eq!(proc::name(server.master_pid()).as_deref(), Some("hello"));
}

#[test]
fn a_builder_without_handle_signals_does_not_rename_the_process() {
    for (argument, name) in [("", "builder master"), ("leave_signals", "builder")] {
        let server = Server::new(BUILDER).arg(argument).spawn();
        server.wait_for_children(1);
        eventually("the master's name", || {
            (proc::name(server.master_pid())? == name).then_some(())
        });
    }
}

#[test]
fn a_master_inside_another_program_does_not_rename_the_process() {
    let own = i32::try_from(std::process::id()).expect("a pid fits in an i32");
    let before = proc::name(own).expect("the process runs");
    let prefork = Prefork::new().workers(1).child_producer(|command| {
        command.program("/bin/sleep").arg("1000");
    });
    let handle = prefork.start().expect("the master starts");
    eventually("its child", || proc::children(own).first().copied());
    assert_eq!(proc::name(own).expect("the process runs"), before);
    handle.stop();
    handle.wait().expect("the master was asked to stop");
}
