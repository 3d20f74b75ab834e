#[prefork::main(
    workers = Some(4),
    recover_threshold = threshold(),
    shutdown_grace_period = vec![5],
)]
fn main() {}

fn threshold() -> i64 {
    8
}
