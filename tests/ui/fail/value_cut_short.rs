#[prefork::main(workers = 2 +, recover_threshold = if)]
fn main() {}
