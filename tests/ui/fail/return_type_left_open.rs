#[prefork::main]
fn main() -> _ {}
