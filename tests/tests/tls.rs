//! TLS on real processes: certificates from the master, handshakes in workers, clients that are not ours to be nice.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use prefork_testkit::{Child, Running, Server, Signal, eventually};
use prefork_tests::client::{connect, who};
use prefork_tests::tls::{Authority, Client, Connection, Pair, answer, ask, der};
use rustls::HandshakeKind;
use tempfile::TempDir;

const TLS: &str = env!("CARGO_BIN_EXE_tls");
const HTTPS: &str = env!("CARGO_BIN_EXE_https");
const BY_HAND: &str = env!("CARGO_BIN_EXE_tls_by_hand");
const BUILDER: &str = env!("CARGO_BIN_EXE_tls_builder");
const MEMORY: &str = env!("CARGO_BIN_EXE_tls_memory");

/// A program with a certificate in a folder.
struct Secure {
    authority: Authority,
    folder: TempDir,
}

impl Secure {
    fn new() -> Self {
        let this = Self {
            authority: Authority::new("the test's"),
            folder: tempfile::tempdir().expect("a place for files"),
        };
        this.authority.issue().write(this.folder.path());
        this
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn server(&self, program: &str, workers: &str) -> Server {
        Server::new(program)
            .listen("tls://127.0.0.1:0")
            .env("PREFORK_TLS_CERT", self.path().join("cert.pem"))
            .env("PREFORK_TLS_KEY", self.path().join("key.pem"))
            .env("PREFORK_WORKERS", workers)
    }

    fn client(&self) -> Client {
        Client::new(&self.authority, &[])
    }
}

fn successor(server: &Running, dead: Child) -> Child {
    eventually("another child in the slot", || {
        let child = server.child(dead.slot)?;
        (child.pid != dead.pid).then_some(child)
    })
}

fn replace(server: &Running, slot: usize) -> Child {
    let killed = server.kill_child(slot);
    successor(server, killed)
}

#[test]
fn a_server_speaks_tls_with_the_certificate_of_its_files() {
    let secure = Secure::new();
    let server = secure.server(TLS, "2").start();
    let body = secure.client().get(server.addr(), "/").expect("an answer");
    assert!(who(&body).is_some(), "{body}");
    let stranger = Client::new(&Authority::new("another"), &[]);
    stranger
        .get(server.addr(), "/")
        .expect_err("it trusts somebody else");
}

#[test]
fn the_example_serves_plain_and_secure_side_by_side() {
    let secure = Secure::new();
    let server = secure
        .server(HTTPS, "1")
        .listen("http=127.0.0.1:0,https=tls://127.0.0.1:0")
        .start();
    secure
        .client()
        .get(server.addr_of("https"), "/")
        .expect("an answer");
    let plain = prefork_tests::client::ask(server.addr_of("http"), "/").expect("it listens");
    let mut text = String::new();
    (&plain).read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 308 "), "{text}");
}

#[test]
fn a_body_may_do_the_handshakes_itself() {
    let secure = Secure::new();
    let server = secure.server(BY_HAND, "1").start();
    let body = secure.client().get(server.addr(), "/").expect("an answer");
    assert_eq!(body, "by hand\n");
}

/// All that a connection says, and the certificate that it shows.
fn heard(mut connection: Connection) -> (String, Vec<u8>) {
    let mut text = String::new();
    connection.read_to_string(&mut text).expect("an answer");
    let chain = connection.conn.peer_certificates().expect("it shows some");
    (text, chain[0].to_vec())
}

/// P21 on real children: what the attribute was given as bytes is what they show.
#[test]
fn a_certificate_that_is_a_part_of_the_program_is_shown_by_its_workers() {
    let pem = include_str!("../bins/memory/cert.pem");
    let client = Client::trusting(pem, &["http/1.1"], None);
    let server = Server::new(MEMORY).listen("tls://127.0.0.1:0").start();
    for slot in 0..2 {
        let connection = client.connect(server.addr()).expect("a handshake");
        assert_eq!(
            connection.conn.alpn_protocol(),
            Some(b"http/1.1".as_slice())
        );
        let (text, shown) = heard(connection);
        assert_eq!((text.as_str(), shown), ("from memory\n", der(pem)));
        replace(&server, slot);
    }
}

/// P21 as well, from the builder; nothing of it lies on disk by then.
#[test]
fn what_the_builder_was_given_as_bytes_reaches_real_children() {
    let secure = Secure::new();
    let folder = secure.path().join("pair");
    fs::create_dir(&folder).expect("a place for files");
    let given = secure.authority.issue();
    given.write(&folder);
    fs::write(folder.join("ca.pem"), secure.authority.pem()).expect("a place for files");
    let server = Server::new(BUILDER)
        .listen("http=127.0.0.1:0,https=tls://127.0.0.1:0,other=tls://127.0.0.1:0")
        .env("PAIR", &folder)
        .env("PREFORK_WORKERS", "1")
        .start();
    let addr = server.addr_of("https");
    let own = secure.authority.issue();
    let client = Client::with(&secure.authority, &["h2"], Some(&own));
    replace(&server, 0);
    let (text, shown) = heard(client.connect(addr).expect("a handshake"));
    assert!(text.starts_with("h2, 1 of the client\n"), "{text}");
    assert!(text.contains("listener 'other' speaks TLS"), "{text}");
    assert_eq!(shown, given.der().to_vec());
    let stranger = secure.client().get(addr, "/");
    stranger.expect_err("it shows no certificate");
}

/// The least of RFC 9113: the preface, no settings, and one request whose header fields stand in the static table.
#[test]
fn a_request_of_http_2_is_answered() {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    let fields = b"\x82\x87\x84\x41\x09localhost";
    let secure = Secure::new();
    let server = secure.server(TLS, "1").start();
    let client = Client::new(&secure.authority, &["h2"]);
    let mut connection = client.connect(server.addr()).expect("a handshake");
    let mut words = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    words.extend(SETTINGS);
    let length = u8::try_from(fields.len()).expect("a few bytes");
    // Both ends of it are here (END_STREAM, END_HEADERS), on stream 1.
    words.extend([0, 0, length, HEADERS, 5, 0, 0, 0, 1]);
    words.extend(fields);
    connection.write_all(&words).expect("it reads");
    for _ in 0..16 {
        let mut head = [0; 9];
        connection.read_exact(&mut head).expect("a frame");
        let mut body = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        connection.read_exact(&mut body).expect("a frame");
        if head[3] == HEADERS {
            // `:status: 200` in the static table.
            assert_eq!(body[0], 0x88);
            return;
        }
    }
    panic!("no answer among 16 frames");
}

#[test]
fn a_certificate_that_nobody_shows_is_told() {
    let secure = Secure::new();
    let plain = env!("CARGO_BIN_EXE_hello");
    let server = secure.server(plain, "1").listen("127.0.0.1:0").start();
    server.wait_for_log(|line| line.contains("tls_cert is set, and no listener speaks TLS"));
}

#[test]
fn the_protocol_is_the_first_of_ours_that_the_client_offers() {
    let secure = Secure::new();
    let server = secure.server(TLS, "1").start();
    for (offered, chosen) in [
        (&["http/1.1", "h2"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let client = Client::new(&secure.authority, offered);
        let connection = client.connect(server.addr()).expect("a handshake");
        let found = connection.conn.alpn_protocol().map(String::from_utf8_lossy);
        assert_eq!(found.as_deref(), chosen);
    }
    let other = Client::new(&secure.authority, &["gopher"]);
    other
        .connect(server.addr())
        .map(drop)
        .expect_err("none of ours");
}

/// The session of one worker is resumed by another, and by the successor of one that died.
#[test]
fn a_session_is_resumed_whoever_answers() {
    let secure = Secure::new();
    let server = secure.server(TLS, "2").start();
    let client = secure.client();
    let mut issuer = None;
    let mut resumed_elsewhere = false;
    // The kernel chooses who answers.
    for _ in 0..500 {
        let (body, kind) = visit(&client, server.addr());
        let (slot, _) = who(&body).expect("it says who it is");
        match issuer.replace(slot) {
            None => assert_eq!(kind, Some(HandshakeKind::Full)),
            Some(before) => {
                assert_eq!(kind, Some(HandshakeKind::Resumed));
                resumed_elsewhere |= before != slot;
            }
        }
        if resumed_elsewhere {
            break;
        }
    }
    assert!(resumed_elsewhere, "all 500 were answered by one worker");
    for slot in 0..2 {
        replace(&server, slot);
    }
    let (_, kind) = visit(&client, server.addr());
    assert_eq!(kind, Some(HandshakeKind::Resumed));
}

fn visit(client: &Client, addr: SocketAddr) -> (String, Option<HandshakeKind>) {
    let connection = client.connect(addr).expect("a handshake");
    answer(ask(connection, "/").expect("it reads")).expect("an answer")
}

#[test]
fn clients_without_a_certificate_of_the_authority_are_refused() {
    let secure = Secure::new();
    let clients = Authority::new("the clients'");
    let ca = secure.path().join("clients.pem");
    fs::write(&ca, clients.pem()).expect("the folder is ours");
    let server = secure
        .server(TLS, "1")
        .env("PREFORK_TLS_CLIENT_CA", ca)
        .start();
    let known = clients.issue();
    Client::with(&secure.authority, &[], Some(&known))
        .get(server.addr(), "/")
        .expect("it is known");
    let stranger = Authority::new("another").issue();
    for own in [None, Some(&stranger)] {
        let client = Client::with(&secure.authority, &[], own);
        client.get(server.addr(), "/").expect_err("it is not known");
    }
}

/// Also one that was here before, and would resume its session if it could.
#[test]
fn a_client_is_refused_by_the_next_worker_when_its_authority_is_trusted_no_longer() {
    let secure = Secure::new();
    let (old, new) = (Authority::new("the old"), Authority::new("the new"));
    let ca = secure.path().join("clients.pem");
    fs::write(&ca, old.pem()).expect("the folder is ours");
    let server = secure
        .server(TLS, "1")
        .env("PREFORK_TLS_CLIENT_CA", &ca)
        .start();
    let known = Client::with(&secure.authority, &[], Some(&old.issue()));
    for _ in 0..2 {
        let (_, kind) = visit(&known, server.addr());
        assert_eq!(kind, Some(HandshakeKind::Full), "it is checked each time");
    }
    fs::write(&ca, new.pem()).expect("the folder is ours");
    replace(&server, 0);
    server.wait_for_log(|line| line.contains("new client CA"));
    known
        .get(server.addr(), "/")
        .expect_err("it is known no longer");
    Client::with(&secure.authority, &[], Some(&new.issue()))
        .get(server.addr(), "/")
        .expect("it is known now");
}

/// The certificate that a server shows.
fn shown(secure: &Secure, server: &Running) -> Vec<u8> {
    let connection = secure.client().connect(server.addr()).expect("a handshake");
    let chain = connection.conn.peer_certificates().expect("it shows some");
    chain[0].to_vec()
}

#[test]
fn a_renewed_certificate_is_shown_by_the_next_worker() {
    let secure = Secure::new();
    let server = secure.server(TLS, "1").start();
    let renewed = secure.authority.issue();
    assert_ne!(shown(&secure, &server), renewed.der().to_vec());
    renewed.write(secure.path());
    replace(&server, 0);
    server.wait_for_log(|line| line.contains("new certificate"));
    assert_eq!(shown(&secure, &server), renewed.der().to_vec());
}

#[test]
fn the_end_of_a_certificate_is_announced() {
    let secure = Secure::new();
    let soon = SystemTime::now() + Duration::from_hours(24 * 3);
    let near = secure.authority.issue_with(|params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = soon.into();
    });
    near.write(secure.path());
    let explanation = secure.server(TLS, "1").env("PREFORK_EXPLAIN", "1").run();
    let told = "\ncertificate\nfor localhost; good until 2";
    assert!(explanation.text().contains(told), "{}", explanation.text());
    for workers in ["0", "1"] {
        let server = secure.server(TLS, workers).start();
        let line = server.wait_for_log(|line| line.contains("the certificate expires at"));
        assert!(line.contains("there is no newer one yet"), "{line}");
    }
    let server = secure.server(TLS, "1").start();
    secure.authority.issue().write(secure.path());
    replace(&server, 0);
    let line = server.wait_for_log(|line| line.contains("new certificate"));
    assert!(line.contains("good until 4096"), "{line}");
}

#[test]
fn a_bad_renewal_is_refused_in_the_log_and_the_last_good_pair_serves_on() {
    let secure = Secure::new();
    let good = secure.authority.issue();
    good.write(secure.path());
    let server = secure.server(TLS, "1").start();
    let other = secure.authority.issue();
    let expired = secure.authority.issue_with(|params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 2, 1);
    });
    let mixed = Pair {
        cert: other.cert.clone(),
        key: good.key.clone(),
    };
    let garbage = Pair {
        cert: "garbage".to_owned(),
        key: other.key.clone(),
    };
    for (bad, why) in [
        (mixed, "does not belong to the certificate"),
        (expired, "expired at 2001-02-01"),
        (garbage, "not PEM"),
    ] {
        bad.write(secure.path());
        replace(&server, 0);
        let line = server.wait_for_log(|line| line.contains(why));
        assert!(line.contains("serves on"), "{line}");
        assert_eq!(shown(&secure, &server), good.der().to_vec(), "{why}");
    }
    other.write(secure.path());
    replace(&server, 0);
    server.wait_for_log(|line| line.contains("new certificate"));
    assert_eq!(shown(&secure, &server), other.der().to_vec());
}

