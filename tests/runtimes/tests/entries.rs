//! Each runtime runs the body with either order of the two attributes.

use std::io::{Read, Write};
use std::net::TcpStream;

use prefork_testkit::Server;

#[test]
fn actix_serves_what_the_master_listens_on() {
    let mut server = Server::new(env!("CARGO_BIN_EXE_actix_below")).start();
    server.wait_for_children(2);
    let mut client = TcpStream::connect(server.addr()).expect("the server listens");
    write!(client, "GET / HTTP/1.0\r\n\r\n").expect("the server reads the request");
    let mut answer = String::new();
    client
        .read_to_string(&mut answer)
        .expect("the server answers");
    assert!(answer.ends_with("hello from actix\n"), "{answer}");
    assert!(server.stop().success());
}

#[test]
fn what_the_body_returns_is_the_status_in_both_orders() {
    for program in [
        env!("CARGO_BIN_EXE_actix_above"),
        env!("CARGO_BIN_EXE_rocket_above"),
        env!("CARGO_BIN_EXE_rocket_below"),
    ] {
        let output = Server::new(program).run();
        assert_eq!(output.code(), Some(5), "{program}: {}", output.text());
    }
}
