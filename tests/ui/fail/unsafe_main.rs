#[prefork::main]
unsafe fn main() {}
