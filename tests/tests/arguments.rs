//! Arguments of `main` other than listeners: the user's own types, their errors, and `Ready`.

use prefork_testkit::{RunningServer, Server, Signal};
use prefork_tests::client::get;
use prefork_tests::proc;

const ARGUMENTS: &str = env!("CARGO_BIN_EXE_arguments");
const OWN_STOP: &str = env!("CARGO_BIN_EXE_own_stop");

fn answer(server: &RunningServer) -> String {
    get(server.addr(), "/").expect("an answer")
}

#[test]
fn types_of_ones_own_are_made_in_the_worker() {
    let mut server = Server::new(ARGUMENTS).start();
    assert_eq!(answer(&server), "nothing; nothing\n");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_body_that_takes_a_result_is_told_what_failed_and_why() {
    let server = Server::new(ARGUMENTS)
        .env("welcome_text", "/nowhere")
        .start();
    assert_eq!(
        answer(&server),
        "nothing; cannot read what welcome_text tells, true\n"
    );
}

#[test]
fn an_argument_that_cannot_be_made_ends_the_worker_with_name_and_cause() {
    let mut server = Server::new(ARGUMENTS)
        .env("needed_text", "/nowhere")
        .env("PREFORK_RECOVER_THRESHOLD", "0")
        .spawn();
    server.wait_for_log(|line| {
        line.contains(
            "cannot create argument 'needed_text' of main: cannot read what needed_text tells: \
             No such file or directory",
        )
    });
    assert_eq!(server.wait().code(), Some(75));
}

#[test]
fn who_takes_ready_is_not_ready_by_accepting() {
    let server = Server::new(ARGUMENTS)
        .env("SAY_NOTHING", "1")
        .env("PREFORK_READY_TIMEOUT", "1s")
        .start_unready();
    assert_eq!(answer(&server), "nothing; nothing\n");
    server.wait_for_log(|line| line.contains("not ready"));
}

#[test]
fn a_type_that_asks_for_the_stop_makes_the_worker_take_sigterm() {
    let mut server = Server::new(OWN_STOP).start();
    server.wait_for_log(|line| line == "asked");
    let child = server.child(0).expect("the worker has logged a line");
    let caught = proc::signals(child.pid, "SigCgt").expect("the worker runs");
    assert_ne!(caught & 1 << (Signal::SIGTERM as i32 - 1), 0);
    assert_eq!(server.stop().code(), Some(0));
    server.wait_for_log(|line| line == "left");
}
