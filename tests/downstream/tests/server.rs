//! The server as a separate process.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};

use prefork_testkit::{Server, reserve_addr};

const SERVER: &str = env!("CARGO_BIN_EXE_prefork-downstream");

fn greeting(addr: SocketAddr) -> String {
    let mut text = String::new();
    let mut client = TcpStream::connect(addr).expect("the server listens");
    client
        .read_to_string(&mut text)
        .expect("the server sends a greeting");
    text
}

#[test]
fn a_killed_worker_is_replaced_and_the_server_stops_when_asked() {
    let mut server = Server::new(SERVER).start();
    let children = server.wait_for_children(2);
    let killed = server.kill_child(0);
    let replacement = server.wait_for_replacement(killed);
    assert_eq!(replacement.slot, 0);
    assert!(greeting(server.addr()).starts_with("hello from "));
    assert!(children.contains(&killed));
    assert!(server.stop().success());
    let log = server.final_log().join("\n");
    assert!(log.contains("was killed by SIGKILL"), "{log}");
}

#[test]
fn a_server_that_must_know_its_address_before_gets_a_reserved_one() {
    let free = reserve_addr();
    let server = Server::new(SERVER).listen(free.to_string()).start();
    assert_eq!(server.addr(), free.addr());
    for _ in 0..100 {
        assert!(greeting(free.addr()).starts_with("hello from "));
    }
}

#[test]
fn a_server_that_does_not_start_reports_the_reason() {
    let output = Server::new(SERVER).env("PREFORK_WORKERS", "many").run();
    assert_eq!(output.code(), Some(78), "{}", output.text());
    assert!(
        output.text().contains("PREFORK_WORKERS"),
        "{}",
        output.text()
    );
}
