//! The shortest form.

#[prefork::main(workers = 0, recover_threshold = 8)]
fn main() {}
