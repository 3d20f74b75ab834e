//! A worker is killed under load.

use std::time::Instant;

use prefork_testkit::Server;
use prefork_testkit::load::Load;

const SERVER: &str = env!("CARGO_BIN_EXE_http");

#[test]
fn the_exit_of_a_killed_worker_explains_every_failed_request() {
    let server = Server::new(SERVER).start();
    let load = Load::new(server.addr())
        .connections(8)
        .connection_per_request()
        .start();
    load.wait_for_answers(100);

    let before = Instant::now();
    let killed = server.kill_child(0);
    let replacement = server.wait_for_replacement(killed);
    let time = before..=Instant::now();

    load.wait_for_answer_by(replacement.pid);
    let report = load.stop();
    report.assert_only(|failed| failed.is_explained_by_exit(killed.pid, &time));
}

#[test]
fn no_request_fails_if_no_worker_is_killed() {
    let server = Server::new(SERVER).start();
    let report = Load::new(server.addr()).requests(1_000).run();
    report.assert_no_failures();
    let workers = server.children();
    let has_pid = |pid| workers.iter().any(|worker| worker.pid == pid);
    assert!(report.pids().into_iter().all(has_pid), "{report}");
}
