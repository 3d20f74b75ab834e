//! The attribute of a runtime above expands first, to a plain function.

#[tokio::main(flavor = "current_thread")]
#[prefork::main(workers = 0)]
async fn main() -> std::io::Result<()> {
    tokio::spawn(async {}).await?;
    Ok(())
}