/// A shell counts in blocks of 512 or 1024 bytes: 20 KiB at least, 40 at most.
#[test]
fn a_renewal_that_no_worker_could_be_given_is_refused() {
    let secure = Secure::new();
    let good = secure.authority.issue();
    good.write(secure.path());
    let limited = ["sh", "-c", "ulimit -f 40; exec \"$@\"", "sh"];
    let server = secure.server(TLS, "1").through(limited).start();
    let Pair { cert, key } = secure.authority.issue();
    let cert = format!("{cert}{}", "a comment\n".repeat(10_000));
    Pair { cert, key }.write(secure.path());
    replace(&server, 0);
    let line = server.wait_for_log(|line| line.contains("cannot be handed to workers"));
    assert!(
        line.contains("`ulimit -f`") && line.contains("serves on"),
        "{line}"
    );
    assert_eq!(shown(&secure, &server), good.der().to_vec());
}

/// The files are for the master alone: workers get what is in them from memory.
#[test]
fn workers_need_no_right_to_read_the_files() {
    let secure = Secure::new();
    let server = secure.server(TLS, "1").start();
    for name in ["cert.pem", "key.pem"] {
        fs::remove_file(secure.path().join(name)).expect("it is there");
    }
    replace(&server, 0);
    server.wait_for_log(|line| line.contains("there is no such file"));
    secure.client().get(server.addr(), "/").expect("an answer");
}

