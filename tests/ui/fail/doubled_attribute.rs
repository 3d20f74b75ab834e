#[prefork::main(workers = 4)]
#[prefork::main(listen = "127.0.0.1:0")]
fn main() {}

mod around_another {
    #[prefork::main]
    #[tokio::main]
    #[prefork::main]
    async fn main() {}
}
