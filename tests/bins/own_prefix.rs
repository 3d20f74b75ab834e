//! A program with its own prefix for the variables of its operators.

use prefork::Worker;

#[prefork::main(env_prefix = "MYAPP", workers = 2, listen = "http=127.0.0.1:0")]
fn main(worker: Worker) {
    worker.notify_ready();
    worker.shutdown().blocking_wait();
}