/// The file is gone once the body has what was in it.
#[test]
fn the_key_stays_in_the_workers() {
    let secure = Secure::new();
    let server = secure.server(TLS, "1").start();
    secure.client().get(server.addr(), "/").expect("an answer");
    let pid = server.wait_for_children(1)[0].pid;
    let is_memory = |file: &Path| file.to_string_lossy().contains("memfd");
    let left = prefork_tests::proc::fds(pid)
        .into_iter()
        .filter(|(_, target)| is_memory(target));
    assert_eq!(left.count(), 0, "it is closed once it was read");
}

#[test]
fn stalled_handshakes_hold_up_nobody() {
    let secure = Secure::new();
    let server = secure.server(TLS, "2").start();
    let stalled: Vec<_> = (0..200)
        .map(|_| connect(server.addr()).expect("the queue takes it"))
        .collect();
    let client = secure.client();
    for _ in 0..200 {
        client.get(server.addr(), "/").expect("an answer");
    }
    drop(stalled);
}

/// Fewer descriptors than handshakes that may go on: clients who only connect do not keep all of them.
#[test]
fn stalled_handshakes_do_not_keep_the_last_descriptors() {
    let secure = Secure::new();
    let server = secure
        .server(TLS, "1")
        .through(["sh", "-c", "ulimit -n 48; exec \"$@\"", "sh"])
        .start();
    // Several times as many as fit: waiting for the time of each would take longer than a client waits.
    let stalled: Vec<_> = (0..160)
        .map(|_| connect(server.addr()).expect("the queue takes it"))
        .collect();
    secure.client().get(server.addr(), "/").expect("an answer");
    drop(stalled);
}

