#[prefork::main(workers(4), listen: "127.0.0.1:0")]
fn main() {}
