//! The multi-thread runtime of prefork: a task may block while another one runs.

use std::sync::mpsc;

#[prefork::main(workers = 0, runtime_threads = 1 + 1)]
async fn main() {
    let (sender, receiver) = mpsc::channel();
    let waiting = tokio::spawn(async move { receiver.recv() });
    tokio::spawn(async move { sender.send(()) })
        .await
        .expect("it cannot panic")
        .expect("a receiver");
    let received = waiting.await.expect("it cannot panic");
    received.expect("it was sent");
}

#[prefork::main(runtime_threads = std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN))]
#[expect(dead_code, reason = "the test is about the value")]
async fn as_many_as_cpus() {}