#[test]
fn a_stop_answers_what_was_asked_and_what_waits() {
    let secure = Secure::new();
    let mut server = secure
        .server(TLS, "2")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "30s")
        .start();
    let client = secure.client();
    let open = || client.connect(server.addr()).expect("a handshake");
    let in_flight: Vec<_> = (0..20)
        .map(|_| ask(open(), "/slow?ms=1000").expect("it reads"))
        .collect();
    // Accepted, perhaps, and asked in the moment of the stop.
    let late: Vec<_> = (0..20)
        .map(|_| ask(open(), "/").expect("it reads"))
        .collect();
    server.signal(Signal::SIGTERM);
    for connection in in_flight.into_iter().chain(late) {
        answer(connection).expect("everybody who asked is answered");
    }
    assert!(server.wait().success());
}

#[test]
fn openssl_shakes_hands_and_resumes() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: needs openssl");
        return;
    }
    let secure = Secure::new();
    let ca = secure.path().join("ca.pem");
    fs::write(&ca, secure.authority.pem()).expect("the folder is ours");
    let server = secure.server(TLS, "1").start();
    for version in ["-tls1_3", "-tls1_2"] {
        let session = secure.path().join(format!("session{version}"));
        let client = |use_session: &str| {
            let output = Command::new("sh")
                .arg("-c")
                .arg(
                    r#"printf 'GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n' |
                    exec openssl s_client -connect "$1" -servername localhost -verify_return_error -CAfile "$2" "$3" "$4" "$5" -ign_eof 2>&1"#,
                )
                .arg("sh")
                .arg(server.addr().to_string())
                .arg(&ca)
                .arg(version)
                .arg(use_session)
                .arg(&session)
                .output()
                .expect("it can be started");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let first = client("-sess_out");
        assert!(first.contains("Verify return code: 0 (ok)"), "{first}");
        assert!(
            first.contains("\nNew, ") && first.contains("hello from worker"),
            "{first}"
        );
        let again = client("-sess_in");
        assert!(
            again.contains("\nReused, ") && again.contains("hello from worker"),
            "{again}"
        );
    }
}

