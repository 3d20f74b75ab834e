//! An `async fn` on the runtime of the feature `tokio`.

#[prefork::main(workers = 0, listen = "127.0.0.1:0")]
async fn main(_listener: prefork::net::Listener) -> Result<(), Box<dyn std::error::Error>> {
    tokio::task::yield_now().await;
    Ok(())
}
