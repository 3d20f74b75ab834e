#[prefork::main(
    listen = 8080,
    workers = true,
    recover_threshold = ["8"],
    shutdown_grace_period = 0.5,
    crate = 'p',
    runtime = |future| block_on(future),
)]
fn main() {}
