#[prefork::main(runtime_threads = 4)]
fn main() {}

mod below {
    #[prefork::main(runtime_threads = 4)]
    #[tokio::main]
    async fn main() {}
}

mod named {
    #[prefork::main(runtime_threads = 4, runtime = block_on)]
    async fn main() {}

    fn block_on<T>(_future: impl Future<Output = T>) -> T {
        std::process::abort()
    }
}

mod value {
    #[prefork::main(runtime_threads = 0)]
    async fn main() {}

    #[prefork::main(runtime_threads = "4")]
    async fn other() {}
}

mod names_of_others {
    #[prefork::main(worker_threads = 4, flavor = "multi_thread")]
    async fn main() {}
}