/// What a start ends with that cannot speak TLS.
fn refusal(server: Server) -> String {
    let output = server.run();
    assert_eq!(output.status.code(), Some(78), "{:#?}", output.log);
    assert!(!output.log.iter().any(|line| line.contains("listening on")));
    output.log.join("\n")
}

#[test]
fn every_bad_pair_ends_the_start_in_its_own_words_and_without_the_key() {
    let secure = Secure::new();
    let good = secure.authority.issue();
    let other = secure.authority.issue();
    let dated = |from: i32, to: i32| {
        secure.authority.issue_with(|params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        })
    };
    let (old, coming) = (dated(2001, 2002), dated(2901, 2902));
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let half = good.key[..good.key.len() / 2].to_owned();
    for (cert, key, why) in [
        ("", good.key.as_str(), "PREFORK_TLS_CERT ('"),
        ("garbage", &good.key, "is not PEM"),
        (&good.cert, "garbage", "is not PEM"),
        (&good.key, &good.cert, "swapped"),
        (&good.cert, &good.cert, "no private key"),
        (&good.cert, &encrypted, "encrypted"),
        (&good.cert, &half, "no '-----END' line"),
        (&good.cert, &other.key, "does not belong to the certificate"),
        (&old.cert, &old.key, "expired at 2002-01-01"),
        (&coming.cert, &coming.key, "not valid before 2901-01-01"),
    ] {
        let pair = Pair {
            cert: cert.to_owned(),
            key: key.to_owned(),
        };
        pair.write(secure.path());
        let said = refusal(secure.server(TLS, "1"));
        assert!(said.contains(why), "{why}: {said}");
        for secret in [&good.key, &other.key] {
            // Any line of it.
            let lines = secret.lines().filter(|line| !line.starts_with("-----"));
            assert!(lines.into_iter().all(|line| !said.contains(line)), "{said}");
        }
        // An explanation ends the same way, and starts nobody either.
        let explained = refusal(secure.server(TLS, "1").env("PREFORK_EXPLAIN", "1"));
        assert!(explained.contains(why), "{why}: {explained}");
    }
}

