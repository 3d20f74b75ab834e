#[prefork::main(listen = "127.0.0.1:0")]
fn main(_listener: Result<prefork::net::Listener, std::io::Error>) {}
