#[prefork::main(listen = [])]
fn main() {}
