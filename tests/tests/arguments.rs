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
fn argument_types_of_the_program_are_created_in_the_worker() {
    let mut server = Server::new(ARGUMENTS).start();
    assert_eq!(answer(&server), "nothing; nothing\n");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_body_that_takes_a_result_gets_the_error_and_its_source() {
    let server = Server::new(ARGUMENTS)
        .env("welcome_text", "/nowhere")
        .start();
    assert_eq!(
        answer(&server),
        "nothing; cannot read the file in welcome_text, true\n"
    );
}

#[test]
fn an_argument_that_cannot_be_created_ends_the_worker_with_name_and_cause() {
    let mut server = Server::new(ARGUMENTS)
        .env("needed_text", "/nowhere")
        .env("PREFORK_RECOVER_THRESHOLD", "0")
        .spawn();
    server.wait_for_log(|line| {
        line.contains(
            "cannot create argument 'needed_text' of main: cannot read the file in needed_text: \
             No such file or directory",
        )
    });
    assert_eq!(server.wait().code(), Some(75));
}

#[test]
fn with_a_ready_argument_accepting_does_not_make_the_worker_ready() {
    let server = Server::new(ARGUMENTS)
        .env("NOT_READY", "1")
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
