#[prefork::main]
extern "C" fn main() {}
