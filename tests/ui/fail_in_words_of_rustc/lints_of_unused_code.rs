//! Lints about unused and undocumented functions are reported at the user's tokens.

#![deny(dead_code, missing_docs, unreachable_pub)]

#[prefork::main]
fn main() {
    fn never_called_here() {}
}

#[prefork::main(workers = 2)]
fn never_called_here_either() {}

#[prefork::main]
pub async fn undocumented(_worker: prefork::Worker) {}

mod inside {
    #[prefork::main]
    pub fn unreachable() {}
}
