//! Only a master sets the variables that make a process a worker. If they are set by hand and do
//! not match the descriptors, the process rejects them. A worker cannot start a master.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use prefork_testkit::{Output, Server};

const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const ODD: &str = env!("CARGO_BIN_EXE_odd");

fn assert_refused(case: &str, output: &Output, named: &str) {
    assert_eq!(output.code(), Some(76), "{case}: {:?}", output.log);
    let [line] = output.log.as_slice() else {
        panic!("{case}: not one line: {:?}", output.log);
    };
    assert!(line.contains(named), "{case}: no '{named}' in: {line}");
}

#[test]
fn a_malformed_role_is_refused() {
    for value in [
        "",
        "yes",
        "1",
        "1:0:1",
        "1:-1:1:4",
        "1:0:1:4:5",
        "1:0:1:x",
        "1:0:1:99999999999",
    ] {
        let output = Server::new(PLAIN).env("PREFORK_CHILD", value).run();
        assert_refused(value, &output, "PREFORK_CHILD");
    }
}

#[test]
fn a_role_of_another_protocol_is_refused() {
    let output = Server::new(PLAIN).env("PREFORK_CHILD", "2:0:1:4").run();
    assert_refused("protocol", &output, "protocol 2");
}

#[test]
fn a_role_without_the_other_variables_is_refused() {
    let role = || Server::new(PLAIN).env("PREFORK_CHILD", "1:0:1:4");
    let role = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .fold(role(), |server, (name, value)| server.env(name, value))
    };
    assert_refused("no other variable", &role(&[]).run(), "LISTEN_PID");
    let server = role(&[("LISTEN_PID", "yes"), ("LISTEN_FDS", "1")]);
    assert_refused("no number", &server.run(), "LISTEN_PID");
}

/// A shell that prepares descriptors and then becomes the server.
///
/// `LISTEN_PID` is its own pid. The test can pass a socket as its stdin.
fn by_hand(prepare: &str) -> Server {
    let script = format!("export LISTEN_PID=$$; {prepare}; exec \"$@\"");
    Server::new(PLAIN)
        .env("PREFORK_CHILD", "1:0:1:4")
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "http")
        .env("PREFORK_ADDRS", "http=127.0.0.1:1")
        .wrapper(["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()])
}

#[test]
fn variables_that_contradict_each_other_are_refused() {
    let cases = [
        ("LISTEN_FDS", "2"),
        ("LISTEN_FDS", "many"),
        ("PREFORK_ADDRS", "http"),
        ("PREFORK_ADDRS", "http=nowhere"),
    ];
    for (name, value) in cases {
        let output = by_hand("exec 3<&0").env(name, value).run();
        assert_refused(value, &output, name);
    }
}

#[test]
fn descriptors_that_are_no_listeners_are_refused_by_name_and_number() {
    let cases = [
        ("exec 3<&-", "listener 'http' (fd 3): not open"),
        ("exec 3</dev/null", "listener 'http' (fd 3): not a socket"),
    ];
    for (prepare, named) in cases {
        assert_refused(prepare, &by_hand(prepare).run(), named);
    }
}

#[test]
fn sockets_that_are_not_the_announced_listener_are_refused() {
    let unix = std::os::unix::net::UnixStream::pair()
        .expect("descriptors")
        .0;
    let datagram = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("bound").to_string();
    let cases: [(&str, OwnedFd, &str); 3] = [
        ("unix", unix.into(), "not a listening socket"),
        ("datagram", datagram.into(), "not a stream socket"),
        ("another address", other.into(), &address),
    ];
    for (case, socket, named) in cases {
        let output = by_hand("exec 3<&0").stdin(socket).run();
        assert_refused(case, &output, named);
        assert_refused(case, &output, "listener 'http' (fd 3)");
    }
}

#[test]
fn an_invalid_channel_is_refused() {
    let cases = [
        (
            "exec 3<&0 4<&-",
            "1:0:1:4",
            "the channel (fd 4) is not open",
        ),
        (
            "exec 3<&0 4</dev/null",
            "1:0:1:4",
            "the channel (fd 4) is not a socket",
        ),
        (
            "exec 3<&0 4<&0",
            "1:0:1:4",
            "the channel (fd 4) is not a SOCK_SEQPACKET socket",
        ),
        ("exec 3<&0", "1:0:1:3", "fd 3"),
        ("exec 3<&0", "1:0:1:7", "fd 7"),
        ("exec 3<&0", "1:0:1:-1", "fd -1"),
    ];
    for (prepare, role, named) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let output = by_hand(prepare)
            .env("PREFORK_CHILD", role)
            .env("PREFORK_ADDRS", format!("http={address}"))
            .stdin(listener)
            .run();
        assert_refused(prepare, &output, named);
    }
}

#[test]
fn a_worker_starts_no_masters() {
    for behavior in ["second_run", "start"] {
        let mut server = Server::new(ODD).arg(behavior).start();
        let line = server.wait_for_log(|line| line.contains("refused"));
        assert!(line.starts_with("refused with status 70: "), "{line}");
        assert_eq!(server.children().len(), 1);
        assert_eq!(server.processes().len(), 2);
        assert_eq!(server.stop().code(), Some(0));
    }
}
