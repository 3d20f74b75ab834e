#[prefork::main("127.0.0.1:0", 4)]
fn main() {}
