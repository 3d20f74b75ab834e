#[prefork::main]
async fn main() {}

mod renamed {
    use prefork as door;

    #[door::main(crate = door, listen = "127.0.0.1:0")]
    async fn main(_worker: door::Worker) -> std::io::Result<()> {
        Ok(())
    }
}
