//! Values are expressions, with the types of the builder's setters.

use std::time::Duration;

const THRESHOLD: u32 = 8;

#[prefork::main(
    listen = addresses(),
    workers = 2 - 2,
    recover_threshold = THRESHOLD * 2,
    shutdown_grace_period = Duration::from_secs(5),
)]
fn main() {}

fn addresses() -> String {
    "127.0.0.1:0".to_owned()
}
