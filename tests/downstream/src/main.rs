//! A server as a user of prefork writes it.

#[prefork::main(listen = "127.0.0.1:8080", workers = 2)]
fn main(listener: prefork::net::Listener) -> std::io::Result<()> {
    prefork_downstream::greet(&listener).map(drop)
}
