//! The master reports readiness to programs: through `PREFORK_NOTIFY_FD`, and to systemd.

use std::io::{Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};

use prefork_testkit::{RunningServer, Server, Signal, TIMEOUT};
use prefork_tests::client::get;
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const LATE_WORKER: &str = env!("CARGO_BIN_EXE_late_worker");
const LOGGER: &str = env!("CARGO_BIN_EXE_logger");
const LOGGING: &str = env!("CARGO_BIN_EXE_logging");

/// Starts a server whose descriptor for messages is this one, with the number 8.
fn notifying(program: &str, fd: impl Into<OwnedFd>) -> Server {
    Server::new(program)
        .stdin(fd)
        .wrapper(["sh", "-c", r#"exec "$@" 8<&0 </dev/null"#, "sh"])
        .env("PREFORK_NOTIFY_FD", "8")
        .env("PREFORK_WORKERS", "2")
}

/// Reads up to the end of the message that the server is ready.
fn read_ready(reader: &mut impl Read) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.contains("READY=1\n") || !text.ends_with("\n\n") {
        reader.read_exact(&mut byte).expect("the server runs");
        text.push(byte[0].into());
    }
    text
}

/// The server serves and stops in spite of this warning, which it logs once.
fn assert_one_warning(server: Server, warning: &str) {
    let mut server = server.spawn();
    let line = server.wait_for_log(|line| line.contains("listening on "));
    let addr = line.split(['=', ' ']).nth(4).expect("an address");
    let body = get(addr.parse().expect("an address"), "/").expect("an answer");
    assert!(body.starts_with("hello"), "{body}");
    server.wait_for_log(|line| line.contains("NOTIFY_"));
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    let about: Vec<&String> = log.iter().filter(|line| line.contains("NOTIFY_")).collect();
    let [line] = about.as_slice() else {
        panic!("not one line: {log:#?}");
    };
    assert!(line.contains(warning), "{line}");
}

#[test]
fn a_descriptor_that_is_not_open_is_one_warning() {
    let server = Server::new(HELLO).env("PREFORK_NOTIFY_FD", "8");
    assert_one_warning(
        server,
        "ignoring PREFORK_NOTIFY_FD='8': the descriptor is not open",
    );
    let server = Server::new(HELLO).env("PREFORK_NOTIFY_FD", "eight");
    assert_one_warning(server, "not the number of a descriptor");
    let null = std::fs::File::open("/dev/null").expect("/dev/null exists");
    assert_one_warning(notifying(HELLO, null), "neither a pipe nor a socket");
}

#[test]
fn a_descriptor_that_is_not_writable_is_one_warning() {
    let (reader, _writer) = pipe().expect("free descriptors");
    let warning = "readiness cannot be reported through PREFORK_NOTIFY_FD: Bad file descriptor";
    assert_one_warning(notifying(HELLO, reader), warning);
}

#[test]
fn a_full_descriptor_is_one_warning_and_no_wait() {
    let (reader, mut writer) = pipe().expect("free descriptors");
    // The default capacity, pipe(7).
    writer
        .write_all(&vec![b'a'; 65_536])
        .expect("the pipe takes it");
    let warning = "readiness cannot be reported through PREFORK_NOTIFY_FD: ";
    assert_one_warning(notifying(HELLO, writer), warning);
    drop(reader);

    let (one, other) = UnixStream::pair().expect("free descriptors");
    one.set_nonblocking(true).expect("a socket");
    while (&one).write(&[b'a'; 4096]).is_ok() {}
    // The flag belongs to the description, which the server shares.
    one.set_nonblocking(false).expect("a socket");
    assert_one_warning(notifying(HELLO, one), warning);
    drop(other);
}

#[test]
fn a_descriptor_that_its_reader_closed_is_one_warning() {
    let warning = "readiness cannot be reported through PREFORK_NOTIFY_FD: ";
    let (reader, writer) = pipe().expect("free descriptors");
    drop(reader);
    assert_one_warning(notifying(HELLO, writer), warning);
    let (one, other) = UnixStream::pair().expect("free descriptors");
    drop(other);
    assert_one_warning(notifying(HELLO, one), warning);
}

#[test]
fn a_rollout_is_announced_and_ends_with_its_verdict() {
    let (mut reader, writer) = pipe().expect("free descriptors");
    let mut server = notifying(HELLO, writer)
        .env("PREFORK_ROLLOUT_SOAK", "0s")
        .env("PREFORK_ROLLOUT_TIMEOUT", "1m")
        .spawn();
    read_ready(&mut reader);
    server.signal(Signal::SIGHUP);
    let text = read_ready(&mut reader);
    let lines: Vec<&str> = text.lines().collect();
    let [reloading, time, status, "", ready, verdict, ""] = lines.as_slice() else {
        panic!("not two messages: {text}");
    };
    assert_eq!((*reloading, *ready), ("RELOADING=1", "READY=1"));
    let time = time.strip_prefix("MONOTONIC_USEC=").map(str::parse::<u64>);
    assert!(
        time.is_some_and(|time| time.is_ok_and(|time| time > 0)),
        "{text}"
    );
    assert!(status.starts_with("STATUS=rolling out /"), "{text}");
    let accepted = "STATUS=serving; rollout accepted after ";
    assert!(verdict.starts_with(accepted), "{text}");
    // The rollout that a stop ends is announced, and nothing follows the stop.
    server.signal(Signal::SIGHUP);
    server.signal(Signal::SIGTERM);
    server.wait();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).expect("text");
    assert!(rest.ends_with("STOPPING=1\nSTATUS=stopping\n\n"), "{rest}");
}

