//! Workers that become ready when the file at the path in `READY_FILE` exists.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use prefork::{Ready, Worker};
use prefork_tests::READY;

#[prefork::main(workers = 2)]
fn main(worker: Worker, ready: Ready) {
    let path = PathBuf::from(std::env::var_os("READY_FILE").expect("the test sets it"));
    while !path.exists() {
        thread::sleep(Duration::from_millis(5));
    }
    ready.notify_ready();
    println!("{READY}");
    worker.shutdown().blocking_wait();
}
