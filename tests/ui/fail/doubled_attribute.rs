#[prefork::main(workers = 4)]
#[prefork::main(listen = "127.0.0.1:0")]
fn main() {}
