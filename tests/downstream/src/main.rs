//! A server as a stranger writes one.

#[prefork::main(listen = "127.0.0.1:8080", workers = 2)]
fn main(listener: prefork::net::Listener) -> std::io::Result<()> {
    prefork_downstream::greet(&listener).map(drop)
}
