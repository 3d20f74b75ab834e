#[prefork::main(workers = 4 recover_threshold = 8)]
fn main() {}
