#[prefork::main(workers = WORKERS, crate = nowhere)]
fn main() {}
