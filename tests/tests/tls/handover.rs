//! Workers get the certificates and the key only from the memory of their master.

use std::fs;

use prefork_testkit::Server;
use prefork_tests::proc;
use prefork_tests::tls::{Client, der};

use crate::secure::{Secure, TLS, read_all, replace};

const BUILDER: &str = env!("CARGO_BIN_EXE_tls_builder");
const MEMORY: &str = env!("CARGO_BIN_EXE_tls_memory");

/// P21 on real children: they show the certificate that the attribute got as bytes.
#[test]
fn a_certificate_that_is_a_part_of_the_program_is_shown_by_its_workers() {
    let pem = include_str!("../../bins/memory/cert.pem");
    let client = Client::trusting(pem, &["http/1.1"], None);
    let server = Server::new(MEMORY).listen("tls://127.0.0.1:0").start();
    for slot in 0..2 {
        let connection = client.connect(server.addr()).expect("a handshake");
        assert_eq!(
            connection.conn.alpn_protocol(),
            Some(b"http/1.1".as_slice())
        );
        let (text, shown) = read_all(connection);
        assert_eq!((text.as_str(), shown), ("from memory\n", der(pem)));
        replace(&server, slot);
    }
}

/// P21 with the builder. The program has deleted the files before the replacement starts.
#[test]
fn certificates_that_the_builder_got_as_bytes_reach_real_children() {
    let secure = Secure::new();
    let folder = secure.path().join("pair");
    fs::create_dir(&folder).expect("a temporary folder");
    let given = secure.authority.issue();
    given.write(&folder);
    fs::write(folder.join("ca.pem"), secure.authority.pem()).expect("a temporary folder");
    let server = Server::new(BUILDER)
        .listen("http=127.0.0.1:0,https=tls://127.0.0.1:0,other=tls://127.0.0.1:0")
        .env("PAIR", &folder)
        .env("PREFORK_WORKERS", "1")
        .start();
    let addr = server.addr_of("https");
    let own = secure.authority.issue();
    let client = Client::with(&secure.authority, &["h2"], Some(&own));
    replace(&server, 0);
    let (text, shown) = read_all(client.connect(addr).expect("a handshake"));
    assert!(text.starts_with("h2, 1 of the client\n"), "{text}");
    assert!(text.contains("listener 'other' uses TLS"), "{text}");
    assert_eq!(shown, given.der().to_vec());
    let answer = secure.client().get(addr, "/");
    answer.expect_err("the client has no certificate");
}

/// Only the master reads the files. Workers get the contents from memory.
#[test]
fn workers_need_no_right_to_read_the_files() {
    let secure = Secure::new();
    let server = secure.server(TLS, "1").start();
    for name in ["cert.pem", "key.pem"] {
        fs::remove_file(secure.path().join(name)).expect("the file exists");
    }
    replace(&server, 0);
    server.wait_for_log(|line| line.contains("no such file"));
    secure.client().get(server.addr(), "/").expect("an answer");
}

/// The worker closes its memory file after it was read. The master keeps the file for the next
/// worker.
#[test]
fn the_key_stays_in_the_workers() {
    let secure = Secure::new();
    let server = secure.server(TLS, "1").start();
    secure.client().get(server.addr(), "/").expect("an answer");
    let worker = server.wait_for_children(1)[0];
    let kept = memory_files(server.master_pid());
    assert_eq!(kept.len(), 1, "the file for the next worker: {kept:?}");
    assert_ne!(proc::sockets(worker.pid), [""; 0], "the files are listed");
    let left = memory_files(worker.pid);
    assert!(left.is_empty(), "the worker has closed it: {left:?}");
}

/// The memory files of a process, with the names that the kernel shows (`memfd_create(2)`).
fn memory_files(pid: i32) -> Vec<String> {
    let files = proc::fds(pid).into_iter();
    let names = files.map(|(_, target)| target.display().to_string());
    names.filter(|name| name.starts_with("/memfd:")).collect()
}

/// The master passes the certificates in a memory file, and the limit of file sizes applies to it.
/// If a process writes past the limit, the kernel kills it.
#[test]
fn a_limit_of_file_sizes_is_reported_before_the_kernel_kills_the_master() {
    let limited = ["sh", "-c", "ulimit -f 0; exec \"$@\"", "sh"];
    let output = Secure::new().server(TLS, "1").wrapper(limited).run();
    assert_eq!(output.status.code(), Some(72), "{:#?}", output.log);
    let log = output.log.join("\n");
    assert!(
        log.contains("limit of file sizes (0 bytes, `ulimit -f`)"),
        "{log}"
    );
}