/// The messages of a server are framed by empty lines, and end with its process.
#[test]
fn the_reader_gets_all_messages_and_then_the_end() {
    let (mut reader, writer) = pipe().expect("free descriptors");
    let mut server = notifying(HELLO, writer).spawn();
    let mut text = read_ready(&mut reader);
    let addr = text
        .lines()
        .find_map(|line| line.strip_prefix("X_LISTEN=listener0="));
    let addr = addr.expect("an address").to_owned();
    get(addr.parse().expect("an address"), "/").expect("an answer");
    server.stop();
    reader.read_to_string(&mut text).expect("text");
    let pid = server.master_pid();
    let process = format!("MAINPID={pid}\nX_LISTEN=listener0={addr}\n\n");
    let expected = [
        &format!("STATUS=starting\n{process}"),
        &format!("READY=1\nSTATUS=serving\n{process}"),
        "STOPPING=1\nSTATUS=stopping\n\n",
    ];
    assert_eq!(text, expected.concat());
}

fn assert_notifies_socket(socket: &UnixDatagram, name: &str) {
    socket.set_read_timeout(Some(TIMEOUT)).expect("not zero");
    let receive = || {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .env("NOTIFY_SOCKET", name)
        .start();
    let (pid, addr) = (server.master_pid(), server.addr());
    let process = format!("MAINPID={pid}\nX_LISTEN=listener0={addr}\n");
    assert_eq!(receive(), format!("STATUS=starting\n{process}"));
    assert_eq!(receive(), format!("READY=1\nSTATUS=serving\n{process}"));
    assert_no_worker_can_notify(&server);
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(receive(), "STOPPING=1\nSTATUS=stopping\n");
}

fn assert_no_worker_can_notify(server: &RunningServer) {
    for worker in server.wait_for_children(2) {
        let environment = std::fs::read(format!("/proc/{}/environ", worker.pid));
        let environment = environment.expect("the worker runs");
        let text = String::from_utf8_lossy(&environment);
        assert!(!text.contains("NOTIFY_"), "{text}");
        let fds = proc::fds(worker.pid);
        let pipes = fds
            .iter()
            .filter(|(number, path)| *number > 2 && path.to_string_lossy().starts_with("pipe:"));
        assert_eq!(pipes.count(), 0, "{fds:?}");
    }
}

#[test]
fn systemd_gets_the_messages_at_its_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a new path");
    assert_notifies_socket(&socket, path.to_str().expect("text"));

    let name = format!("prefork-test-{}", std::process::id());
    let address = UnixAddress::from_abstract_name(&name).expect("a short name");
    let socket = UnixDatagram::bind_addr(&address).expect("a free name");
    assert_notifies_socket(&socket, &format!("@{name}"));
}

