//! The attribute of a runtime keeps its arguments.

#[prefork::main(workers = 0, listen = "127.0.0.1:0")]
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main(_listener: prefork::net::Listener) -> std::io::Result<()> {
    tokio::spawn(async {}).await?;
    Ok(())
}
