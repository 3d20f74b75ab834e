#[prefork::main(worker = 4, colour = "red", RecoverThreshold = 8)]
fn main() {}
