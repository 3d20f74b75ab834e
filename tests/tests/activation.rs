//! Socket activation: sockets that another process opened are taken instead of binding.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use prefork_testkit::{Output, RunningServer, Server, Signal, eventually};
use prefork_tests::client::get;
use prefork_tests::proc;

const ACTIVATOR: &str = env!("CARGO_BIN_EXE_activator");
const DATAGRAMS: &str = env!("CARGO_BIN_EXE_datagrams");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const RAW_UNIX: &str = env!("CARGO_BIN_EXE_raw_unix");
const TWO_LISTENERS: &str = env!("CARGO_BIN_EXE_two_listeners");

/// A limit that keeps a failing test from hanging. No test asserts it.
const LIMIT: Duration = Duration::from_secs(30);

/// A server that listens at these addresses and gets these sockets.
fn activated(program: &str, listen: &str, sockets: &[&str]) -> Server {
    let wrapper = [&[ACTIVATOR], sockets, &["--"]].concat();
    Server::new(program).listen(listen).wrapper(wrapper)
}

#[test]
fn a_listener_takes_the_socket_with_its_name() {
    // Nothing can be bound at this address, because the option is not used.
    let listen = "listener=192.0.2.1:80";
    let mut server = activated(HELLO, listen, &["listener=tcp:127.0.0.1:0"]).start();
    let addr = server.addr();
    assert_eq!(addr.ip().to_string(), "127.0.0.1");
    for _ in 0..3 {
        assert!(get(addr, "/").is_ok());
    }
    let killed = server.kill_child(0);
    server.wait_for_replacement(killed);
    assert!(get(addr, "/").is_ok());
    server.signal(Signal::SIGHUP);
    server.wait_for_log(|line| line.contains("rollout accepted"));
    assert!(get(addr, "/").is_ok());
    // A worker has it once, and knows it by this name.
    let worker = server.child(0).expect("a worker");
    assert_eq!(
        proc::variable(worker.pid, "LISTEN_FDS"),
        Some("1".to_owned())
    );
    assert_eq!(server.stop().code(), Some(0), "{:?}", server.final_log());
}

#[test]
fn a_listener_takes_the_socket_at_its_address() {
    let sockets = ["unknown=tcp:127.0.0.1:0", "unknown=tcp:127.0.0.1:0"];
    let server = activated(TWO_LISTENERS, "http={1},admin={0}", &sockets).start();
    let text = |name| get(server.addr_of(name), "/").expect("an answer");
    assert!(text("http").ends_with("http\n"));
    assert!(text("admin").ends_with("admin\n"));
}

#[test]
fn sockets_with_one_name_are_distinguished_by_their_addresses() {
    let sockets = ["http=tcp:127.0.0.1:0", "http=tcp:127.0.0.1:0"];
    let server = activated(TWO_LISTENERS, "http={1},admin={0}", &sockets).start();
    assert!(
        get(server.addr_of("http"), "/")
            .expect("an answer")
            .ends_with("http\n")
    );
}

#[test]
fn sockets_with_one_name_that_are_at_no_address_of_the_list_are_one_listener() {
    let sockets = ["listener=tcp:127.0.0.1:0", "listener=tcp:127.0.0.2:0"];
    for workers in ["0", "2"] {
        let mut server = activated(HELLO, "listener=192.0.2.1:80", &sockets)
            .env("PREFORK_WORKERS", workers)
            .start();
        let addrs = server.listeners()[0].addresses().to_vec();
        assert_eq!(addrs.len(), 2);
        for addr in addrs.iter().filter_map(prefork::Addr::socket_addr) {
            assert!(get(addr, "/").is_ok());
        }
        assert_eq!(server.stop().code(), Some(0), "{:?}", server.final_log());
    }
}

#[test]
fn one_process_without_a_master_takes_the_socket_too() {
    let server = activated(
        HELLO,
        "listener=192.0.2.1:80",
        &["listener=tcp:127.0.0.1:0"],
    )
    .env("PREFORK_WORKERS", "0")
    .start();
    assert!(get(server.addr(), "/").is_ok());
}

#[test]
fn a_unix_socket_and_its_file_stay_with_the_one_who_opened_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.sock");
    let socket = format!("unknown=unix:{}", path.display());
    let mut server = activated(RAW_UNIX, "{0}", &[&socket]).start();
    let mut line = String::new();
    let mut client = UnixStream::connect(&path).expect("the socket listens");
    client.read_to_string(&mut line).expect("a line");
    assert_eq!(line, "raw\n");
    assert_eq!(server.stop().code(), Some(0));
    assert!(path.exists());
}

#[test]
fn a_datagram_socket_is_taken_by_its_name() {
    let server = activated(
        DATAGRAMS,
        "socket=udp://192.0.2.1:53",
        &["socket=udp:127.0.0.1:0"],
    )
    .start();
    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    client.set_read_timeout(Some(LIMIT)).expect("a socket");
    client
        .send_to(b"x", server.addr())
        .expect("the socket exists");
    let mut answer = [0; 16];
    let length = client.recv(&mut answer).expect("an answer");
    assert!(answer[..length].ends_with(b" x"));
}

/// systemd keeps a copy of each socket that it passes, and connections wait in its queue.
#[test]
fn a_stop_leaves_the_socket_open_for_its_other_owner() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let copy = listener.try_clone().expect("a descriptor");
    let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&0 0</dev/null; exec \"$@\"";
    let mut server = Server::new(HELLO)
        .listen(addr.to_string())
        .stdin(OwnedFd::from(copy))
        .wrapper(["sh", "-c", script, "sh"])
        .start();
    assert!(get(addr, "/").is_ok());
    assert_eq!(server.stop().code(), Some(0));
    TcpStream::connect(addr).expect("the copy listens");
    listener.accept().expect("the connection waits");
}

