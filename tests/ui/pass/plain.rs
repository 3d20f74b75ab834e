//! The shortest form of a program.

#[prefork::main(workers = 0, recover_threshold = 8)]
fn main() {}
