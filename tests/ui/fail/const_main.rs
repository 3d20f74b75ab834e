#[prefork::main]
const fn main() {}
