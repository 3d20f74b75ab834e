//! After a graceful stop the port is free, even if another process holds a copy of the listener.

use prefork_testkit::Server;
use prefork_tests::client::get;
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const LISTENER_COPY: &str = env!("CARGO_BIN_EXE_listener_copy");

#[test]
fn a_helper_with_a_copy_of_the_listener_does_not_keep_the_port() {
    for reuseport in ["false", "true"] {
        let mut server = Server::new(LISTENER_COPY)
            .env("PREFORK_REUSEPORT", reuseport)
            .start();
        let addr = server.addr();
        let line = server.wait_for_log(|line| line.starts_with("helper "));
        let helper = line.trim_start_matches("helper ").parse().expect("a pid");
        assert_eq!(server.stop().code(), Some(0));
        assert!(proc::is_alive(helper), "the helper has the copy");

        let mut second = Server::new(HELLO)
            .listen(addr.to_string())
            .env("PREFORK_REUSEPORT", reuseport)
            .start();
        get(second.addr(), "/").expect("an answer");
        assert_eq!(second.stop().code(), Some(0));
        assert!(proc::is_alive(helper), "the helper still has the copy");
    }
}