#[test]
fn a_socket_without_a_reader_is_one_warning() {
    let server = Server::new(HELLO).env("PREFORK_WORKERS", "1");
    let server = server.env("NOTIFY_SOCKET", "/no/such/socket");
    assert_one_warning(
        server,
        "readiness cannot be reported through NOTIFY_SOCKET: No such file",
    );
    let server = Server::new(HELLO).env("NOTIFY_SOCKET", "vsock:2:1");
    assert_one_warning(server, "ignoring NOTIFY_SOCKET='vsock:2:1': ");
}

#[test]
fn that_all_workers_were_started_and_that_they_are_healthy_are_two_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ready");
    let (mut reader, writer) = pipe().expect("free descriptors");
    let mut server = notifying(LATE_WORKER, writer)
        .env("READY_FILE", &path)
        .spawn();
    let mut first = [0; 16];
    reader.read_exact(&mut first).expect("the server runs");
    assert_eq!(&first, b"STATUS=starting\n");
    let killed = server.kill_child(0);
    server.wait_for_log(|line| line.contains(&format!("replacing pid {}", killed.pid)));
    // The workers wait for the file, so no other message can have been written.
    std::fs::write(&path, "").expect("a writable folder");
    server.wait_for_children(2);
    let mut text = read_ready(&mut reader);
    server.stop();
    reader.read_to_string(&mut text).expect("text");
    assert_eq!(text.matches("READY=1").count(), 1, "{text}");
    assert!(text.ends_with("STOPPING=1\nSTATUS=stopping\n\n"), "{text}");
}

#[test]
fn a_server_that_is_not_healthy_can_be_started_without_waiting_for_it() {
    let server = Server::new(LATE_WORKER).env("READY_FILE", "/no/such/file");
    let mut server = server.start_unready();
    assert_eq!(server.listeners().len(), 1);
    server.wait_for_children(2);
    assert!(server.stop().success());
}

#[test]
fn a_single_process_reports_when_main_is_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ready");
    let server = Server::new(LATE_WORKER)
        .env("READY_FILE", &path)
        .env("PREFORK_WORKERS", "0");
    let server = server.start_unready();
    assert_eq!(server.processes(), [server.master_pid()]);
    drop(server);
    std::fs::write(&path, "").expect("a writable folder");
    for program in [LATE_WORKER, HELLO, LOGGER] {
        let mut server = Server::new(program)
            .env("READY_FILE", &path)
            .env("PREFORK_WORKERS", "0")
            .start();
        server.stop();
    }
}

#[test]
fn a_server_with_its_own_logger_or_subscriber_is_started() {
    let mut server = Server::new(LOGGER).start();
    assert!(server.stop().success());
    for backend in ["tracing", "log"] {
        let mut server = Server::new(LOGGING).env("BACKEND", backend).start();
        assert!(server.stop().success());
    }
}

#[test]
fn lines_in_the_form_of_the_master_do_not_mislead_the_testkit() {
    let script = "echo 'prefork: listening on a=127.0.0.1:1 with 1 worker (master pid 1)'; \
                  printf 'READY=1\\nMAINPID=1\\n\\n'; exec \"$@\"";
    let server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "1")
        .wrapper(["sh", "-c", script, "sh"])
        .start();
    assert_ne!(server.addr().port(), 1);
    get(server.addr(), "/").expect("an answer");

    let server = Server::new("sh").arg("-c").arg(format!("{script} sleep 0"));
    let result = catch_unwind(AssertUnwindSafe(|| server.start()));
    let message = result.expect_err("no server was started");
    let message = message.downcast::<String>().expect("a message");
    assert!(message.contains("did not report"), "{message}");
}

/// A replacement of a worker that was healthy is no second message, and no failure either.
#[test]
fn a_later_recovery_reports_nothing() {
    let (mut reader, writer) = pipe().expect("free descriptors");
    let mut server = notifying(HELLO, writer).spawn();
    let mut text = read_ready(&mut reader);
    let killed = server.kill_child(0);
    server.wait_for_replacement(killed);
    server.stop();
    reader.read_to_string(&mut text).expect("text");
    assert_eq!(text.matches("READY=1").count(), 1, "{text}");
}
