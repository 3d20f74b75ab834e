//! Two versions of tokio in one build: two types have the same name.

#[prefork::main(listen = "127.0.0.1:0")]
async fn main(_listener: other_tokio::net::TcpListener) {}