#[test]
fn files_that_cannot_be_read_end_the_start() {
    let secure = Secure::new();
    let missing = secure.path().join("missing.pem");
    let said = refusal(secure.server(TLS, "1").env("PREFORK_TLS_KEY", &missing));
    assert!(
        said.contains("missing.pem'): there is no such file"),
        "{said}"
    );
    assert!(said.contains("Check the path"), "{said}");
    let relative = secure
        .server(TLS, "1")
        .env("PREFORK_TLS_KEY", "missing.pem");
    let whole = std::path::absolute("missing.pem").expect("a directory");
    let (said, whole) = (refusal(relative), whole.display().to_string());
    assert!(said.contains(&whole), "{whole}: {said}");
    let said = refusal(
        secure
            .server(TLS, "1")
            .env("PREFORK_TLS_CERT", secure.path()),
    );
    assert!(said.contains("is a directory"), "{said}");
    assert!(
        said.contains("Give tls_cert the server's certificate"),
        "{said}"
    );
    let said = refusal(
        secure
            .server(TLS, "1")
            .env("PREFORK_TLS_CLIENT_CA", secure.path().join("key.pem")),
    );
    assert!(said.contains("PREFORK_TLS_CLIENT_CA ('"), "{said}");
    assert!(
        said.contains("Give tls_client_ca the certificates"),
        "{said}"
    );
    let closed = secure.path().join("key.pem");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).expect("it is ours");
    if fs::File::open(&closed).is_err() {
        let said = refusal(secure.server(TLS, "1"));
        assert!(said.contains("cannot be read"), "{said}");
    } else {
        println!("skipped: needs a user who may not read everything");
    }
}

/// The certificates go to workers in a memory file, which is a file: the kernel ends who writes past the limit.
#[test]
fn a_limit_of_file_sizes_is_told_before_it_kills() {
    let limited = ["sh", "-c", "ulimit -f 0; exec \"$@\"", "sh"];
    let output = Secure::new().server(TLS, "1").through(limited).run();
    assert_eq!(output.status.code(), Some(72), "{:#?}", output.log);
    let said = output.log.join("\n");
    assert!(
        said.contains("limit of file sizes (0 bytes, `ulimit -f`)"),
        "{said}"
    );
}

#[test]
fn options_that_do_not_go_together_are_told() {
    let secure = Secure::new();
    let said = refusal(secure.server(TLS, "1").env_remove("PREFORK_TLS_KEY"));
    assert!(
        said.contains("PREFORK_TLS_CERT: needs tls_key as well"),
        "{said}"
    );
    let said = refusal(secure.server(TLS, "1").env("PREFORK_TLS_KEY", ""));
    assert!(said.contains("PREFORK_TLS_KEY: '' is no path"), "{said}");
    assert!(!said.contains("needs tls_key"), "it was said: {said}");
    let neither = Server::new(TLS).listen("tls://127.0.0.1:0");
    let said = refusal(neither);
    assert!(
        said.contains("speaks TLS, which needs tls_cert and tls_key"),
        "{said}"
    );
    let said = refusal(secure.server(TLS, "1").listen("127.0.0.1:0"));
    assert!(
        said.contains("is plain and its argument speaks TLS"),
        "{said}"
    );
    let said = refusal(secure.server(env!("CARGO_BIN_EXE_hello"), "1"));
    assert!(
        said.contains("speaks TLS (tls://) and its argument does not"),
        "{said}"
    );
    let said = refusal(Server::new(BY_HAND).listen("127.0.0.1:0"));
    assert!(said.contains("needs tls_cert and tls_key"), "{said}");
}

/// Certificates are read by whoever serves: here by the only process there is.
#[test]
fn an_explanation_of_a_single_process_says_what_its_start_says() {
    let secure = Secure::new();
    let missing = secure.path().join("missing.pem");
    let single = || secure.server(TLS, "0").env("PREFORK_TLS_KEY", &missing);
    let started = refusal(single());
    let explained = refusal(single().env("PREFORK_EXPLAIN", "1"));
    for said in [started, explained] {
        let why = "missing.pem'): there is no such file";
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_single_process_speaks_tls_as_well() {
    let secure = Secure::new();
    let server = secure.server(TLS, "0").start();
    let body = secure.client().get(server.addr(), "/").expect("an answer");
    assert!(who(&body).is_some(), "{body}");
}
