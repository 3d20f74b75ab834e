//! Reserved addresses, and servers that listen on them.

use std::net::SocketAddr;

use prefork_testkit::{Reservation, Server, reserve_addr, reserve_port};
use prefork_tests::client;

use crate::lock;

/// A server on an address that is still reserved.
fn serve_reserved(free: &Reservation, reuseport: &str) -> usize {
    let addr = SocketAddr::from(([127, 0, 0, 1], free.port()));
    let mut server = Server::new(env!("CARGO_BIN_EXE_hello"))
        .listen(free.to_string())
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_REUSEPORT", reuseport)
        .start();
    let answers = (0..500).filter(|_| client::get(addr, "/").is_ok()).count();
    assert!(server.stop().success());
    answers
}

#[test]
fn no_connection_to_a_reserved_address_misses_the_server() {
    let _lock = lock();
    for reuseport in ["false", "true"] {
        assert_eq!(serve_reserved(&reserve_addr(), reuseport), 500);
        assert_eq!(serve_reserved(&reserve_port(), reuseport), 500);
    }
}
