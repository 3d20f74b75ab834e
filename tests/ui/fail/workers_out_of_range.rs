#[prefork::main(workers = 10001)]
fn main() {}

mod other {
    #[prefork::main(workers = "many")]
    fn main() {}
}

mod negative {
    #[prefork::main(workers = -2, runtime_threads = -1_0)]
    async fn main() {}
}
