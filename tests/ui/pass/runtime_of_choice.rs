//! A runtime that the program itself defines.

#[prefork::main(workers = 0, runtime = crate::block_on)]
async fn main() -> std::io::Result<()> {
    tokio::task::yield_now().await;
    Ok(())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new()
        .expect("threads can be started")
        .block_on(future)
}
