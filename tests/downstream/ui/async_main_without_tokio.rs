#[prefork::main]
async fn main() {}

mod renamed {
    use prefork as fork;

    #[fork::main(crate = fork, listen = "127.0.0.1:0")]
    async fn main(_worker: fork::Worker) -> std::io::Result<()> {
        Ok(())
    }
}
