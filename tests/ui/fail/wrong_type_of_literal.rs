#[prefork::main(
    listen = 8080,
    workers = true,
    recover_threshold = ["8"],
    shutdown_grace_period = 0.5,
    crate = 'p',
    runtime = |future| block_on(future),
)]
fn main() {}

mod other {
    #[prefork::main(
        listen = ["127.0.0.1:0", 8080],
        network = (4, 6),
        reuseport = "true",
        workers = 1..4,
        recover_threshold = b'8',
        recover_window = b"1m",
        recover_interval = c"1s",
        logger = "stderr",
        crate = "no path",
        runtime = runtime(),
    )]
    fn main() {}
}

mod of_other_kinds {
    #[prefork::main(reuseport = 1.5, runtime_threads = true, ready_timeout = -5)]
    async fn main() {}
}

mod of_another_flag {
    #[prefork::main(nodelay = 1)]
    async fn main() {}
}
