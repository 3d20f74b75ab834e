#[prefork::main]
fn main(_listener: Listner) {}
