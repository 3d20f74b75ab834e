//! The current-thread runtime of prefork, which a handler can stall.

use prefork::net::Listener;

#[prefork::main(workers = 1)]
async fn main(listener: Listener) -> std::io::Result<()> {
    prefork_tests::stalling::serve(listener).await
}
