#[prefork::main(worker = 4, colour = "red")]
fn main() {}