#[test]
fn a_left_over_socket_is_closed_with_one_warning() {
    let sockets = [
        "listener=tcp:127.0.0.1:0",
        "old=tcp:127.0.0.1:0",
        "dns=udp:127.0.0.1:0",
    ];
    let server = activated(HELLO, "listener=192.0.2.1:80", &sockets).start();
    let line = server.wait_for_log(|line| line.contains("no listener uses"));
    let (_, described) = line.split_once("no listener uses: ").expect("the sockets");
    let (old, dns) = described.split_once("; ").expect("two sockets");
    let addr = old.strip_prefix("fd 4, named 'old', at ").expect(old);
    let addr: SocketAddr = addr.parse().expect("an address");
    assert!(dns.starts_with("fd 5, named 'dns', at 127.0.0.1:"), "{dns}");
    assert!(TcpStream::connect(addr).is_err(), "it is closed");
    assert!(get(server.addr(), "/").is_ok());
}

#[test]
fn a_listener_without_a_passed_socket_is_bound() {
    let sockets = ["http=tcp:127.0.0.1:0"];
    let listen = "http=192.0.2.1:80,admin=127.0.0.1:0";
    let server = activated(TWO_LISTENERS, listen, &sockets).start();
    assert!(
        get(server.addr_of("admin"), "/")
            .expect("an answer")
            .ends_with("admin\n")
    );
    assert!(
        get(server.addr_of("http"), "/")
            .expect("an answer")
            .ends_with("http\n")
    );
}

fn assert_fails(output: &Output, code: i32, expected: &str) {
    let text = output.text();
    assert_eq!(output.code(), Some(code), "{text}");
    assert!(text.contains(expected), "expected '{expected}' in: {text}");
    assert!(!text.contains("listening on"), "{text}");
}

#[test]
fn unusable_sockets_are_one_error_before_anything_is_bound() {
    let run = |sockets: &[&str]| activated(PLAIN, "listener=127.0.0.1:0", sockets).run();
    assert_fails(
        &run(&["web=tcp:127.0.0.1:0"]),
        78,
        "listener 'listener=127.0.0.1:0' has no passed socket, and no listener has the name or the \
         address of fd 3, named 'web', at 127.0.0.1:",
    );
    assert_fails(
        &run(&["listener=idle:127.0.0.1:0"]),
        69,
        "listener 'listener': cannot use fd:3: not a listening socket",
    );
    assert_fails(
        &run(&["listener=udp:127.0.0.1:0"]),
        69,
        "listener 'listener': cannot use fd:3: not a stream socket",
    );
    let with = |variable: &str, value: &str| {
        let server = activated(PLAIN, "listener=127.0.0.1:0", &["listener=tcp:127.0.0.1:0"]);
        server.env(variable, value).run()
    };
    let too_many = activated(PLAIN, "listener=127.0.0.1:0", &["listener=tcp:127.0.0.1:0"])
        .env("COUNT", "2")
        .env("NAMES", "listener:admin")
        .run();
    assert_fails(
        &too_many,
        78,
        "LISTEN_FDS announces fd 4, which is not open",
    );
    let two = activated(
        DATAGRAMS,
        "socket=udp://192.0.2.1:53",
        &["socket=udp:127.0.0.1:0", "socket=udp:127.0.0.2:0"],
    )
    .run();
    assert_fails(&two, 78, "has 2 addresses (127.0.0.1:");
    assert_fails(&with("COUNT", "-1"), 78, "LISTEN_FDS is '-1'");
    assert_fails(&with("COUNT", "many"), 78, "LISTEN_FDS is 'many'");
    assert_fails(
        &with("NAMES", "listener:admin"),
        78,
        "LISTEN_FDNAMES has 2 names for 1 descriptors",
    );
    let stream = activated(
        DATAGRAMS,
        "socket=udp://127.0.0.1:0",
        &["socket=tcp:127.0.0.1:0"],
    )
    .run();
    assert_fails(
        &stream,
        69,
        "listener 'socket': cannot use fd:3: not a datagram socket",
    );
}

#[test]
fn the_explanation_shows_which_socket_a_listener_uses() {
    let output = activated(
        PLAIN,
        "listener=192.0.2.1:80",
        &["listener=tcp:127.0.0.1:0"],
    )
    .env("PREFORK_EXPLAIN", "1")
    .run();
    let text = output.text();
    assert_eq!(output.code(), Some(0), "{text}");
    assert!(text.contains("(fd 3 of socket activation)"), "{text}");
}

/// The program of systemd that passes sockets. It starts the server at the first connection.
#[test]
fn systemd_socket_activate_passes_a_socket() {
    let program = "systemd-socket-activate";
    let version = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !version.is_ok_and(|status| status.success()) {
        println!("skipped: needs {program}");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("app.sock");
    let listen = format!("--listen={}", path.display());
    let server: RunningServer = Server::new(RAW_UNIX)
        .listen("listener=unix:@never-bound")
        .wrapper([
            program,
            &listen,
            "--fdname=listener",
            "-E",
            "PREFORK_LISTEN",
        ])
        .spawn();
    let client = eventually("the socket", || UnixStream::connect(&path).ok());
    let mut line = String::new();
    let mut client = client;
    client.set_read_timeout(Some(LIMIT)).expect("a socket");
    client.read_to_string(&mut line).expect("a line");
    assert_eq!(line, "raw\n");
    server.wait_for_log(|line| line.contains("listening on"));
}
