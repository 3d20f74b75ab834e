//! The runtime's attribute expands first and leaves us a plain function.

#[tokio::main(flavor = "current_thread")]
#[prefork::main(workers = 0)]
async fn main() -> std::io::Result<()> {
    tokio::spawn(async {}).await?;
    Ok(())
}
