#[prefork::main]
struct Server;

fn main() {}
