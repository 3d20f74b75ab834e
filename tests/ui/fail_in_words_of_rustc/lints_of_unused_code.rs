//! Who is never called, or has no docs, is told so, at the user's own tokens.

#![deny(dead_code, missing_docs, unreachable_pub)]

#[prefork::main]
fn main() {
    fn nobody_calls_this() {}
}

#[prefork::main(workers = 2)]
fn nobody_calls_this_either() {}

#[prefork::main]
pub async fn undocumented(_worker: prefork::Worker) {}

mod inside {
    #[prefork::main]
    pub fn unreachable() {}
}
