//! A runtime of two threads, created by `#[tokio::main]`, which handlers can stall.

use prefork::net::Listener;

#[prefork::main(workers = 1)]
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main(listener: Listener) -> std::io::Result<()> {
    prefork_tests::stalling::serve(listener).await
}
