//! A log file that has reached its size limit: the server keeps serving without a log.

use std::fs;

use prefork_testkit::{Server, Signal, eventually, reserve_addr};
use prefork_tests::client::get;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");

#[test]
fn a_file_that_has_reached_its_limit_ends_neither_master_nor_workers() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let reserved = reserve_addr();
    let mut server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .env("LOG", &log)
        .listen(reserved.to_string())
        // The file reaches the limit in the middle of the first line.
        .wrapper([
            "/bin/sh",
            "-c",
            "printf %0500d 0 > \"$LOG\"; ulimit -f 1; exec \"$@\" 2>> \"$LOG\"",
            "sh",
        ])
        .spawn();
    let answers = || get(reserved.addr(), "/").ok();
    eventually("an answer", answers);
    let killed = server.kill_child(0);
    server.wait_for_replacement(killed);
    eventually("an answer", answers);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(fs::metadata(&log).expect("it exists").len(), 512);
}
