#[prefork::main(workers, listen =, crate)]
fn main() {}
