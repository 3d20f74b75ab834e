#[prefork::main(listen = "127.0.0.1:0")]
fn main(_listener: prefork::net::Listener, _number: u32) {}
