//! A log that can take no more lines: the master serves on without it.

use std::fs;

use prefork_testkit::{Server, Signal, eventually, free_addr};
use prefork_tests::client::get;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");

#[test]
fn a_file_that_has_reached_its_limit_ends_neither_master_nor_workers() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let reserved = free_addr();
    let mut server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .env("LOG", &log)
        .listen(reserved.to_string())
        // The limit ends the first line in the middle.
        .through([
            "/bin/sh",
            "-c",
            "printf %0500d 0 > \"$LOG\"; ulimit -f 1; exec \"$@\" 2>> \"$LOG\"",
            "sh",
        ])
        .launch();
    let answers = || get(reserved.addr(), "/").ok();
    eventually("an answer", answers);
    let killed = server.kill_child(0);
    server.wait_for_successor(killed);
    eventually("an answer", answers);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(fs::metadata(&log).expect("it was made").len(), 512);
}
